"""ARKit's weights in files: read to known values, written back unchanged, made from a head's motion, and driving one."""

from __future__ import annotations

import csv
import dataclasses
import json
import warnings

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

import gagjax as gj
from gagjax.app.commands.info import describe
from gagjax.errors import InputError
from gagjax.expression import arkit
from gagjax.io import tracks
from tests.io.formats import foreign_files as made

MAKERS = {
    "livelink": made.live_link,
    "arkit": made.lam_weights,
    "audio2face": made.audio2face,
    "mediapipe": made.mediapipe,
    "mediapipe result": lambda folder: made.mediapipe(folder, "result"),
    "mediapipe dict": lambda folder: made.mediapipe(folder, "dict"),
}


@pytest.mark.parametrize("name", MAKERS)
def test_known_weights_come_out(name, tmp_path):
    file = MAKERS[name](tmp_path)
    format = name.split()[0]
    assert tracks.find(file.path).format == format
    track = gj.load_track(file.path)
    np.testing.assert_allclose(track.extra["arkit"], file.fields["arkit"], atol=1e-6)
    assert float(track.fps) == file.fields["fps"]
    assert not np.any(track.expression) and not track.camera_known
    opened = np.asarray(track.extra["arkit"])[:, arkit.NAMES.index("jawOpen")]
    np.testing.assert_allclose(np.asarray(track.jaw)[:, 0], 0.4 * opened, atol=1e-6)
    title, lines, remarks = describe(file.path)
    assert title == tracks.FORMATS[format] and dict(lines)
    assert any("needs a head" in remark for remark in remarks)


def test_the_names_are_apples():
    assert [name[0].upper() + name[1:] for name in arkit.NAMES] == made.LIVE_LINK
    assert len(set(arkit.NAMES)) == 52


def test_head_and_eyes_of_a_take_turn_as_its_columns_say(tmp_path):
    file = made.live_link(tmp_path)
    track = gj.load_track(file.path)
    for i, got in enumerate(
        (
            track.extra["rotation"],
            *(Rotation.from_rotvec(np.asarray(track.eyes)[:, k : k + 3]).as_matrix() for k in (0, 3)),
        )
    ):
        yaw, pitch, roll = file.fields["angles"][:, i].T
        want = [Rotation.from_rotvec([0, a, 0]) * Rotation.from_rotvec([b, 0, 0]) * Rotation.from_rotvec([0, 0, c])
                for a, b, c in zip(yaw, pitch, roll, strict=True)]  # fmt: skip
        np.testing.assert_allclose(got, [each.as_matrix() for each in want], atol=2e-6)


def test_angles_said_to_be_radians(tmp_path):
    file = made.live_link(tmp_path)
    half = gj.load_track(file.path)
    small = gj.load_track(file.path, format="livelink-radians")
    ratio = np.linalg.norm(half.eyes, axis=1) / np.linalg.norm(small.eyes, axis=1)
    np.testing.assert_allclose(ratio, np.pi, rtol=0.1)  # three small turns are nearly one after another


def test_lost_faces_and_missing_lines_are_lost_frames(tmp_path):
    file = made.live_link(tmp_path, lost=(3, 4), gap=(10, 11))
    track = gj.load_track(file.path)
    assert len(track) == 90 and np.flatnonzero(~np.asarray(track.valid)).tolist() == [3, 4, 10, 11]
    assert track.fps == 60
    np.testing.assert_allclose(track.extra["arkit"][12], file.fields["arkit"][12], atol=1e-6)


@pytest.mark.parametrize("name", MAKERS)
def test_a_file_that_did_not_change_is_written_as_it_was(name, tmp_path):
    file = MAKERS[name](tmp_path)
    track = gj.load_track(file.path)
    gj.save_track(track, tmp_path / "own.npz")
    for i, before in enumerate((track, gj.load_track(tmp_path / "own.npz"))):
        out = tmp_path / f"out{i}{file.path.suffix}"
        tracks.save_track(before, out, format=name.split()[0])
        if name == "livelink":
            rows = [list(csv.reader(path.open(newline=""))) for path in (file.path, out)]
            assert rows[0] == rows[1]
        else:
            assert json.loads(out.read_text()) == json.loads(file.path.read_text())


@pytest.mark.parametrize("name", MAKERS)
def test_only_what_changed_is_written_anew(name, tmp_path):
    file = MAKERS[name](tmp_path)
    track = gj.load_track(file.path)
    weights = np.array(track.extra["arkit"])
    place = arkit.NAMES.index("jawOpen")
    weights[2, place] += 0.25
    out = tmp_path / f"out{file.path.suffix}"
    tracks.save_track(dataclasses.replace(track, extra={**track.extra, "arkit": weights}), out, format=name.split()[0])
    again = np.asarray(gj.load_track(out).extra["arkit"])
    changed = np.argwhere(np.abs(again - np.asarray(track.extra["arkit"])) > 1e-7)
    if weights[2, place] - 0.25 or "dict" not in name:
        assert changed.tolist() == [[2, place]]
    np.testing.assert_allclose(again[2, place], weights[2, place], atol=1e-6)


