"""Files of other trackers: read to known values, named by `info`, and refused where they are damaged or hostile."""

from __future__ import annotations

import os
import pickle
import warnings
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

import gagjax as gj
from gagjax.app.commands.info import describe
from gagjax.camera import project
from gagjax.conventions.head_pose import ROOT, folded
from gagjax.errors import InputError
from gagjax.io import tracks
from tests.io.formats import foreign_files as made

MAKERS = {
    "artalk": (made.artalk, "artalk"),
    "deca npz": (made.deca, "deca"),
    "deca pkl": (lambda folder: made.deca(folder, "pkl"), "deca"),
    "deca mat": (lambda folder: made.deca(folder, "mat"), "deca"),
    "deca npy": (lambda folder: made.deca(folder, "npy"), "deca"),
    "emoca": (lambda folder: made.deca(folder, "npz", "emoca"), "deca"),
    "emoca pkl": (lambda folder: made.deca(folder, "pkl", "emoca"), "deca"),
    "emoca folder": (lambda folder: made.deca(folder, "folder"), "deca"),
    "inferno": (made.inferno, "deca"),
    "smirk": (made.smirk, "smirk"),
    "smirk pkl": (lambda folder: made.smirk(folder, "pkl"), "smirk"),
    "metrical": (made.metrical, "metrical"),
    "head tracker": (made.head_tracker, "head-tracker"),
    "head tracker old": (made.head_tracker_old, "head-tracker"),
    "cap4d": (made.cap4d, "cap4d"),
    "beat2": (made.beat2, "smplx"),
    "talkshow": (made.talkshow, "smplx"),
    "dejavu": (made.dejavu, "dejavu"),
}


@pytest.mark.parametrize("name", MAKERS)
def test_known_values_come_out(name, tmp_path):
    maker, format = MAKERS[name]
    file = maker(tmp_path)
    assert tracks.find(file.path).format == format
    track = gj.load_track(file.path)
    want = file.fields
    assert len(track) == made.FRAMES and bool(np.asarray(track.valid).all())
    assert float(track.fps) == want.get("fps", 25)
    for field in ("expression", "jaw", "eyes", "neck"):
        if field in want:
            np.testing.assert_allclose(getattr(track, field), want[field], atol=2e-6)
    if "shape" in want:
        np.testing.assert_array_equal(track.shape, want["shape"])
    if "lids" in want:
        np.testing.assert_array_equal(track.extra["eyelids"], want["lids"])
    title, lines, _ = describe(file.path)
    assert title.startswith(tracks.FORMATS[format])
    assert dict(lines)


@pytest.mark.parametrize("name", ["metrical", "head tracker", "cap4d"])
def test_the_camera_shows_points_where_the_tracker_has_them(name, tmp_path):
    file = MAKERS[name][0](tmp_path)
    track = gj.load_track(file.path)
    points = np.float32([[0.03, 0.02, 0.05], [-0.05, -0.08, 0.02], [0.0, 0.1, -0.05]])
    spun = np.tile(points, (made.FRAMES, 1, 1)).astype(np.float64)
    if "neck_about_root" in file.fields:
        turn = Rotation.from_rotvec(file.fields["neck_about_root"]).as_matrix()
        spun = np.einsum("tij,tnj->tni", turn, spun - ROOT) + ROOT
    seen = np.einsum("tij,tnj->tni", file.fields["R"], spun) + np.asarray(file.fields["t"])[:, None]
    want = np.einsum("ij,tnj->tni", file.fields["K"], seen)
    want = want[..., :2] / want[..., 2:]
    assert (seen[..., 2] > 0).all()
    got = project(np.tile(5 * points, (made.FRAMES, 1, 1)), folded(track).camera)
    np.testing.assert_allclose(got, want, atol=2e-2)  # pixels


@pytest.mark.parametrize("name", ["deca npz", "smirk"])
def test_the_crop_camera_shows_the_head_in_its_size_and_turn(name, tmp_path):
    file = MAKERS[name][0](tmp_path)
    track = gj.load_track(file.path)
    points = np.float32([[0.03, 0.02, 0.05], [-0.05, -0.08, 0.02], [0.0, 0.07, -0.05]])
    turned = np.einsum("tij,nj->tni", Rotation.from_rotvec(file.fields["head"]).as_matrix(), points)
    scale, shift = file.fields["cam"][:, None, :1], file.fields["cam"][:, None, 1:]
    flat = scale * (turned[..., :2] + shift)  # half crops, x right, y up
    want = np.stack([256 + 256 * flat[..., 0], 256 - 256 * flat[..., 1]], -1)
    got = np.asarray(project(np.tile(5 * points, (made.FRAMES, 1, 1)), track.camera))
    assert np.abs(got - want).max() < 8  # pixels of 512: what perspective changes


def test_a_frame_that_is_missing_is_lost(tmp_path):
    file = made.metrical(tmp_path, missing=2)
    track = gj.load_track(file.path)
    assert np.asarray(track.valid).tolist() == [True, True, False, True]
    np.testing.assert_array_equal(track.expression[3], file.fields["expression"][3])


def test_what_is_not_read_is_named(tmp_path):
    with pytest.warns(UserWarning, match="unread: blendshape_scores"):
        gj.save_track(gj.load_track(made.head_tracker(tmp_path).path), tmp_path / "a.npz")
    assert gj.load_track(tmp_path / "a.npz").expression.shape == (4, 100)
    assert "blendshape_scores" in dict(describe(tmp_path / "a.npz")[1])["left unread"]


