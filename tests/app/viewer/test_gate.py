"""`gagjax view` answers its own page with its own token, and writes presets into one folder only."""

from __future__ import annotations

import http.client
import types

import pytest

from gagjax import flame, simulate
from gagjax.app.viewer import gate
from gagjax.app.viewer.session import ViewerSession
from gagjax.errors import InputError
from gagjax.stack import Stack

viser = pytest.importorskip("viser", reason="needs viser")
TRACK_FRAMES = 12


@pytest.fixture(scope="module")
def viewer(tmp_path_factory):
    from gagjax.app.viewer.page import Viewer

    track = simulate.driver(TRACK_FRAMES, seed=1)
    folder = tmp_path_factory.mktemp("view") / "presets"
    opened = Viewer(ViewerSession(track, Stack.default(), flame.builtin()), port=8950, folder=folder)
    opened.folder = folder
    yield opened
    opened.close()


def token(viewer):
    return viewer.address.partition("token=")[2]


def get(viewer, path="/", **headers):
    """Status, headers and content of the page's answer."""
    connection = http.client.HTTPConnection("127.0.0.1", viewer.port, timeout=30)
    connection.putrequest("GET", path, skip_host=True)
    for name, value in ({"Host": f"localhost:{viewer.port}"} | headers).items():
        connection.putheader(name, value)
    connection.endheaders()
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer.status, answer.headers, body


def connects(viewer, query="", origin=None, host=None, cookie=None):
    """Whether the page's websocket lets somebody in, and what it sends first."""
    from websockets.exceptions import InvalidStatus
    from websockets.sync.client import connect

    headers = ({"Host": host} if host else {}) | ({"Cookie": cookie} if cookie else {})
    try:
        with connect(
            f"ws://localhost:{viewer.port}/{query}",
            origin=origin,
            subprotocols=[f"viser-v{viser.__version__}"],
            additional_headers=headers,
            proxy=None,
            max_size=None,
        ) as socket:
            return len(socket.recv(timeout=30)) > 0
    except InvalidStatus as error:
        assert error.response.status_code == 403
        return False


def test_the_page_comes_with_the_token_alone(viewer):
    assert get(viewer)[0] == 403
    assert get(viewer, "/?token=wrong")[0] == 403
    status, headers, body = get(viewer, f"/?token={token(viewer)}")
    assert status == 200 and b"<html" in body.lower()
    assert "SameSite=Strict" in headers["Set-Cookie"] and "HttpOnly" in headers["Set-Cookie"]
    assert headers["X-Frame-Options"] == "DENY"
    cookie = headers["Set-Cookie"].partition(";")[0]
    assert get(viewer, "/index.html", Cookie=cookie)[0] == 200
    assert get(viewer, "/index.html", Cookie=cookie[:-1])[0] == 403
    assert get(viewer, "/../../../../etc/passwd", Cookie=cookie)[0] == 404


def test_the_socket_asks_for_the_token(viewer):
    own = f"http://localhost:{viewer.port}"
    assert not connects(viewer, origin=own)
    assert not connects(viewer)
    assert connects(viewer, f"?token={token(viewer)}", origin=own)
    cookie = get(viewer, f"/?token={token(viewer)}")[1]["Set-Cookie"].partition(";")[0]
    assert connects(viewer, origin=own, cookie=cookie)


def test_other_pages_are_refused_even_with_the_token(viewer):
    query = f"?token={token(viewer)}"
    for origin in ("https://example.org", f"http://localhost:{viewer.port + 1}", "null", "http://localhost"):
        assert not connects(viewer, query, origin=origin), origin
        assert get(viewer, f"/{query}", Origin=origin)[0] == 403, origin


def test_other_names_for_this_machine_are_refused(viewer):
    """A page of example.org whose name leads to 127.0.0.1 is at home there, as far as a browser can tell."""
    own = gate.Gate()
    for host in ("example.org", f"example.org:{viewer.port}", "localhost.example.org", "", "[::", "127.0.0.1.nip.io"):
        assert get(viewer, f"/?token={token(viewer)}", Host=host, Origin=f"http://{host}")[0] in (400, 403), host
    for host in ("localhost:9", "127.0.0.1", "[::1]:80", "192.168.1.2:8080"):
        assert own.refusal(f"/?token={own.token}", _headers(Host=host)) is None, host
    assert gate.Gate(("box.lan",)).refusal("/", _headers(Host="box.lan")) == gate.Gate().refusal(
        "/", _headers(Host="localhost")
    )


def _headers(**values):
    return types.SimpleNamespace(get_all=lambda name: [values[name]] if name in values else [])


def test_presets_go_to_one_folder(viewer, tmp_path):
    def saved(name):
        said = types.SimpleNamespace(content="")
        viewer._save(name, said)
        return said.content

    outside = [
        "../mine.yaml", "/tmp/mine.yaml", str(tmp_path / "mine.yaml"), "a/b.yaml", "..\\mine.yaml", "~/mine.yaml",
        ".mine.yaml", "mine.yaml\n", "mine.sh", "", "a" * 300 + ".yaml", "{alert(1)}.yaml", "<b>.yaml", 7, None, ["a.yaml"],
    ]  # fmt: skip
    for name in outside:
        assert saved(name).startswith("**not saved:**"), name
        assert "<" not in saved(name) and "{" not in saved(name)
    assert not viewer.folder.exists() and not list(tmp_path.iterdir())
    assert saved("mine.yaml").startswith("saved")
    assert [each.name for each in viewer.folder.iterdir()] == ["mine.yaml"]
    assert "exists already" in saved("mine.yaml")
    (viewer.folder / "link.yaml").symlink_to(tmp_path / "target.yaml")
    assert "link" in saved("link.yaml") and not (tmp_path / "target.yaml").exists()


def test_a_server_that_cannot_be_guarded_does_not_start(monkeypatch):
    """A later viser may start its server in another way: then the page answers without a token, and that is seen."""
    import contextlib

    from gagjax.app.viewer.page import Viewer

    monkeypatch.setattr(gate, "guarded", lambda gate: contextlib.nullcontext())
    session = ViewerSession(simulate.driver(TRACK_FRAMES, seed=1), Stack.default(), flame.builtin())
    with pytest.raises(InputError, match="answers to everybody"):
        Viewer(session, port=8960)
