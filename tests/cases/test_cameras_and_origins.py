"""Cameras, sequences and what a file holds besides its motion, together: none of them takes another's place."""

from __future__ import annotations

import json
import pickle

import numpy as np
import pytest

import gagjax as gj
from gagjax.app.cli import main
from gagjax.errors import InputError
from gagjax.io.formats.origin import of
from tests.io import make


def cameras(folder, count: int, *, first: int = 0) -> None:
    """A camera that goes a metre to its right with every frame."""
    rows = []
    for i in range(count):
        pose = np.eye(4)
        pose[:3, 3] = [i, 0, 2]
        rows.append({"timestep_index": first + i, "transform_matrix": pose.tolist()})
    content = {"w": 100, "h": 100, "fl_x": 600.0, "frames": rows}
    (folder / "transforms.json").write_text(json.dumps(content))


def places(track) -> list[int]:
    """How many metres to the right the camera stands, a frame each."""
    return np.round(np.asarray(track.transform)[:, 0, 3] / 5).astype(int).tolist()


@pytest.mark.parametrize(
    ("stamps", "listed", "expected"),
    [
        (["00000", "00001", "00003"], 4, [0, 1, 1, 3]),  # frame 2 is lost; its camera is that of the frame before
        (["3", "0", "1"], 4, [0, 1, 1, 3]),  # out of order
        (["00010", "00011", "00012"], 3, [0, 1, 2]),  # numbers of the film: the cameras count the frames that are there
        (None, 3, [0, 1, 2]),
    ],
)
def test_an_archive_finds_the_cameras_of_its_frames(tmp_path, stamps, listed, expected):
    content = make.parameters(3) | ({} if stamps is None else {"timestep_id": np.array(stamps)})
    np.savez(tmp_path / "flame_param.npz", **content)
    cameras(tmp_path, listed)
    track = gj.load_track(tmp_path / "flame_param.npz")
    assert places(track) == expected and track.camera_known
    assert len(track) == len(expected) and np.flatnonzero(~track.valid).tolist() == ([2] if len(expected) > 3 else [])


def test_a_link_to_cameras_elsewhere_is_not_followed(tmp_path):
    (tmp_path / "in").mkdir()
    np.savez(tmp_path / "in" / "flame_param.npz", **make.parameters(3))
    cameras(tmp_path, 3)
    (tmp_path / "in" / "transforms.json").symlink_to(tmp_path / "transforms.json")
    with pytest.raises(InputError, match="link"):
        gj.load_track(tmp_path / "in")


def test_our_own_format_keeps_camera_and_origin(tmp_path):
    content = make.parameters(3) | {"static_offset": np.ones((1, 7, 3))}
    np.savez(tmp_path / "flame_param.npz", **content)
    cameras(tmp_path, 3)
    first = gj.load_track(tmp_path / "flame_param.npz")
    (tmp_path / "away").mkdir()
    gj.save_track(first, tmp_path / "away" / "a.npz")
    gj.save_track(gj.load_track(tmp_path / "away" / "a.npz")[1:], tmp_path / "away" / "b.npz")
    last = gj.load_track(tmp_path / "away" / "b.npz")
    assert (last.intrinsics.width, last.intrinsics.height) == (100, 100)
    np.testing.assert_array_equal(last.intrinsics.K, first.intrinsics.K)
    np.testing.assert_array_equal(last.transform, first.transform[1:])
    assert of(last, "vhap").frames.tolist() == [1, 2]
    with np.load(tmp_path / "away" / "b.npz") as archive:
        assert archive["camera"].shape == (3, 3) and json.loads(str(archive["metadata"]))["picture"] == [100, 100]


def test_lam_says_what_it_leaves_out_and_goes_through_our_own(tmp_path):
    content = {name: value.tolist() for name, value in make.parameters(3).items() if name != "timestep_id"}
    content["shape"] = np.ravel(content["shape"]).tolist()
    content["own"] = [1, 2, 3]
    (tmp_path / "flame_params.json").write_text(json.dumps(content))
    track = gj.load_track(tmp_path)
    assert track.source == "lam" and of(track, "lam").frames.tolist() == [0, 1, 2]
    gj.save_track(track, tmp_path / "a.npz")
    again = gj.load_track(tmp_path / "a.npz")
    assert of(again, "lam").content == content
    with pytest.warns(UserWarning, match="own"):
        gj.save_track(again, tmp_path / "b.npz", format="vhap")
    with np.load(tmp_path / "b.npz") as archive:
        np.testing.assert_allclose(archive["rotation"], content["rotation"], atol=1e-5)


def test_each_of_several_videos_keeps_its_records(tmp_path):
    content = make.records(3, "b") | make.records(3, "a", seed=1) | {"note": "mine"}
    for number, record in enumerate(content[key] for key in content if key != "note"):
        record["own"] = number
    (tmp_path / "optim.pkl").write_bytes(pickle.dumps(content))
    track = gj.load_track(tmp_path / "optim.pkl")
    assert set(track.split()) == {"a", "b"}
    gj.save_track(track.split()["a"], tmp_path / "a.pkl")
    alone = pickle.loads((tmp_path / "a.pkl").read_bytes())
    assert [alone[f"a_{i}"]["own"] for i in range(3)] == [3, 4, 5] and not [key for key in alone if key[:2] == "b_"]
    assert main(["enhance", str(tmp_path / "optim.pkl"), "-o", str(tmp_path / "out.pkl"), "--preset", "fast"]) == 0
    out = pickle.loads((tmp_path / "out.pkl").read_bytes())
    assert list(out) == list(content) and [out[key]["own"] for key in out if key != "note"] == list(range(6))
