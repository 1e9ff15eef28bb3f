"""Writers of formats of others: torch files, ARTalk's tensor, LAM's JSON, and cameras beside parameters."""

from __future__ import annotations

import dataclasses
import json
import pickle
import warnings
from pathlib import Path

import numpy as np
import pytest

import gagjax as gj
from gagjax.errors import InputError
from gagjax.io import tracks
from gagjax.io.formats import torch_archive, transforms
from gagjax.io.untrusted.checkpoints import load_torch
from tests.io import make
from tests.io.formats import foreign_files as made

VALUES = {
    "floats": np.arange(6, dtype=np.float32).reshape(2, 3),
    "doubles": np.linspace(0, 1, 24).reshape(2, 3, 4),
    "halves": np.float16([1, 2]),
    "whole": np.arange(3),
    "bytes": np.uint8([[1, 2]]),
    "flags": np.array([True, False]),
    "complex": np.complex64([1 + 2j]),
    "number": np.array(2.5),
    "empty": np.zeros((0, 3), np.float32),
    "fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "plain": [1, 2.5, "text", None, True, (3, -(1 << 40))],
    3: {"inner": np.float32(0.5)},
}


def test_torch_reads_what_is_written_without_it(tmp_path):
    torch = pytest.importorskip("torch")
    path = tmp_path / "a.pt"
    path.write_bytes(torch_archive.dumps(VALUES))
    for mapped in (False, True):
        found = torch.load(path, weights_only=True, mmap=mapped)
        assert list(found) == list(VALUES)
        for name, value in VALUES.items():
            if isinstance(value, np.ndarray):
                assert found[name].numpy().dtype == value.dtype and found[name].is_contiguous()
                np.testing.assert_array_equal(found[name].numpy(), value)
        assert found["plain"] == VALUES["plain"] and found[3] == {"inner": 0.5}
    ours = load_torch(path)
    np.testing.assert_array_equal(ours["fortran"], VALUES["fortran"])
    assert torch_archive.dumps(VALUES) == path.read_bytes()  # the same content is the same file


@pytest.mark.parametrize("value", [b"bytes", {1, 2}, np.array(["text"]), np.zeros(2, np.uint16), object()])
def test_what_torch_would_not_load_safely_is_refused(value):
    with pytest.raises(TypeError):
        torch_archive.dumps({"x": value})


def test_records_as_a_torch_file(tmp_path):
    torch = pytest.importorskip("torch")
    content = make.records(5, numbers=[0, 1, 3, 4, 5])
    (tmp_path / "optim.pkl").write_bytes(pickle.dumps(content))
    track = gj.load_track(tmp_path / "optim.pkl")
    gj.save_track(track, tmp_path / "out.pt")
    found = torch.load(tmp_path / "out.pt", weights_only=True)
    assert list(found) == list(content)
    for key, record in content.items():
        for name, value in record.items():
            np.testing.assert_array_equal(found[key][name].numpy(), value)
    again = gj.load_track(tmp_path / "out.pt")
    np.testing.assert_array_equal(again.expression, track.expression)
    assert np.asarray(again.valid).tolist() == [True, True, False, True, True, True]


def test_records_that_torch_cannot_hold_are_refused(tmp_path):
    content = make.records(2)
    for record in content.values():
        record["raw"] = b"\x00\x01"
    (tmp_path / "optim.pkl").write_bytes(pickle.dumps(content))
    track = gj.load_track(tmp_path / "optim.pkl")
    with pytest.raises(InputError, match=r"\.pkl"):
        gj.save_track(track, tmp_path / "out.pt")
    assert not (tmp_path / "out.pt").exists()


def test_artalk_round_trip(tmp_path):
    torch = pytest.importorskip("torch")
    file = made.artalk(tmp_path)
    before = torch.load(file.path, weights_only=True).numpy()
    track = gj.load_track(file.path)
    tracks.save_track(track, tmp_path / "b_motions.pt")
    np.testing.assert_array_equal(torch.load(tmp_path / "b_motions.pt", weights_only=True).numpy(), before)
    gj.save_track(track, tmp_path / "own.npz")
    jaw = np.array(track.jaw)
    jaw[1, 0] += 0.125
    moved = dataclasses.replace(gj.load_track(tmp_path / "own.npz"), jaw=jaw)
    tracks.save_track(moved, tmp_path / "c_motions.pt")
    after = torch.load(tmp_path / "c_motions.pt", weights_only=True).numpy()
    assert np.argwhere(after != before).tolist() == [[1, 103]]


