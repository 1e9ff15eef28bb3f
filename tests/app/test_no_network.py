"""No command opens a network connection: with sockets that refuse to connect, the work is done all the same."""

from __future__ import annotations

import socket

import pytest

from gagjax.app.cli import main
from gagjax.io.tracks import save_track
from gagjax.simulate import driver


@pytest.fixture(autouse=True)
def no_connections(monkeypatch):
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a network connection was tried")

    for name in ("connect", "connect_ex"):
        monkeypatch.setattr(socket.socket, name, refuse)
    for name in ("create_connection", "getaddrinfo", "gethostbyname"):
        monkeypatch.setattr(socket, name, refuse)


def test_the_guard_works():
    with pytest.raises(AssertionError, match="network"):
        socket.create_connection(("example.org", 80))


def test_commands_stay_offline(tmp_path):
    save_track(driver(16), tmp_path / "a.npz")
    track = str(tmp_path / "a.npz")
    assert main(["info", track]) == 0
    assert main(["enhance", track, "-o", str(tmp_path / "b.npz")]) == 0
    assert main(["convert", track, str(tmp_path / "c.npz")]) == 0
    assert main(["eval", str(tmp_path / "b.npz"), "--truth", track]) == 0
    assert main(["reenact", "-d", track, "-o", str(tmp_path / "d.mp4"), "--size", "64", "--enhanced"]) == 0
    assert main(["video", str(tmp_path / "d.mp4"), "-o", str(tmp_path / "e.mp4")]) == 0
