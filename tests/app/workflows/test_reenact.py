"""`gagjax reenact` from the command line: drivers of several formats, panels, flags, refusals."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from gagjax import avatars
from gagjax.app.cli import main
from gagjax.io import frame_database, images, video
from gagjax.io.tracks import save_track
from gagjax.simulate import driver, observe
from gagjax.tracking import models

SIZE = 96


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A GAGAvatar_track folder with the driver's own pictures."""
    path = tmp_path_factory.mktemp("tracks") / "clip"
    path.mkdir()
    names = tuple(f"clip_{i}" for i in range(18))
    track = dataclasses.replace(observe(driver(18, seed=1)), names=names)
    save_track(dataclasses.replace(track, valid=None), path / "optim.pkl")
    pictures = ((name, np.full((64, 64, 3), 10 * i, np.uint8)) for i, name in enumerate(names))
    frame_database.write(path / "img_lmdb", pictures)
    return path


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    path = tmp_path_factory.mktemp("plain") / "driver.npz"
    save_track(dataclasses.replace(driver(18, fps="30000/1001", seed=1), valid=None), path)
    return path


def reenact(*words: object) -> int:
    return main(["reenact", "--size", str(SIZE), *map(str, words)])


def pictures(path) -> np.ndarray:
    return np.stack(list(video.read(path)[0]))


@pytest.fixture(scope="module")
def photo(tmp_path_factory):
    """A picture of somebody, 160 x 256; skips where the networks that find faces are not installed."""
    if not models.complete():
        pytest.skip("needs the face networks: run `gagjax models` (make test does)")
    face = avatars.render(avatars.builtin(3), driver(1, seed=3), size=256)[0]
    path = tmp_path_factory.mktemp("photo") / "portrait.png"
    images.write(path, np.clip(face, 0, 1)[:, 48:208])
    return path


def test_a_tracking_folder_gives_source_driver_and_result(folder, photo, tmp_path, capsys):
    out = tmp_path / "out.mp4"
    assert reenact("-i", photo, "-d", folder, "-o", out) == 0
    assert "built from one photo" in capsys.readouterr().out
    seen = pictures(out)
    assert len(seen) == 18
    # The source keeps its proportions: 60 pixels wide, then the gap, then the driver.
    assert seen.shape[2] == 60 + 4 + SIZE + 4 + SIZE
    assert abs(int(seen[9, 60, 100, 0]) - 90) < 8


def test_without_pictures_the_result_stands_alone_at_the_drivers_rate(plain, tmp_path):
    out = tmp_path / "out.mp4"
    assert reenact("-d", plain, "-o", out, "--enhanced") == 0
    info = video.info(out)
    assert (info.width, info.height, info.frames) == (SIZE, SIZE, 18)
    assert str(info.fps) == "30000/1001"


def test_enhanced_is_all_four_flags_pixel_for_pixel(plain, tmp_path):
    one, four = tmp_path / "one.mp4", tmp_path / "four.mp4"
    flags = ("--temporal-smooth", "--detail-enhance", "--expression-opt", "--gaze-correct")
    assert reenact("-d", plain, "-o", one, "--enhanced") == 0
    assert reenact("-d", plain, "-o", four, *flags) == 0
    np.testing.assert_array_equal(pictures(one), pictures(four))


def test_a_motion_template_moves_the_head(shared, tmp_path):
    out = tmp_path / "out.mp4"
    assert reenact("-d", shared / "tracks" / "d1.pkl", "-o", out, "--preset", "smooth") == 0
    assert video.info(out).frames == 16


def test_nothing_is_overwritten_without_force(plain, tmp_path, capsys):
    out = tmp_path / "out.mp4"
    out.write_bytes(b"mine")
    assert reenact("-d", plain, "-o", out) == 2
    assert "--force" in capsys.readouterr().err and out.read_bytes() == b"mine"


def test_one_frame_is_refused(tmp_path, capsys):
    one = tmp_path / "one.npz"
    save_track(driver(1), one)
    assert reenact("-d", one, "-o", tmp_path / "out.mp4") == 2
    assert "one frame" in capsys.readouterr().err
    assert not (tmp_path / "out.mp4").exists()


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("-o", "out.txt"), "video file name"),
        (("-o", "out.mp4", "-r", "absent.pt"), "absent.pt: does not exist"),
        (("-o", "out.mp4", "--flame", "x.pt"), "own head model"),
        (("-o", "out.mp4", "-i", "absent.jpg"), "does not exist"),
        (("-o", "out.mp4", "--preset", "best"), "preset"),
    ],
)
def test_unusable_options_are_named(plain, tmp_path, monkeypatch, capsys, words, named):
    monkeypatch.chdir(tmp_path)
    assert reenact("-d", plain, *words) == 2
    assert named in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
