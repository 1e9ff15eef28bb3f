"""Who may ask the page, with any application behind it: token, host, origin, and what the browser may load."""

from __future__ import annotations

import asyncio

import pytest

from gagjax.app.viewer.gate import Gate
from gagjax.app.web.guard import Guard


async def _application(scope, receive, send):
    if scope["type"] == "http":
        own = [(b"content-type", b"text/plain"), (b"content-security-policy", b"default-src *")]
        await send({"type": "http.response.start", "status": 200, "headers": own})
        await send({"type": "http.response.body", "body": b"inside"})
    else:
        await send({"type": "websocket.accept"})


@pytest.fixture
def gate():
    return Gate()


def ask(gate, query="", kind="http", **headers):
    """The messages that a request gets, and the headers of the first."""
    pairs = [(b"host", b"localhost:7860")] if "host" not in headers else []
    pairs += [(name.encode(), value.encode()) for name, value in headers.items() if value is not None]
    scope = {"type": kind, "path": "/", "query_string": query.encode(), "headers": pairs}
    sent = []

    async def send(message):
        sent.append(message)

    asyncio.run(Guard(_application, gate)(scope, None, send))
    return sent, dict(sent[0].get("headers", ()))


def test_the_token_lets_in_and_becomes_a_cookie(gate):
    sent, headers = ask(gate, f"token={gate.token}")
    assert sent[0]["status"] == 200 and sent[1]["body"] == b"inside"
    cookie = headers[b"set-cookie"].decode()
    assert "HttpOnly" in cookie and "SameSite=Strict" in cookie
    assert ask(gate, cookie=cookie.partition(";")[0])[0][0]["status"] == 200


def test_others_are_refused(gate):
    token = f"token={gate.token}"
    for query, headers in (
        ("", {}),
        ("token=wrong", {}),
        ("", {"cookie": f"{gate.cookie}=wrong"}),
        (token, {"host": "example.org"}),
        (token, {"host": "localhost.example.org"}),
        (token, {"origin": "https://example.org"}),
        (token, {"origin": "http://localhost:7861"}),
        (token, {"origin": "null"}),
        (token, {"host": None}),
    ):
        sent, _ = ask(gate, query, **headers)
        assert sent[0]["status"] == 403 and b"inside" not in sent[1]["body"], (query, headers)
        assert ask(gate, query, "websocket", **headers)[0][0]["type"] == "websocket.close", (query, headers)
    assert ask(gate, token, origin="http://localhost:7860")[0][0]["status"] == 200
    assert ask(gate, token, "websocket")[0][0]["type"] == "websocket.accept"


def test_the_page_may_load_nothing_from_elsewhere(gate):
    for query in ("", f"token={gate.token}"):
        _, headers = ask(gate, query)
        policy = headers[b"content-security-policy"].decode()  # ours, whatever the application says
        assert policy.startswith("default-src 'self'") and "*" not in policy and "http" not in policy
        assert headers[b"x-frame-options"] == b"DENY"