@pytest.mark.parametrize("format", ["livelink", "arkit", "audio2face", "mediapipe"])
def test_motion_of_a_head_becomes_weights_and_back(format, tmp_path):
    from gagjax import flame

    head = flame.builtin(0)
    shapes = arkit.builtin_shapes()
    wanted = made.weights(6, 9)
    for way in ("In", "Up"):  # eyes look one way at a time
        for side in ("Left", "Right"):
            wanted[:, arkit.NAMES.index(f"eyeLook{way}{side}")] = 0
    camera = np.tile(np.float32(np.c_[np.diag([-1, 1, -1]), [0, 0, 9.3]]), (6, 1, 1))
    track = gj.Track(wanted @ shapes.expression, wanted @ shapes.jaw, wanted @ shapes.eyes, camera, fps=30)
    path = tmp_path / ("a.csv" if format == "livelink" else "a.json")
    with pytest.raises(InputError, match="--flame"):
        tracks.save_track(track, path, format=format)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what the face alone leaves out is said
        tracks.save_track(arkit.with_weights(track, head), path, format=format)
    back, line = arkit.on_head(gj.load_track(path), head)
    assert "52 shapes" in line

    def mesh(each):
        pose = np.concatenate([np.zeros((6, 3)), each.jaw], 1).astype(np.float32)
        return 1000 * np.asarray(flame.vertices(head, np.zeros(0, np.float32), each.expression, pose, each.eyes))

    distance = np.linalg.norm(mesh(back) - mesh(track), axis=2)
    assert distance.mean() < 0.05 and distance.max() < 1.0  # millimetres


def _damaged(name, path):
    head = ["Timecode", "BlendShapeCount", *made.LIVE_LINK]
    row = ["00:00:00:01.0", "52", *["0.5"] * 52]
    tables = {
        "too few cells": [head, row[:-1]],
        "a word": [head, [*row[:-1], "much"]],
        "no lines": [head],
        "twice": [[*head, "eyeBlinkLeft"], [*row, "0"]],
        "infinite": [head, [*row[:-1], "inf"]],
        "another table": [["a", "b"], ["1", "2"]],
    }
    if name in tables:
        file = path / "a.csv"
        file.write_text("\n".join(",".join(line) for line in tables[name]))
        return file
    names = list(arkit.NAMES)
    contents = {
        "weights of text": {"names": names, "frames": [{"weights": ["x"] * 52}]},
        "too few weights": {"names": names, "frames": [{"weights": [0.0] * 51}]},
        "names of numbers": {"names": [1, 2], "frames": [{"weights": [0, 0]}]},
        "no frames": {"facsNames": names, "weightMat": []},
        "rate of none": {"facsNames": names, "weightMat": [[0.0] * 52], "exportFps": "fast"},
        "score of text": [[{"categoryName": "jawOpen", "score": "wide"}]],
        "score twice": [[{"categoryName": "jawOpen", "score": 0.1}, {"categoryName": "jaw_open", "score": 0.2}]],
        "endless numbers": [[{"categoryName": "jawOpen", "score": 10**400}]],
    }
    file = path / "a.json"
    file.write_text(json.dumps(contents[name]))
    return file


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("too few cells", "53 cells"),
        ("a word", "no number"),
        ("no lines", "no frames"),
        ("twice", "twice"),
        ("infinite", "not finite"),
        ("another table", "without ARKit"),
        ("weights of text", "numbers"),
        ("too few weights", "shape"),
        ("names of numbers", "names"),
        ("no frames", "no frames"),
        ("rate of none", "frame rate"),
        ("score of text", "no number"),
        ("score twice", "twice"),
        ("endless numbers", "not finite"),
    ],
)
def test_damaged_files_are_refused(name, said, tmp_path):
    file = _damaged(name, tmp_path)
    with pytest.raises(InputError, match=said):
        gj.load_track(file)


def test_a_take_drives_the_builtin_avatar(tmp_path):
    """Frames of a take in which one shape after another is at work, as `reenact` draws them."""
    from gagjax.app.cli import main
    from gagjax.io import video

    names = ("jawOpen", "eyeBlinkLeft", "mouthSmileRight", "browInnerUp")
    file = made.live_link(tmp_path, frames=61)
    rows = list(csv.reader(file.path.open(newline="")))
    for i, row in enumerate(rows[1:]):
        row[2:] = ["0"] * 61
        row[rows[0].index(names[i // 16][0].upper() + names[i // 16][1:])] = "0.9"
    with file.path.open("w", newline="") as out:
        csv.writer(out).writerows(rows)
    film = tmp_path / "a.mp4"
    assert main(["reenact", "-d", str(file.path), "-o", str(film), "--size", "128"]) == 0
    frames = np.stack([np.asarray(frame, float) for frame in video.read(film)[0]])
    assert len(frames) == 61
    mouth, left, brow = frames[:, 78:104, 44:84], frames[:, 50:62, 66:84], frames[:, 38:50, 44:84]
    parts = [slice(4, 12), slice(20, 28), slice(36, 44), slice(52, 60)]

    def moved(area, a, b):
        return np.abs(area[parts[a]].mean(0) - area[parts[b]].mean(0)).mean()

    assert moved(mouth, 0, 1) > 4 * moved(mouth, 1, 3)  # the jaw was open in the first part alone
    assert moved(left, 1, 0) > 2 * moved(left, 0, 2)  # the left eye shut in the second
    assert moved(brow, 3, 0) > 2 * moved(brow, 0, 1)  # brows up in the last
