"""A film where a track is expected: tracked first, kept, used again, and its camera is the one that filmed."""

from __future__ import annotations

import numpy as np
import pytest

from gagjax import flame
from gagjax.app import cli
from gagjax.app.viewer import page
from gagjax.app.workflows import ablate
from gagjax.camera import project
from gagjax.io import images, video
from gagjax.io.cropping import crop_of, in_crop
from gagjax.io.tracks import load_track, save_track
from gagjax.tracking import points, store

FRAMES = 16


def run(*words):
    return cli.main([str(word) for word in words])


@pytest.fixture(scope="module")
def enhanced(filmed, tmp_path_factory):
    """A folder with the film's track and what `enhance` made of it."""
    folder = tmp_path_factory.mktemp("enhanced")
    assert run("enhance", filmed, "-o", folder / "steady.npz") == 0
    return folder


@pytest.fixture
def no_tracking(monkeypatch):
    """Fails where a film is gone through again."""
    monkeypatch.setattr(store.LandmarkStore, "collect", lambda *words: pytest.fail("tracked again"))


def test_a_film_is_tracked_once(filmed, enhanced, no_tracking, capsys):
    assert {path.name for path in enhanced.iterdir()} == {"steady.npz", "talk_tracked.npz"}
    raw, steady = load_track(enhanced / "talk_tracked.npz"), load_track(enhanced / "steady.npz")
    assert raw.fps == steady.fps == 30 and len(steady) == FRAMES
    assert np.abs(np.diff(steady.jaw, 2, axis=0)).mean() < np.abs(np.diff(raw.jaw, 2, axis=0)).mean()
    assert run("eval", filmed, "--csv", enhanced / "figures.csv") == 0
    said = capsys.readouterr().out
    assert "tracked before" in said and "jaw: jitter" in said


def test_another_film_of_the_name_is_tracked_again(performance, tmp_path, monkeypatch, capsys):
    film = tmp_path / "a.mp4"
    video.write(film, performance[:6], 25)
    assert run("enhance", film, "-o", tmp_path / "x.npz") == 0
    assert "tracked first, into" in capsys.readouterr().out
    assert run("enhance", film, "-o", tmp_path / "y.npz", "-f") == 0
    assert "tracked first, into" in capsys.readouterr().out
    video.write(film, performance[6:], 25, force=True)
    assert run("enhance", film, "-o", tmp_path / "z.npz") == 0
    assert "tracked first, into" in capsys.readouterr().out
    assert len(load_track(tmp_path / "a_tracked.npz")) == 10


def test_what_tracking_has_not_made_stays(filmed, enhanced, tmp_path, no_tracking, capsys):
    mine = tmp_path / "talk_tracked.npz"
    save_track(in_crop(load_track(enhanced / "steady.npz"))[:5].take(range(5)), tmp_path / "other.npz")
    with np.load(tmp_path / "other.npz") as file:
        np.savez(mine, **{name: value for name, value in file.items() if not name.startswith("tracking.")})
    before = mine.read_bytes()
    assert run("enhance", filmed, "-o", tmp_path / "out.npz", "-f") == 2
    assert "exists already" in capsys.readouterr().err and mine.read_bytes() == before


def test_the_camera_is_the_one_that_filmed(enhanced):
    track = load_track(enhanced / "talk_tracked.npz")
    camera = track.camera
    assert (camera.width, camera.height) == (256, 256) and track.camera_known
    with np.load(enhanced / "talk_tracked.npz") as file:
        marks = file["tracking.landmarks"]
    centres = np.asarray(flame.eye_centres(flame.builtin(), np.asarray(track.shape)))  # left, right
    seen = np.asarray(project(5 * np.tile(centres, (FRAMES, 1, 1)), camera))
    eyes = marks[:, points.LIDS[::-1, :2], :2].mean(2)
    assert np.abs(seen - eyes).max() < 0.1 * points.interocular(marks).mean()


def test_a_given_focal_length_is_written(performance, tmp_path):
    picture = tmp_path / "wide.png"
    images.write(picture, np.pad(performance[0], ((0, 0), (100, 44), (0, 0)), mode="edge"))
    assert run("track", picture, "-o", tmp_path / "a.npz", "--focal", "3") == 0
    lens = load_track(tmp_path / "a.npz").intrinsics
    np.testing.assert_allclose(lens.K, [[1200, 0, 200], [0, 1200, 128], [0, 0, 1]], rtol=1e-5)
    assert (lens.width, lens.height) == (400, 256)


