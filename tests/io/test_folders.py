"""Of a foreign folder only regular files inside it are read or copied: no links, pipes or devices."""

from __future__ import annotations

import os
import pickle
import socket

import numpy as np
import pytest

from gagjax.app.cli import main
from gagjax.avatars.personal import clip
from gagjax.errors import InputError
from gagjax.io import folders, frame_database, images, tracks
from tests.io import make


def put(kind, path, target):
    """Something that is no regular file, at a path."""
    if kind == "link":
        path.symlink_to(target)
    elif kind == "link to nothing":
        path.symlink_to(target.with_name("nothing"))
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(str(path))


KINDS = ["link", "link to nothing", "pipe", "folder", "socket"]


@pytest.fixture
def secret(tmp_path):
    path = tmp_path / "secret"
    path.write_bytes(b"the reader's own")
    return path


@pytest.fixture
def driver(tmp_path):
    folder = tmp_path / "in"
    (folder / "img_lmdb").mkdir(parents=True)
    (folder / "optim.pkl").write_bytes(pickle.dumps(make.records(3)))
    (folder / "img_lmdb" / "data.mdb").write_bytes(b"frames")
    return folder


@pytest.mark.timeout(60)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("command", ["convert", "enhance"])
def test_commands_copy_no_foreign_files(tmp_path, driver, secret, kind, command, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)  # the path of a socket is short
    put(kind, driver.relative_to(tmp_path) / "img_lmdb" / "more.mdb", secret)
    words = [str(driver), str(tmp_path / "out")] if command == "convert" else [str(driver), "-o", str(tmp_path / "out")]
    assert main([command, *words]) == 2
    said = capsys.readouterr().err
    assert "more.mdb" in said and "only regular files" in said and len(said.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["optim.pkl", "img_lmdb"])
def test_a_link_in_the_folder_is_refused(tmp_path, driver, name, capsys):
    (driver / name).rename(tmp_path / "elsewhere")
    (driver / name).symlink_to(tmp_path / "elsewhere")
    assert main(["convert", str(driver), str(tmp_path / "out")]) == 2
    assert name in capsys.readouterr().err and not (tmp_path / "out").exists()


def test_a_link_to_the_folder_itself_is_the_users_own(tmp_path, driver):
    (tmp_path / "clip").symlink_to(driver)
    assert main(["convert", str(tmp_path / "clip"), str(tmp_path / "out")]) == 0
    assert (tmp_path / "out" / "img_lmdb" / "data.mdb").read_bytes() == b"frames"


@pytest.mark.timeout(60)
@pytest.mark.parametrize("kind", KINDS)
def test_every_folder_of_files_is_read_so(tmp_path, secret, kind, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("frames.d", "clip.d", "lmdb.d", "flame_param"):
        (tmp_path / name).mkdir()
    images.write(tmp_path / "frames.d" / "0.png", np.zeros((8, 8, 3), np.uint8))
    for folder, name, read in (
        ("frames.d", "1.png", lambda path: clip._images(path, 8)),
        ("clip.d", "1.mp4", lambda path: clip._pictures(path, make.track(2), 8)),
        ("lmdb.d", "data.mdb", frame_database.FrameDatabase),
        ("flame_param", "0.npz", lambda path: tracks.load_track(path.parent)),
        ("frames.d", "2.png", lambda path: folders.copy(path, path.parent / "copy")),
    ):
        put(kind, (tmp_path / folder).relative_to(tmp_path) / name, secret)
        with pytest.raises(InputError, match="only regular files"):
            read(tmp_path / folder)
    assert not (tmp_path / "copy").exists()


def test_the_name_of_a_portrait_leads_nowhere_else(tmp_path):
    portraits = pytest.importorskip("bridge.gagavatar.portraits", reason="needs torch")
    images.write(tmp_path / "secret.png", np.full((8, 8, 3), 200, np.uint8))
    (tmp_path / "in").mkdir()
    for name in ("../secret.png", str(tmp_path / "secret.png")):
        (portrait,) = tracks.gagavatar.read_portraits({name: make.records(1)["clip_0"]}, tmp_path / "a").values()
        assert portraits._beside(tmp_path / "in", portrait) is None
