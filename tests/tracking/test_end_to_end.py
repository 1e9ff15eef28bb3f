"""Pictures to parameters with the real networks, on renderings of the built-in avatar."""

from __future__ import annotations

import numpy as np
import pytest

from gagjax import avatars, flame
from gagjax.app import cli
from gagjax.io import frame_database, images, video
from gagjax.io.tracks import load_portraits, load_track
from gagjax.simulate import driving
from gagjax.tracking import store
from gagjax.tracking.faces import detection
from gagjax.tracking.faces.following import Follower
from gagjax.tracking.fit.shot import subject
from gagjax.tracking.live import LiveTracker

FRAMES = 12


@pytest.fixture(scope="module")
def pictures(networks):
    """A few frames of an identity that performs."""
    track = driving.driver(FRAMES, seed=3, controls=flame.CONTROLS)
    rendered = avatars.render(avatars.builtin(3), track, size=256)
    return (np.clip(rendered, 0, 1) * 255).astype(np.uint8)


def test_the_face_is_found_upright_turned_and_small(pictures):
    picture = pictures[0]
    (face,) = detection.detect(picture)
    assert abs(np.degrees(face.region.angle)) < 15
    for quarter in (1, 2, 3):
        look = Follower()(np.ascontiguousarray(np.rot90(picture, quarter)))
        chin, forehead = look.points[152, :2], look.points[10, :2]
        down = (chin - forehead) / np.linalg.norm(chin - forehead)
        expected = {1: (1, 0), 2: (0, -1), 3: (-1, 0)}[quarter]
        assert down @ expected > 0.9
    small = np.full((1080, 1920, 3), 110, np.uint8)
    small[400:656, 1200:1456] = picture
    x = Follower()(small).points[1, 0]
    assert 1200 < x < 1456
    assert detection.detect(np.full((200, 300, 3), 127, np.uint8)) == []


def test_a_lost_face_is_found_again(pictures):
    follower = Follower()
    grey = np.full_like(pictures[0], 127)
    found = [bool(follower(p).confidence) for p in (pictures[0], pictures[1], grey, pictures[2])]
    assert found == [True, True, False, True]


def test_a_stream_agrees_with_the_whole_clip(pictures):
    live = LiveTracker(subject(flame.builtin()), learn=4)
    frames = [live(picture) for picture in pictures]
    assert all(frame is not None and frame.valid for frame in frames)
    assert frames[-1].residual < 0.02
    lost = live(np.full_like(pictures[0], 127))
    assert not lost.valid
    np.testing.assert_array_equal(lost.jaw, frames[-1].jaw)


@pytest.fixture
def film(pictures, tmp_path):
    path = tmp_path / "film.mp4"
    video.write(path, pictures, 25)
    return path


def test_a_film_becomes_a_track_and_an_interrupted_run_goes_on(film, tmp_path, monkeypatch, capsys):
    whole, resumed = tmp_path / "whole.npz", tmp_path / "resumed.npz"
    assert cli.main(["track", str(film), "-o", str(whole)]) == 0
    assert "residual" in capsys.readouterr().out
    monkeypatch.setattr(store, "EVERY", 5)
    first = store.Follower.__call__
    seen = []

    def stops(self, picture):
        if len(seen) == 7:
            raise KeyboardInterrupt
        seen.append(0)
        return first(self, picture)

    with monkeypatch.context() as patched:
        patched.setattr(store.Follower, "__call__", stops)
        assert cli.main(["track", str(film), "-o", str(resumed)]) == 130
    assert not resumed.exists()
    again = []
    monkeypatch.setattr(store.Follower, "__call__", lambda self, p: again.append(0) or first(self, p))
    assert cli.main(["track", str(film), "-o", str(resumed)]) == 0
    assert len(again) == FRAMES - 5
    with np.load(whole) as a, np.load(resumed) as b:
        assert a["tracking.landmarks"].shape == (FRAMES, 478, 3)
        np.testing.assert_allclose(a["tracking.landmarks"], b["tracking.landmarks"], atol=1e-3)
    np.testing.assert_allclose(load_track(whole).jaw, load_track(resumed).jaw, atol=1e-4)
    assert not list(tmp_path.glob(".*"))


def test_the_folder_form_is_read_back(film, tmp_path):
    out = tmp_path / "driver"
    assert cli.main(["track", str(film), "-o", str(out)]) == 0
    track = load_track(out)
    assert len(track) == FRAMES
    assert np.asarray(track.valid).all()
    database = frame_database.FrameDatabase(out)
    assert set(track.names) == set(database)
    assert database[track.names[0]].shape == (512, 512, 3)


def test_a_picture_becomes_a_portrait(pictures, tmp_path):
    picture, out = tmp_path / "photo.png", tmp_path / "tracked.pt"
    images.write(picture, pictures[0])
    assert cli.main(["track", str(picture), "-o", str(out)]) == 0
    (portrait,) = load_portraits(out).values()
    assert portrait.image.shape == (512, 512, 3)
    assert 0 <= portrait.image.min() <= portrait.image.max() <= 1
    torch = pytest.importorskip("torch")
    content = torch.load(out, weights_only=False)
    assert content["photo.png"]["transform_matrix"].shape == (3, 4)