def test_a_track_becomes_a_motion_of_artalk(tmp_path):
    torch = pytest.importorskip("torch")
    file = made.metrical(tmp_path)
    track = gj.load_track(file.path)
    with pytest.warns(UserWarning) as said:
        tracks.save_track(track, tmp_path / "a_motions.pt")
    assert any("lid parameters" in str(each.message) for each in said)
    rows = torch.load(tmp_path / "a_motions.pt", weights_only=True).numpy()
    assert rows.shape == (4, 106) and rows.dtype == np.float32
    np.testing.assert_allclose(rows[:, 103:], file.fields["jaw"], atol=2e-6)
    # The camera's axes are the head's turned half about x.
    seen = made.drawn(5, expressions=100)["head"] * [1, -1, -1]
    np.testing.assert_allclose(rows[:, 100:103], seen, atol=2e-6)


def filmed(frames: int = 5, seed: int = 3) -> gj.Track:
    """A track whose head and camera both move, with a lens of its own."""
    rng = np.random.default_rng(seed)
    from scipy.spatial.transform import Rotation

    from gagjax.camera import Intrinsics

    def turns(size: float) -> np.ndarray:
        return Rotation.from_rotvec(size * rng.normal(size=(frames, 3))).as_matrix().astype(np.float32)

    place = (rng.normal(size=(frames, 3)) + [0, 0, 6]).astype(np.float32)
    camera = np.concatenate([turns(0.1) @ np.diag([-1, 1, -1]).astype(np.float32), place[..., None]], 2)
    return make.track(
        frames,
        transform=camera,
        extra={"rotation": turns(0.3), "translation": 0.1 * rng.normal(size=(frames, 3))},
        rotations=("rotation",),
        neck=0.1 * rng.normal(size=(frames, 3)),
        shape=rng.normal(size=300),
        intrinsics=Intrinsics(np.float32([[1500, 0, 310], [0, 1510, 260], [0, 0, 1]]), 640, 512),
        source="test",
    )


def same_motion(a: gj.Track, b: gj.Track, atol: float = 1e-6) -> None:
    for name in ("expression", "jaw", "eyes", "neck", "transform", "shape"):
        np.testing.assert_allclose(getattr(a, name), getattr(b, name), atol=atol, err_msg=name)
    for name in ("rotation", "translation"):
        np.testing.assert_allclose(a.extra[name], b.extra[name], atol=atol, err_msg=name)
    assert a.intrinsics is not None and b.intrinsics is not None
    np.testing.assert_allclose(a.intrinsics.K, b.intrinsics.K, rtol=1e-6)
    assert (a.intrinsics.width, a.intrinsics.height) == (b.intrinsics.width, b.intrinsics.height)


@pytest.mark.parametrize("format", ["vhap", "lam"])
def test_a_folder_holds_motion_and_camera(format, tmp_path):
    track = filmed()
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # nothing is lost
        tracks.save_track(track, tmp_path / "out", format=format)
    same_motion(gj.load_track(tmp_path / "out"), track)
    cameras = json.loads((tmp_path / "out" / "transforms.json").read_text())
    matrix = np.asarray(cameras["frames"][2]["transform_matrix"])
    # Column vectors, OpenGL's axes, metres: the camera's own place in the world.
    seen = np.asarray(track.transform, np.float64)[2]
    np.testing.assert_allclose(5 * matrix[:3, 3] @ seen[:, :3] + seen[:, 3], 0, atol=1e-5)


def test_lost_frames_stay_lost_and_cameras_stay_with_their_frames(tmp_path):
    track = dataclasses.replace(filmed(6), valid=np.arange(6) != 2)
    tracks.save_track(track, tmp_path / "out", format="vhap")
    again = gj.load_track(tmp_path / "out")
    assert np.asarray(again.valid).tolist() == np.asarray(track.valid).tolist()
    seen = np.asarray(track.valid)
    np.testing.assert_allclose(np.asarray(again.transform)[seen], np.asarray(track.transform)[seen], atol=1e-6)


def test_a_head_at_rest_is_filmed_by_its_own_camera(tmp_path):
    track = make.track(4)
    tracks.save_track(track, tmp_path / "out", format="vhap")
    again = gj.load_track(tmp_path / "out")
    np.testing.assert_allclose(again.transform, track.transform, atol=1e-6)
    np.testing.assert_allclose(again.extra["rotation"], np.tile(np.eye(3), (4, 1, 1)), atol=1e-6)
    assert again.intrinsics is not None and again.intrinsics.K[0, 0] == 3072


@pytest.mark.parametrize("name", ["a.npz", "flame_params.json"])
def test_an_archive_alone_says_that_its_camera_is_lost(name, tmp_path):
    folder = tmp_path / "clip"
    tracks.save_track(filmed(), folder, format="vhap")
    track = gj.load_track(folder)
    format = "vhap" if name == "a.npz" else "lam"
    with pytest.warns(UserWarning, match="camera is left out"):
        tracks.save_track(track, tmp_path / name, format=format)