def test_the_folder_shows_the_head_as_the_crop_does(filmed, enhanced, no_tracking, tmp_path):
    assert run("enhance", filmed, "-o", enhanced / "driver", "--enable", "temporal") == 0
    assert (enhanced / "driver" / "img_lmdb").is_dir()
    folder = load_track(enhanced / "talk_tracked")
    whole = load_track(enhanced / "talk_tracked.npz")
    cropped = in_crop(whole)
    assert cropped.intrinsics is None and cropped.fps == 30
    np.testing.assert_allclose(folder.transform, cropped.transform, atol=1e-5)
    # The eyes lie in the crop where they lie in the picture.
    head = 5 * np.asarray(flame.eye_centres(flame.builtin(), np.asarray(whole.shape)))
    points_ = np.tile(head, (FRAMES, 1, 1))
    crop = crop_of(whole)
    there = crop[:, None, :2] + np.asarray(project(points_, cropped.camera)) / 512 * crop[:, None, 2:]
    assert np.abs(there - np.asarray(project(points_, whole.camera))).max() < 0.02 * crop[0, 2]


def test_view_and_ablate_take_films(filmed, enhanced, no_tracking, monkeypatch, capsys):
    pytest.importorskip("viser")
    monkeypatch.chdir(enhanced)
    seen = []

    class Page:
        address = "nowhere"

        def __init__(self, session, **words):
            seen.append(session.track)

        def play(self):
            raise KeyboardInterrupt

        def close(self):
            seen.append("closed")

    monkeypatch.setattr(page, "Viewer", Page)
    assert run("view", filmed) == 0
    assert seen[0].intrinsics.width == 256 and seen[1] == "closed"
    monkeypatch.setattr(ablate, "run", lambda clips, folder, size: seen.extend(clips) or "a table")
    assert run("ablate", filmed, "--seeds", "1", "-o", enhanced / "ablation") == 0
    assert len(seen[2].truth) == FRAMES
    assert capsys.readouterr().out.count("tracked before") == 2


def test_an_avatar_is_fitted_to_a_film(filmed, enhanced, no_tracking, monkeypatch, capsys):
    out = enhanced / "avatar"
    words = ("--size", "64", "--gaussians", "300", "--steps", "2", "--no-motion", "--pictures", "0")
    assert run("fit", filmed, "-o", out, *words) == 0
    masks = sorted((enhanced / "talk_tracked" / "masks").iterdir())
    assert len(masks) == FRAMES
    grey = images.read(masks[0])
    assert grey[256, 256, 0] > 200 > 50 > grey[5, 5, 0]
    assert load_track(out / "track.npz").fps == 30


def test_frames_without_a_face_stay_as_they_are(performance, scenery, tmp_path, capsys):
    film = tmp_path / "in.mkv"
    video.write(film, [*performance[:6], scenery, scenery, *performance[6:10]], 25, crf=0)
    assert run("video", film, "-o", tmp_path / "out") == 0
    assert "10 of 12 frames show the face" in capsys.readouterr().out
    before = np.stack(list(video.read(film)[0]))
    after = np.stack([images.read(path) for path in sorted((tmp_path / "out").iterdir())])
    changed = (before != after).any((1, 2, 3))
    assert changed.tolist() == [True] * 6 + [False] * 2 + [True] * 4
    assert run("video", film, "-o", tmp_path / "face", "--region", "face") == 0
    face = np.stack([images.read(path) for path in sorted((tmp_path / "face").iterdir())])
    assert (face[0, :20] == before[0, :20]).all() and (face[0] != before[0]).any()


def test_eyes_of_a_film_are_found(performance, tmp_path):
    from gagjax.app.workflows.faces import faces_in

    film = tmp_path / "in.mkv"
    video.write(film, performance[:4], 25, crf=6)
    faces = faces_in(film, tmp_path / "out.mp4")
    centres = faces.eye_centres(2, 5, 256, 256)
    assert np.isfinite(centres[:2]).all() and np.isnan(centres[2:]).all()
    assert (np.abs(centres[0, :, 1] - 0.4) < 0.15).all() and centres[0, 0, 0] < 0.5 < centres[0, 1, 0]
    mask = faces.mask(0, 256, 256)
    assert mask[150, 128, 0] > 0.95 and mask[5, 5, 0] < 0.01


def test_a_film_without_a_face_is_sharpened_whole(scenery, tmp_path, capsys):
    film = tmp_path / "in.mkv"
    video.write(film, [scenery] * 3, 25, crf=0)
    assert run("video", film, "-o", tmp_path / "out") == 0
    assert "whole frames are enhanced" in capsys.readouterr().out
    before = next(iter(video.read(film)[0]))
    assert (images.read(sorted((tmp_path / "out").iterdir())[0]) != before).any()
    assert {path.name for path in tmp_path.iterdir()} == {"in.mkv", "out"}
    assert run("video", film, "-o", tmp_path / "two", "--region", "face") == 2
    assert "knows no face" in capsys.readouterr().err
