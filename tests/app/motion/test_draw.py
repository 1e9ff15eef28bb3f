"""`gagjax draw`: what is drawn lies where the camera sees it, on whatever frames there are."""

from __future__ import annotations

import dataclasses
import json
import zipfile

import numpy as np
import pytest

import gagjax as gj
from gagjax import flame, gaze, simulate
from gagjax.app.cli import main
from gagjax.app.workflows.motion import draw, heads, overlay
from gagjax.camera import Intrinsics
from gagjax.io import frame_database, images, video

GREY = np.full((128, 128, 3), 90, np.uint8)


def run(*words):
    return main([str(word) for word in words])


@pytest.fixture(scope="module")
def clip():
    return simulate.driver(40, seed=3)[10:13]


def over(track, show, frame=GREY):
    head = heads.head_of(track, None)
    return np.stack(list(overlay.drawn(iter([frame] * len(track)), track, head, show)))


def coloured(frames, colour):
    return (frames == colour).all(-1)


def test_landmarks_lie_where_the_camera_sees_them(clip):
    head = flame.builtin()
    pose = np.concatenate([np.zeros((3, 3), np.float32), clip.jaw], 1)
    marks = flame.landmarks(head, flame.vertices(head, np.zeros(300), clip.expression, pose, clip.eyes))
    places = np.asarray(gaze.project(marks, clip.transform)[0]) * 128
    frames = over(clip, ["landmarks"])
    for t in range(3):
        rows, columns = np.nonzero(coloured(frames[t], overlay.MARK))
        drawn = np.stack([columns, rows], 1)
        apart = np.linalg.norm(drawn[:, None] - places[t][None], axis=-1)
        assert apart.min(0).max() < 2 and apart.min(1).max() < 2.5  # each landmark is drawn, and nothing else
        untouched = ~coloured(frames[t], overlay.MARK)
        np.testing.assert_array_equal(frames[t][untouched], GREY[untouched])


def test_a_gaze_into_the_lens_is_a_dot_and_one_aside_a_ray(clip):
    corrector = gaze.GazeCorrector().for_model(flame.builtin())
    lens = clip.with_channels(corrector.apply(clip.channels))
    aside = dataclasses.replace(lens, eyes=np.asarray(lens.eyes) + np.float32([0, 0.5, 0, 0, 0.5, 0]))
    for track, widest in ((lens, 8), (aside, 40)):
        frames = over(track, ["gaze"])
        for colour in overlay.COLOURS:
            for frame in frames:
                columns = np.nonzero(coloured(frame, colour))[1]
                assert len(columns) and (np.ptp(columns) < widest) and (widest == 8 or np.ptp(columns) > 9)
    left, right = (np.nonzero(coloured(frames[0], colour))[1].mean() for colour in overlay.COLOURS)
    assert left > right  # the subject's left eye is on the right of the picture


def test_the_mesh_covers_the_head_and_masks_the_eyes(clip):
    wires = (over(clip, ["mesh"]) != GREY).any(-1)
    masks = (over(clip, ["masks"]) != GREY).any(-1)
    want = np.asarray(gaze.track_eye_masks(flame.builtin(), clip, 128, 128)).max(1)
    assert (wires.mean((1, 2)) > 0.1).all() and (wires.mean((1, 2)) < 0.8).all()
    assert masks[want > 0.1].all() and not masks[want < 1e-3].any()


def test_edges_behind_others_are_left_out():
    points = np.array([[10.0, 10], [20, 10], [10.5, 10.5], [20.5, 10.5]])
    depth = np.array([9.0, 9, 10, 10])
    edges = np.array([[0, 1], [2, 3]])
    assert overlay._uncovered(points, depth, edges, (640, 640)).tolist() == [True, False]
    assert overlay._uncovered(points, -depth, edges, (640, 640)).tolist() == [False, False]


@pytest.fixture
def folder(clip, tmp_path):
    names = tuple(f"clip_{i}" for i in range(3))
    track = dataclasses.replace(clip, names=names, valid=np.array([True, True, True]))
    gj.save_track(track, tmp_path / "clip")
    frame_database.write(tmp_path / "clip" / "img_lmdb", ((name, GREY) for name in names))
    return tmp_path / "clip"


