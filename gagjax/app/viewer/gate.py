"""Access control for the viewer's page: only someone with its address, and only from the page itself.

Any web page that the user visits can send requests to a page on this machine. The address therefore holds a random
token, which becomes a cookie for this page alone; requests from other pages, or under another host name, are refused.
viser has no hook for such a check, but its server library `websockets` has one: `guarded` sets it while viser starts.
"""

from __future__ import annotations

import contextlib
import http
import inspect
import ipaddress
import secrets
import socket
import urllib.error
import urllib.request
from collections.abc import Iterator
from http.cookies import CookieError, SimpleCookie
from typing import Any, Protocol, runtime_checkable
from urllib.parse import parse_qs, urlsplit

from gagjax.errors import InputError

#: Headers of every answer.
HEADERS = {
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
    "Content-Security-Policy": "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
}


@runtime_checkable
class Headers(Protocol):
    """Headers of a request, as `websockets` holds them."""

    def get_all(self, name: str) -> list[str]:
        """Every value of a header, in order."""
        ...


class Gate:
    """The token of one page and the check of each request.

    Args:
        names: Host names of this machine to accept besides `localhost` and numeric addresses.

    Attributes:
        token: The secret part of the address.
        cookie: Name of the browser cookie.
    """

    def __init__(self, names: tuple[str, ...] = ()) -> None:
        self.token = secrets.token_urlsafe(24)
        self.cookie = f"gagjax_{secrets.token_hex(4)}"  # cookies span ports: two viewers must not share one
        self.names = {"localhost", socket.gethostname().lower(), *(name.lower() for name in names)}

    def refusal(self, path: str, headers: Headers) -> str | None:
        """The reason to refuse a request; None to accept it.

        Args:
            path: Request path with query.
            headers: Request headers, a mapping with `get_all`.
        """
        hosts, origins = headers.get_all("Host"), headers.get_all("Origin")
        if len(hosts) != 1 or not self._is_own(hosts[0]):
            return "the request names another machine"
        if any(urlsplit(origin).netloc.lower() != hosts[0].lower() for origin in origins):
            return "another page has made the request"
        if self.is_in(path) or any(self._is_cookie(text) for text in headers.get_all("Cookie")):
            return None
        return "the address lacks the token that gagjax printed"

    def is_in(self, path: str) -> bool:
        """Whether the query of a path holds the token."""
        return any(self._is_token(each) for each in parse_qs(urlsplit(path).query).get("token", []))

    def _is_token(self, text: str) -> bool:
        return secrets.compare_digest(text.encode(), self.token.encode())

    def _is_cookie(self, text: str) -> bool:
        try:
            found = SimpleCookie(text).get(self.cookie)
        except CookieError:
            return False
        return found is not None and self._is_token(found.value)

    def _is_own(self, host: str) -> bool:
        try:
            name = (urlsplit(f"//{host}").hostname or "").lower()
        except ValueError:
            return False
        if name in self.names:
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:  # a host name: its owner can point it at this machine (DNS rebinding)
            return False
        return True


@contextlib.contextmanager
def guarded(gate: Gate) -> Iterator[None]:
    """Make every `websockets` server started inside check requests with the gate first."""
    from websockets.asyncio import server

    start: Any = server.serve

    def serve(*args: Any, process_request: Any = None, **options: Any) -> Any:
        async def checked(connection: Any, request: Any) -> Any:
            answer: Any
            reason = gate.refusal(request.path, request.headers)
            if reason is not None:
                answer = connection.respond(http.HTTPStatus.FORBIDDEN, f"Refused: {reason}.\n")
            else:
                answer = None if process_request is None else process_request(connection, request)
                if inspect.isawaitable(answer):
                    answer = await answer
                if answer is not None and gate.is_in(request.path):
                    answer.headers["Set-Cookie"] = f"{gate.cookie}={gate.token}; Path=/; HttpOnly; SameSite=Strict"
            if answer is not None:
                for name, value in HEADERS.items():
                    answer.headers[name] = value
            return answer

        return start(*args, process_request=checked, **options)

    setattr(server, "serve", serve)  # noqa: B010  (the type of a class, not of a function)
    try:
        yield
    finally:
        setattr(server, "serve", start)  # noqa: B010


def check(host: str, port: int) -> None:
    """Request the started page without its token, to verify the gate.

    Args:
        host: Address it listens on.
        port: Its port.

    Raises:
        InputError: If the page responds, because the installed viser starts its server in another way.
    """
    here = {"0.0.0.0": "127.0.0.1", "": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"http://{here}:{port}/", timeout=30):
            pass
    except urllib.error.HTTPError as error:
        if error.code == http.HTTPStatus.FORBIDDEN:
            return
        problem = f"answers {error.code} where it should refuse"
    except OSError as error:
        problem = f"does not answer ({error})"
    else:
        problem = "answers to everybody"
    raise InputError(
        f"the page {problem}", field="gagjax view", fix="Install another version of viser: 1.1 is known to do"
    )