def test_cameras_that_moved_replace_those_of_the_export(tmp_path):
    tracks.save_track(filmed(), tmp_path / "a", format="vhap")
    file = tmp_path / "a" / "transforms.json"
    content = json.loads(file.read_text())
    content["frames"][1]["note"] = "kept"
    content["split"] = "train"
    file.write_text(json.dumps(content))
    track = gj.load_track(tmp_path / "a")
    tracks.save_track(track, tmp_path / "b", format="vhap", frames_from=tmp_path / "a")
    assert (tmp_path / "b" / "transforms.json").read_bytes() == file.read_bytes()
    moved = np.array(track.transform)
    moved[1, 0, 3] += 0.5
    changed = dataclasses.replace(track, transform=moved)
    tracks.save_track(changed, tmp_path / "c", format="vhap", frames_from=tmp_path / "a")
    np.testing.assert_allclose(gj.load_track(tmp_path / "c").transform, moved, atol=1e-6)
    after = json.loads((tmp_path / "c" / "transforms.json").read_text())
    assert after["split"] == "train" and after["frames"][1]["note"] == "kept"
    assert [a == b for a, b in zip(after["frames"], content["frames"], strict=True)] == [True, False, True, True, True]


def lam_content(frames: int, kind: str) -> dict:
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(frames - 1, 50)).tolist()
    return {
        "translation": rng.normal(size=(frames, 3)).tolist(),
        "rotation": (0.3 * rng.normal(size=(frames, 3))).tolist(),
        "neck_pose": (0.1 * rng.normal(size=(frames, 3))).tolist(),
        "jaw_pose": (0.1 * rng.normal(size=(frames, 3))).tolist(),
        "eyes_pose": (0.1 * rng.normal(size=(frames, 6))).tolist(),
        "shape": rng.normal(size=300).tolist(),
        "expr": [{f"expr{k}": x for k, x in enumerate(row)} for row in rows] if kind == "dicts" else rows,
        "note": "mine",
    }


@pytest.mark.parametrize("kind", ["dicts", "lists"])
def test_lam_round_trip_changes_only_what_changed(kind, tmp_path):
    content = lam_content(5, kind)
    (tmp_path / "flame_params.json").write_text(json.dumps(content))
    track = gj.load_track(tmp_path / "flame_params.json")
    out = tmp_path / "out.json"
    tracks.save_track(track, out, format="lam")
    assert json.loads(out.read_text()) == content
    jaw, expression = np.array(track.jaw), np.array(track.expression)
    jaw[2, 1] += 0.25
    expression[3, 7] += 0.5
    tracks.save_track(dataclasses.replace(track, jaw=jaw, expression=expression), out, format="lam", force=True)
    after = json.loads(out.read_text())
    content["jaw_pose"][2][1] = after["jaw_pose"][2][1]
    content["expr"][2]["expr7" if kind == "dicts" else 7] = after["expr"][2]["expr7" if kind == "dicts" else 7]
    assert after == content
    again = gj.load_track(out)
    np.testing.assert_array_equal(again.jaw, jaw)
    np.testing.assert_array_equal(again.expression, expression)


def test_footage_from_lam_over_gagjax_to_vhap(shared: Path, tmp_path):
    source = shared / "footage" / "a" / "flame_params.json"
    if not source.exists():
        pytest.skip("needs the footage of ../shared")
    track = gj.load_track(source, fps=30)
    gj.save_track(track, tmp_path / "a.npz")
    between = gj.load_track(tmp_path / "a.npz")
    with pytest.warns(UserWarning, match="frame rate"):
        tracks.save_track(between, tmp_path / "vhap", format="vhap")
    again = gj.load_track(tmp_path / "vhap")
    assert len(again) == 264
    same_motion(again, track)
    cameras = transforms.read(tmp_path / "vhap" / "transforms.json")
    published = transforms.read(source.with_name("transforms.json"))
    np.testing.assert_allclose(cameras.transform, published.transform, atol=1e-6)


def test_batch_keeps_formats_where_asked(tmp_path):
    torch = pytest.importorskip("torch")
    from gagjax.app.cli import main

    (tmp_path / "in").mkdir()
    content = {k: {n: torch.tensor(x) for n, x in v.items()} for k, v in make.records(6).items()}
    torch.save(content, tmp_path / "in" / "records.pt")
    made.artalk(tmp_path / "in")
    (tmp_path / "in" / "template.pkl").write_bytes(pickle.dumps(make.template(6, ratios="")))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        code = main(["batch", str(tmp_path / "in"), "-o", str(tmp_path / "out"), "--keep-format", "--preset", "fast"])
    assert code == 0
    found = {path.name: tracks.find(path).format for path in (tmp_path / "out").iterdir() if path.suffix != ".jsonl"}
    assert found == {
        "records.pt": "gagavatar",
        "template.pkl": "liveportrait",
        "hello_natural_0_mesh_motions.pt": "artalk",
    }
    assert len(torch.load(tmp_path / "out" / "records.pt", weights_only=True)) == 6