def test_the_trackers_own_frames_are_drawn_on(folder, tmp_path, capsys):
    assert run("draw", folder, "-o", tmp_path / "a.mp4") == 0
    assert "the tracker's frames" in capsys.readouterr().out
    info = video.info(tmp_path / "a.mp4")
    assert (info.width, info.height, info.frames) == (128, 128, 3)
    assert run("draw", folder, "-o", tmp_path / "b", "--side-by-side", "--show", "gaze") == 0
    wide = images.read(sorted((tmp_path / "b").iterdir())[0])
    assert wide.shape[1] > 250 and coloured(wide, overlay.COLOURS[0]).any()
    assert run("draw", folder, "-o", tmp_path / "a.mp4") == 2


def test_lost_frames_are_red_and_a_picture_is_one_frame(clip, tmp_path, capsys):
    track = dataclasses.replace(clip, valid=np.array([False, True, True]))
    gj.save_track(track, tmp_path / "a.npz")
    assert run("draw", tmp_path / "a.npz", "-o", tmp_path / "a.png", "--size", "96") == 0
    assert "1 lost" in capsys.readouterr().out
    picture = images.read(tmp_path / "a.png")
    assert picture.shape == (96, 96, 3) and (picture[0] == overlay.LOST).all()


def test_whole_frames_of_the_film(clip, tmp_path, capsys):
    """A track whose file keeps the film's camera, as `gagjax track` writes it: shots and landmarks of its own."""
    gj.save_track(clip, tmp_path / "a.npz")
    video.write(tmp_path / "film.mkv", iter([np.full((90, 160, 3), 90, np.uint8)] * 3), 25)
    assert run("draw", tmp_path / "a.npz", "--over", tmp_path / "film.mkv", "-o", tmp_path / "x.mp4") == 2
    assert "camera of the film" in capsys.readouterr().err
    camera = {"focal": 480.0, "cx": 80.0, "cy": 45.0, "width": 160, "height": 90}
    shots = [{"start": 0, "stop": 3, "camera": camera, "crop": None}]
    landmarks = np.tile(np.float32([16.0, 9.0, 0.0]), (3, 478, 1))
    with zipfile.ZipFile(tmp_path / "a.npz", "a") as archive:
        for name, value in (
            ("tracking.shots", np.array(json.dumps(shots))),
            ("tracking.transform", np.asarray(clip.transform)),
            ("tracking.landmarks", landmarks),
        ):
            with archive.open(f"{name}.npy", "w") as file:
                np.lib.format.write_array(file, value, allow_pickle=False)
    track, seen = draw.in_film(gj.load_track(tmp_path / "a.npz"), tmp_path / "a.npz")
    assert isinstance(track.intrinsics, Intrinsics) and (track.intrinsics.width, track.intrinsics.height) == (160, 90)
    np.testing.assert_allclose(seen, 0.1, atol=1e-6)
    assert run("draw", tmp_path / "a.npz", "--over", tmp_path / "film.mkv", "-o", tmp_path / "b") == 0
    picture = images.read(sorted((tmp_path / "b").iterdir())[0])
    assert picture.shape == (90, 160, 3) and coloured(picture[8:11, 14:19], overlay.SEEN).any()
    video.write(tmp_path / "other.mkv", iter([np.zeros((64, 64, 3), np.uint8)] * 3), 25)
    assert run("draw", tmp_path / "a.npz", "--over", tmp_path / "other.mkv", "-o", tmp_path / "c.mp4") == 2


def test_footage_with_its_own_camera(shared, tmp_path, capsys):
    footage = shared / "footage" / "a"
    track = gj.load_track(footage)
    assert run("draw", footage, "--over", footage / "clip.mp4", "-o", tmp_path / "a.png", "--show", "landmarks") == 0
    picture = images.read(tmp_path / "a.png")
    assert picture.shape[:2] == (track.intrinsics.height, track.intrinsics.width)
    rows, columns = np.nonzero(coloured(picture, overlay.MARK))
    assert 300 < columns.mean() < 700 and 300 < rows.mean() < 800  # on the face, which is in the middle


@pytest.mark.parametrize(("words", "message"), [(["--size", "9"], "--size"), (["--over", "none.mp4"], "none.mp4")])
def test_wrong_options_are_refused(clip, tmp_path, capsys, words, message):
    gj.save_track(clip, tmp_path / "a.npz")
    assert run("draw", tmp_path / "a.npz", "-o", tmp_path / "a.mp4", *words) == 2
    assert message in capsys.readouterr().err or message == "none.mp4"
