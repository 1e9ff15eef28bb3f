"""The viewer's gate in front of a web application (ASGI): who may ask, and what the page may load."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from gagjax.app.viewer.gate import HEADERS, Gate

Message = MutableMapping[str, Any]
Application = Callable[
    [Message, Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]], Awaitable[None]
]

# The browser itself refuses whatever would leave this machine.
POLICY = "; ".join(
    (
        "default-src 'self'",
        "script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data: blob:",
        "media-src 'self' data: blob:",
        "font-src 'self' data:",
        "connect-src 'self' data: blob:",
        "worker-src 'self' blob:",
        "form-action 'self'",
        "base-uri 'self'",
        "frame-ancestors 'none'",
    )
)


class _Headers:
    """Headers of an ASGI request as `Gate.refusal` reads them."""

    def __init__(self, pairs: list[tuple[bytes, bytes]]) -> None:
        self._pairs = [(name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in pairs]

    def get_all(self, name: str) -> list[str]:
        return [value for each, value in self._pairs if each == name.lower()]


class Guard:
    """An application behind a gate.

    Args:
        application: What answers requests that are let in.
        gate: The token and the names of this machine.
    """

    def __init__(self, application: Application, gate: Gate) -> None:
        self._application, self._gate = application, gate

    async def __call__(
        self, scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
    ) -> None:
        """Answer one request (the ASGI protocol)."""
        if scope["type"] == "lifespan":
            await self._application(scope, receive, send)
            return
        path = scope["path"] + "?" + scope.get("query_string", b"").decode("latin-1")
        reason = self._gate.refusal(path, _Headers(scope["headers"]))
        if scope["type"] != "http":
            if reason is None:
                await self._application(scope, receive, send)
            else:
                await send({"type": "websocket.close", "code": 1008})
            return
        own = [*HEADERS.items(), ("Content-Security-Policy", POLICY)]
        if reason is None and self._gate.is_in(path):
            own.append(("Set-Cookie", f"{self._gate.cookie}={self._gate.token}; Path=/; HttpOnly; SameSite=Strict"))
        extra = [(name.lower().encode(), value.encode()) for name, value in dict(own).items()]
        names = {name for name, _ in extra} - {b"set-cookie"}

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                kept = [pair for pair in message.get("headers", ()) if pair[0].lower() not in names]
                message = {**message, "headers": [*kept, *extra]}
            await send(message)

        if reason is None:
            await self._application(scope, receive, guarded)
            return
        text = [(b"content-type", b"text/plain; charset=utf-8")]
        await guarded({"type": "http.response.start", "status": 403, "headers": text})
        await guarded({"type": "http.response.body", "body": f"Refused: {reason}.\n".encode()})