@pytest.mark.parametrize(("format", "columns"), [("deca", 56), ("deca", 59), ("smirk", 55), ("artalk", 106)])
def test_a_bare_array_is_read_as_said(format, columns, tmp_path):
    rows = np.random.default_rng(0).uniform(0, 0.1, (5, columns)).astype(np.float32)
    if columns == 59:
        rows[:, 56] = 7
    np.save(tmp_path / "a.npy", rows)
    with pytest.raises(InputError, match=f"--from-format {format}"):
        gj.load_track(tmp_path / "a.npy")
    track = gj.load_track(tmp_path / "a.npy", format=format)
    np.testing.assert_array_equal(track.expression[:, :50], rows[:, :50])
    jaw = {56: slice(53, 56), 59: slice(53, 56), 55: slice(50, 53), 106: slice(103, 106)}[columns]
    np.testing.assert_array_equal(track.jaw, rows[:, jaw])
    assert describe(tmp_path / "a.npy", format)[0].startswith(tracks.FORMATS[format])


def test_a_format_that_does_not_fit_is_refused(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((3, 7), np.float32))
    with pytest.raises(InputError, match=r"shape \(3, 7\)"):
        gj.load_track(tmp_path / "a.npy", format="deca")
    with pytest.raises(InputError, match="no way of reading"):
        gj.load_track(tmp_path / "a.npy", format="vhap")


class Bomb:
    def __reduce__(self):
        return os.mkdir, ("/tmp/gagjax_was_run",)


def _damaged(name, path):
    """The content of a file with one thing wrong, and what the message has to say."""
    rng = np.random.default_rng(0)
    if name == "bomb in npy":
        np.save(path / "a.npy", np.array({"exp": rng.normal(size=(3, 50)), "pose": Bomb()}, object), allow_pickle=True)
        return path / "a.npy", "refused"
    if name == "bomb in pickled npy":
        (path / "a.npy").write_bytes(pickle.dumps({"exp": Bomb(), "jaw": np.zeros((3, 3))}))
        return path / "a.npy", "refused"
    if name == "unequal lengths":
        np.savez(path / "a.npz", exp=np.zeros((4, 50)), pose=np.zeros((3, 6)), cam=np.full((4, 3), 7.0))
        return path / "a.npz", "unequal length"
    if name == "wrong width":
        np.savez(path / "a.npz", exp=np.zeros((4, 50)), pose=np.zeros((4, 7)))
        return path / "a.npz", "pose"
    if name == "text":
        np.savez(path / "a.npz", exp=np.full((4, 50), "x"), pose=np.zeros((4, 6)))
        return path / "a.npz", "exp"
    if name == "not finite":
        np.savez(path / "a.npz", exp=np.zeros((4, 50)), pose=np.full((4, 6), np.nan), cam=np.full((4, 3), 7.0))
        return path / "a.npz", "not finite"
    if name == "cam not positive":
        np.savez(path / "a.npz", exp=np.zeros((4, 50)), pose=np.zeros((4, 6)), cam=np.zeros((4, 3)))
        return path / "a.npz", "scale"
    if name == "npy that lies":
        np.save(path / "a.npy", np.zeros((4, 106)))
        data = bytearray((path / "a.npy").read_bytes())
        (path / "a.npy").write_bytes(bytes(data).replace(b"(4, 106)", b"(9, 106)"))
        return path / "a.npy", "does not hold"
    if name == "mat cut off":
        data = made.deca(path, "mat").path.read_bytes()
        (path / "b.mat").write_bytes(data[:-100])
        return path / "b.mat", "MATLAB"
    if name == "mat of text":
        (path / "b.mat").write_bytes(b"MATLAB 5.0 MAT-file".ljust(126, b" ") + b"IM" + b"\xff" * 64)
        return path / "b.mat", "MATLAB"
    if name == "mat that bursts":
        import struct
        import zlib

        packed = zlib.compress(struct.pack("<II", 14, 1 << 31) + b"\0" * (1 << 26), 9)
        head = b"MATLAB 5.0 MAT-file".ljust(124, b" ") + b"\x00\x01IM"
        (path / "b.mat").write_bytes(head + struct.pack("<II", 15, len(packed)) + packed)
        return path / "b.mat", "MATLAB"
    if name == "frame without camera":
        torch = pytest.importorskip("torch", reason="needs torch, which writes such files")

        torch.save({"flame": {"exp": np.zeros((1, 100))}, "opencv": {}}, path / "00000.frame")
        return path / "00000.frame", "eyes"
    if name == "picture of no size":
        torch = pytest.importorskip("torch", reason="needs torch, which writes such files")

        folder = made.metrical(path).path / "checkpoint"
        frame = torch.load(folder / "00000.frame", weights_only=False)
        torch.save(frame | {"img_size": np.array([0, -5])}, folder / "00000.frame")
        return folder / "00000.frame", "img_size"
    if name == "link in a folder":
        folder = made.metrical(path).path / "checkpoint"
        (folder / "00009.frame").symlink_to("/etc/passwd")
        return folder, "is a link"
    assert name == "empty"
    np.savez(path / "a.npz", exp=np.zeros((0, 50)), pose=np.zeros((0, 6)))
    return path / "a.npz", "shape"


@pytest.mark.parametrize(
    "name",
    ["bomb in npy", "bomb in pickled npy", "unequal lengths", "wrong width", "text", "not finite", "cam not positive",
     "npy that lies", "mat cut off", "mat of text", "mat that bursts", "frame without camera", "picture of no size",
     "link in a folder", "empty"],
)  # fmt: skip
def test_hostile_and_damaged_files_are_refused(name, tmp_path):
    path, said = _damaged(name, tmp_path)
    with warnings.catch_warnings(), pytest.raises(InputError, match=said) as caught:
        warnings.simplefilter("ignore")
        gj.load_track(path)
    assert str(path.parent) in str(caught.value) or caught.value.file is not None
    assert not Path("/tmp/gagjax_was_run").exists()
