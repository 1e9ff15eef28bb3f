"""Hard and impossible footage, made from renderings: what comes out of each, and that `valid` tells."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from gagjax import avatars, flame
from gagjax.app import cli
from gagjax.io import video
from gagjax.io.tracks import load_track
from gagjax.simulate import driving
from gagjax.tracking.camera import PictureCamera
from gagjax.tracking.clip import MOST_TURNED, turned_away
from gagjax.tracking.faces import cover
from gagjax.tracking.faces.following import Follower
from gagjax.tracking.fit.shot import fit_shot, subject


@pytest.fixture(scope="module")
def other(networks):
    """Another identity before the same background."""
    track = driving.driver(6, seed=8, controls=flame.CONTROLS)
    return (np.clip(avatars.render(avatars.builtin(8), track, size=256), 0, 1) * 255).astype(np.uint8)


@pytest.fixture(scope="module")
def head():
    return subject(flame.builtin())


def tracked(tmp_path, pictures, **words):
    """The track that `gagjax track` makes of a film."""
    film, out = tmp_path / "film.mkv", tmp_path / "track.npz"
    video.write(film, pictures, 25, crf=6, force=True)
    assert cli.main(["track", str(film), "-o", str(out), "--force"]) == 0
    return load_track(out)


def shots(capsys):
    """How many shots the last run has told of."""
    return sum(line.startswith("frames ") for line in capsys.readouterr().out.splitlines())


def test_no_face_is_an_error_that_says_so(scenery, networks, tmp_path, capsys):
    video.write(tmp_path / "a.mp4", [scenery] * 3, 25)
    assert cli.main(["track", str(tmp_path / "a.mp4"), "-o", str(tmp_path / "a.npz")]) == 2
    assert "no face was found in 3 frames" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]


def test_of_two_faces_the_larger_one_is_followed(performance, other, tmp_path):
    small = [np.asarray(Image.fromarray(picture).resize((190, 190))) for picture in other]
    both = [
        np.concatenate([np.pad(b, ((0, 66), (0, 0), (0, 0)), "edge"), a], 1)
        for a, b in zip(performance, small, strict=False)
    ]
    follower = Follower()
    assert all(190 < follower(picture).points[1, 0] < 446 for picture in both)
    first = Follower(which=0)
    assert all(first(picture).points[1, 0] < 190 for picture in both)


def test_what_covers_the_mouth_is_not_valid(performance, tmp_path):
    hidden = performance.copy()
    hidden[6:10, 145:197, 80:160] = (196, 150, 128)
    track = tracked(tmp_path, hidden)
    assert np.flatnonzero(~np.asarray(track.valid)).tolist() == [6, 7, 8, 9]


def test_mouths_that_talk_are_not_covered():
    rng = np.random.default_rng(0)
    lips = np.zeros((40, 12, 12, 3))
    lips[:, 4:8, 2:10] = [60, -20, -10]
    opening = rng.integers(0, 3, 40)
    for i, open_ in enumerate(opening):
        lips[i, 6 - open_ : 6 + open_, 3:9] = [-60, -60, -50]
    mouths = np.clip(150 + lips + rng.normal(0, 4, lips.shape), 0, 255).astype(np.uint8)
    assert not cover.covered(mouths).any()
    mouths[10:15] = np.clip(150 + rng.normal(0, 4, (5, 12, 12, 3)), 0, 255)
    assert np.flatnonzero(cover.covered(mouths)).tolist() == [10, 11, 12, 13, 14]
    watch = cover.CoverWatch()
    order = [*mouths[:10], *mouths[15:], *mouths[10:15], *mouths[:3]]
    assert np.flatnonzero([watch(mouth) for mouth in order]).tolist() == [35, 36, 37, 38, 39]


@pytest.mark.parametrize(("yaw", "good"), [(0, True), (45, True), (75, False), (90, False)])
def test_a_profile_is_not_valid(head, networks, yaw, good):
    track = driving.driver(1, seed=3, controls=flame.CONTROLS)
    angle = np.radians(yaw)
    turn = np.array([[np.cos(angle), 0, -np.sin(angle)], [0, 1, 0], [np.sin(angle), 0, np.cos(angle)]])
    transform = np.concatenate([turn @ np.diag([-1.0, 1.0, -1.0]), [[0], [0], [9]]], 1)[None]
    still = driving.driver(1, seed=3, controls=flame.CONTROLS)
    still = type(track)(still.expression, still.jaw, still.eyes, transform.astype(np.float32))
    picture = (np.clip(avatars.render(avatars.builtin(3), still, size=512)[0], 0, 1) * 255).astype(np.uint8)
    look = Follower()(picture)
    if not np.isfinite(look.points[0, 0]):
        assert not good
        return
    fit = fit_shot(head, look.points[None], PictureCamera.of_picture(512, 512))
    assert (turned_away(fit.pose.rotation, fit.pose.shift)[0] < MOST_TURNED) == good


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_a_turned_picture_is_found_from_its_first_frame(performance, quarters):
    follower = Follower()
    for picture in performance[:3]:
        points = follower(np.ascontiguousarray(np.rot90(picture, quarters))).points
        down = points[152, :2] - points[10, :2]
        assert down @ {1: (1, 0), 2: (0, -1), 3: (-1, 0)}[quarters] > 0.9 * np.linalg.norm(down)


def test_another_face_in_the_old_ones_place_is_a_cut(performance, other, tmp_path, capsys):
    track = tracked(tmp_path, [*performance[:6], *other])
    assert shots(capsys) == 2
    shape = np.asarray(track.shape)
    assert shape.shape == (12, 300) and (shape[5] != shape[6]).any()
    assert (shape[:6] == shape[0]).all() and (shape[6:] == shape[6]).all()
    assert np.asarray(track.valid).all()


def test_a_performance_and_a_hand_are_no_cuts(performance):
    hidden = performance.copy()
    hidden[6:10, 145:197, 80:160] = (196, 150, 128)
    follower = Follower()
    assert not any(follower(picture).cut for picture in hidden)


def test_a_face_that_leaves_is_lost_and_found(performance, scenery, tmp_path):
    track = tracked(tmp_path, [*performance[:5], scenery, scenery, *performance[5:9]])
    assert np.flatnonzero(~np.asarray(track.valid)).tolist() == [5, 6]


def test_a_dark_film_is_tracked(performance):
    follower = Follower()
    for picture in (performance[:4] * 0.1).astype(np.uint8):
        assert np.isfinite(follower(picture).points).all()


@pytest.mark.parametrize(("size", "side"), [((1080, 1920), 150), ((2160, 3840), 1400)])
def test_small_faces_and_large_pictures(performance, size, side):
    canvas = np.full((*size, 3), 110, np.uint8)
    y, x = size[0] // 3, size[1] // 2
    canvas[y : y + side, x : x + side] = np.asarray(Image.fromarray(performance[0]).resize((side, side)))
    nose = Follower()(canvas).points[1, :2]
    assert x < nose[0] < x + side and y < nose[1] < y + side


def test_one_frame_is_a_track(performance, tmp_path):
    track = tracked(tmp_path, performance[:1])
    assert len(track) == 1 and np.asarray(track.valid).all()


@pytest.fixture
def portrait(performance, tmp_path):
    """A phone's film: stored on its side, upright by its display matrix."""
    import av

    tall = [np.pad(picture, ((128, 64), (0, 0), (0, 0)), "edge") for picture in performance[:4]]
    lying = tmp_path / "lying.mp4"
    video.write(lying, [np.ascontiguousarray(np.rot90(picture, -1)) for picture in tall], 25, crf=6)
    data = bytearray(lying.read_bytes())
    at = data.index(b"tkhd") + 4 + 40  # the matrix of the track header, version 0
    one = (1 << 16).to_bytes(4, "big")
    minus, zero = (-(1 << 16)).to_bytes(4, "big", signed=True), bytes(4)
    data[at : at + 36] = zero + minus + zero + one + zero + zero + zero + zero + (1 << 30).to_bytes(4, "big")
    path = tmp_path / "phone.mp4"
    path.write_bytes(data)
    with av.open(str(path)) as container:
        assert next(container.decode(video=0)).rotation in (90, -90)
    return path


def test_a_portrait_film_of_a_phone_is_upright(portrait, tmp_path):
    assert cli.main(["track", str(portrait), "-o", str(tmp_path / "a.npz")]) == 0
    track = load_track(tmp_path / "a.npz")
    assert (track.intrinsics.width, track.intrinsics.height) == (256, 448)
    assert np.asarray(track.valid).all()
    up = np.asarray(track.transform)[0, 1, :3]  # the head's up axis in the camera's axes
    assert up[1] > 0.9
