"""`gagjax fit` and the avatar that it leaves, from the command line."""

from __future__ import annotations

import json

import numpy as np
import pytest

from gagjax import avatars, flame
from gagjax.app.cli import main
from gagjax.app.workflows import fit
from gagjax.io import images, video
from gagjax.io.tracks import load_track, save_track
from gagjax.io.video import to_uint8
from gagjax.simulate import driver, observe

OPTIONS = ["--size", "40", "--gaussians", "300", "--steps", "8", "--hold-out", "4", "--pictures", "4"]


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clip")
    truth = driver(6, controls=flame.CONTROLS, seed=2)
    for i, frame in enumerate(avatars.frames(avatars.builtin(0), truth, size=40)):
        images.write(folder / "frames" / f"{i:03}.png", to_uint8(frame))
    save_track(observe(truth, seed=1, outliers=0, dropped=0.2), folder / "track.npz")
    return folder


@pytest.fixture(scope="module")
def avatar(clip):
    out = clip.parent / "avatar"
    assert main(["fit", str(clip), "-o", str(out), *OPTIONS]) == 0
    return out


def test_leaves_an_avatar_a_track_and_pictures(avatar, clip):
    found = sorted(str(path.relative_to(avatar)) for path in avatar.rglob("*") if path.is_file())
    assert found == [
        "avatar.json",
        "avatar.safetensors",
        "progress/000004.png",
        "progress/000008.png",
        "track.npz",
    ]
    assert images.read(avatar / "progress/000004.png").shape == (40, 120, 3)
    assert json.loads((avatar / "avatar.json").read_text())["kind"] == "appearance"
    before, after = load_track(clip / "track.npz"), load_track(avatar / "track.npz")
    assert np.any(np.asarray(before.transform) != np.asarray(after.transform))
    np.testing.assert_array_equal(before.valid, after.valid)


def test_a_fit_stopped_between_its_outputs_ends_as_an_undisturbed_one(avatar, clip, tmp_path, monkeypatch):
    class Stopped(BaseException):
        """As SIGKILL: nothing of the program catches it."""

    def stopped(*args, **kwargs):
        raise Stopped

    out = tmp_path / "stopped"
    command = ["fit", str(clip), "-o", str(out), *OPTIONS]
    with monkeypatch.context() as patch, pytest.raises(Stopped):
        patch.setattr("gagjax.io.tracks.save_track", stopped)
        main(command)
    assert (out / "avatar.safetensors").is_file() and not (out / "track.npz").is_file()
    assert main(command) == 0
    for name in ("avatar.safetensors", "track.npz"):
        assert (out / name).read_bytes() == (avatar / name).read_bytes()
    assert not (out / fit.CHECKPOINT).exists()
    assert main(command) == 2


def test_the_avatar_is_driven_by_reenact(avatar, clip, tmp_path, capsys):
    out = tmp_path / "driven.mp4"
    driven = ["reenact", "--avatar", str(avatar), "-d", str(clip / "track.npz"), "-o", str(out), "--size", "64"]
    assert main(driven) == 0
    assert "the personal avatar" in capsys.readouterr().out
    assert video.info(out).frames == 6
    assert main([*driven, "-i", str(clip)]) == 2
    assert "--avatar" in capsys.readouterr().err


def test_an_avatar_that_is_there_is_kept(avatar, clip, capsys):
    assert main(["fit", str(clip), "-o", str(avatar), *OPTIONS]) == 2
    assert "exists" in capsys.readouterr().err


def test_a_stopped_fit_goes_on(clip, tmp_path, monkeypatch, capsys):
    """The same folder as of a fit in one go, byte for byte."""
    monkeypatch.setattr(fit, "SAVE_EVERY", 4)
    command = ["fit", str(clip), *OPTIONS, "-o"]
    assert main([*command, str(tmp_path / "whole")]) == 0
    monkeypatch.setattr(fit, "measured", stop)
    assert main([*command, str(tmp_path / "stopped")]) == 130
    monkeypatch.undo()
    assert (tmp_path / "stopped" / fit.CHECKPOINT).is_file()
    assert main([*command, str(tmp_path / "stopped")]) == 0
    assert "goes on after step 8" in capsys.readouterr().out
    tensors = [(tmp_path / name / "avatar.safetensors").read_bytes() for name in ("whole", "stopped")]
    assert tensors[0] == tensors[1]


def stop(*_):
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    "options",
    [
        ["--size", "8"],
        ["--gaussians", "1"],
        ["--steps", "0"],
        ["--hold-out", "1"],
        ["--hold-out", "-1"],
    ],
)
def test_bad_options_are_named(options, clip, tmp_path, capsys):
    assert main(["fit", str(clip), "-o", str(tmp_path / "a"), *options]) == 2
    assert options[0] in capsys.readouterr().err


def test_a_folder_that_is_no_clip_is_refused(tmp_path, capsys):
    assert main(["fit", str(tmp_path), "-o", str(tmp_path / "a")]) == 2
    captured = capsys.readouterr().err
    assert captured.startswith("error: ") and len(captured.splitlines()) == 1
    assert not (tmp_path / "a").exists()
