"""For each format: whatever a file holds besides the motion that changed is equal to the bit after a round trip."""

from __future__ import annotations

import dataclasses

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import gagjax as gj
from gagjax.io import tracks
from gagjax.io.formats import packing
from tests.cases.test_formats import archive, dump, load, same_bits
from tests.io import make
from tests.oracles import track_files

NAMES = st.text(st.characters(min_codepoint=97, max_codepoint=122), min_size=3, max_size=9).map("own_{}".format)
ARRAYS = hnp.arrays(
    st.sampled_from([np.float16, np.float32, np.float64, np.int8, np.int64, np.uint8, bool, "U4"]),
    hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4),
)
PLAIN = (
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.floats() | st.text(max_size=5) | st.binary(max_size=5)
)
TREES = st.recursive(
    PLAIN | ARRAYS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3) | st.tuples(inner, inner),
    max_leaves=6,
)
TYPES = st.sampled_from([np.float16, np.float32, np.float64])


def moved(track, field, frame):
    """The track with one number of one frame changed."""
    value = np.array(getattr(track, field))
    value[frame, 0] += np.float32(0.25)
    return dataclasses.replace(track, **{field: value})


def only_changed(was, now, allowed, path=()):
    """Equal to the bit but for what lies at the paths that are allowed to differ."""
    if path in allowed:
        assert np.asarray(was).dtype == np.asarray(now).dtype and np.shape(was) == np.shape(now)
        assert (np.asarray(was) != np.asarray(now)).sum() == 1
        return
    if not any(each[: len(path)] == path for each in allowed):
        same_bits(was, now)
    elif isinstance(was, dict):
        assert list(was) == list(now)
        for key in was:
            only_changed(was[key], now[key], allowed, (*path, key))
    else:
        assert len(was) == len(now)
        for i, (left, right) in enumerate(zip(was, now, strict=True)):
            only_changed(left, right, allowed, (*path, i))


@settings(max_examples=20)
@given(data=st.data(), frames=st.integers(1, 4))
def test_gagavatar(data, frames, tmp_path_factory):
    content = make.records(frames)
    for record in content.values():
        record |= data.draw(st.dictionaries(NAMES, TREES, max_size=2))
        record["expcode"] = record["expcode"].astype(data.draw(TYPES))[: data.draw(st.sampled_from([100, 100, 50]))]
    width = min(len(record["expcode"]) for record in content.values())
    for record in content.values():
        record["expcode"] = record["expcode"][:width]
    keys = data.draw(st.permutations(list(content)))
    content = data.draw(st.dictionaries(NAMES, PLAIN | ARRAYS, max_size=2)) | {key: content[key] for key in keys}
    folder = tmp_path_factory.mktemp("gagavatar")
    track = gj.load_track(dump(folder / "optim.pkl", content))
    for path in (folder / "a.pkl", folder / "b"):
        gj.save_track(track, path)
    same_bits(content, load(folder / "a.pkl"))
    same_bits(content, load(folder / "b" / "smoothed.pkl"))
    frame = data.draw(st.integers(0, frames - 1))
    gj.save_track(moved(track, "eyes", frame), folder / "c.pkl")
    only_changed(content, load(folder / "c.pkl"), {(track.names[frame], "eyecode")})


@settings(max_examples=20)
@given(data=st.data(), frames=st.integers(1, 4), key=st.sampled_from(["R", "R_d"]), keypoints=st.booleans())
def test_liveportrait(data, frames, key, keypoints, tmp_path_factory):
    ratios = data.draw(st.sampled_from([None, "", "d_"]))
    fps = data.draw(st.sampled_from([25, 29.97, 30.0, 23.976, 12.5, np.float32(59.94)]))
    content = make.template(frames, key=key, ratios=ratios, keypoints=keypoints, fps=fps)
    content |= data.draw(st.dictionaries(NAMES, TREES, max_size=2))
    if ratios is None:
        content["c_eyes_lst"] = []
    for frame in content["motion"]:
        frame |= data.draw(st.dictionaries(NAMES, TREES, max_size=1))
    folder = tmp_path_factory.mktemp("liveportrait")
    track = gj.load_track(dump(folder / "a.pkl", content))
    gj.save_track(track, folder / "b.pkl")
    same_bits(content, load(folder / "b.pkl"))
    i = data.draw(st.integers(0, frames - 1))
    t = np.array(track.extra["t"])
    t[i, 0] += np.float32(0.25)
    gj.save_track(dataclasses.replace(track, extra={**track.extra, "t": t}), folder / "c.pkl")
    was, now = load(folder / "a.pkl"), load(folder / "c.pkl")
    for each in (was, now):  # follows the motion
        each["motion"][i].pop("x_s", None)
    only_changed(was, now, {("motion", i, "t")})


@settings(max_examples=15)
@given(data=st.data(), frames=st.integers(2, 4))
def test_vhap_archive_and_folder(data, frames, tmp_path_factory):
    content = make.parameters(frames) | data.draw(st.dictionaries(NAMES, ARRAYS, max_size=3))
    content["expr"] = content["expr"].astype(data.draw(TYPES))[:, : data.draw(st.sampled_from([100, 50]))]
    content["shape"] = content["shape"][: data.draw(st.sampled_from([300, 100]))]
    content = {key: content[key] for key in data.draw(st.permutations(list(content)))}
    folder = tmp_path_factory.mktemp("vhap")
    np.savez(folder / "a.npz", **content)
    track = gj.load_track(folder / "a.npz")
    tracks.save_track(track, folder / "b.npz", format="vhap")
    same_bits(content, archive(folder / "b.npz"))
    i = data.draw(st.integers(0, frames - 1))
    tracks.save_track(moved(track, "jaw", i), folder / "c.npz", format="vhap")
    only_changed(content, archive(folder / "c.npz"), {("jaw_pose",)})
    (folder / "in" / "flame_param").mkdir(parents=True)
    for k in range(frames):
        rows = {
            name: value[k : k + 1]
            if name in ("expr", *make.parameters(1)) and name not in ("shape", "static_offset")
            else value
            for name, value in content.items()
        }
        np.savez(folder / "in" / "flame_param" / f"{k + 7:05d}.npz", **rows)
    track = gj.load_track(folder / "in")
    tracks.save_track(moved(track, "jaw", i), folder / "out", format="vhap")
    for k in range(frames):
        was, now = (archive(folder / each / "flame_param" / f"{k + 7:05d}.npz") for each in ("in", "out"))
        only_changed(was, now, {("jaw_pose",)} if k == i else set())


@settings(max_examples=15)
@given(data=st.data(), frames=st.integers(1, 4))
def test_native(data, frames, tmp_path_factory):
    folder = tmp_path_factory.mktemp("native")
    gj.save_track(make.track(frames), folder / "a.npz")
    content = archive(folder / "a.npz") | data.draw(st.dictionaries(NAMES, ARRAYS, max_size=3))
    content["jaw"] = content["jaw"].astype(np.float64) + 1e-12
    content["metadata"] = np.array(str(content["metadata"])[:-1] + ', "studio": {"take": 7}}')
    np.savez(folder / "b.npz", **content)
    track = gj.load_track(folder / "b.npz")
    i = data.draw(st.integers(0, frames - 1))
    gj.save_track(moved(track, "eyes", i), folder / "c.npz")
    now = archive(folder / "c.npz")
    assert '"studio": {"take": 7}' in str(now["metadata"])
    for name in set(content) - {"metadata", "eyes"}:
        same_bits(content[name], now[name])
    assert (now["eyes"] != content["eyes"]).sum() == 1


@given(value=TREES)
def test_packing_keeps_every_bit(value):
    tree, data = packing.packed(value)
    same_bits(value, packing.unpacked(tree, data))


@pytest.mark.parametrize(
    ("tree", "data"),
    [
        ({"bytes": [0, 99]}, 3),
        ({"bytes": [-1, 2]}, 3),
        ({"array": ["<f4", [9], 0, 4]}, 4),
        ({"array": ["O", [1], 0, 4]}, 4),
        ({"array": ["<f4,<f4", [1], 0, 4]}, 4),
        ({"what": 1}, 0),
        ({"dict": [[1]]}, 0),
    ],
)
def test_packing_refuses_what_it_did_not_make(tree, data):
    with pytest.raises((ValueError, TypeError)):
        packing.unpacked(tree, np.zeros(data, np.uint8))


def test_each_format_read_by_another_reader(tmp_path):
    """Field by field, what we write against an independent reader; and against what the file held."""
    records = make.records(5, numbers=[3, 4, 6, 7, 9])
    track = gj.load_track(dump(tmp_path / "optim.pkl", records))
    gj.save_track(track, tmp_path / "driver")
    read = track_files.gagavatar(tmp_path / "driver" / "smoothed.pkl")
    assert list(read) == [3, 4, 6, 7, 9]
    for number, record in read.items():
        for name, value in record.items():
            np.testing.assert_array_equal(value, records[f"clip_{number}"][name].astype(np.float64))
    content = make.template(4, ratios="", fps=29.97)
    gj.save_track(gj.load_track(dump(tmp_path / "t.pkl", content)), tmp_path / "u.pkl")
    read, was = track_files.liveportrait(tmp_path / "u.pkl"), track_files.liveportrait(tmp_path / "t.pkl")
    assert float(read["fps"]) == 29.97 and int(read["frames"]) == 4
    for name in was:
        np.testing.assert_array_equal(read[name], was[name])
    with pytest.warns(UserWarning, match="the camera is left out"):
        tracks.save_track(make.track(4), tmp_path / "v.npz", format="vhap")
    read, again = track_files.vhap(tmp_path / "v.npz"), gj.load_track(tmp_path / "v.npz")
    for name, field in (("expr", "expression"), ("jaw_pose", "jaw"), ("eyes_pose", "eyes"), ("neck_pose", "neck")):
        np.testing.assert_array_equal(read[name], getattr(again, field))
    track = make.track(4, fps="30000/1001", names=[f"f_{i}" for i in range(4)], valid=[True, False, True, True])
    gj.save_track(track, tmp_path / "n.npz")
    read = track_files.native(tmp_path / "n.npz")
    assert read["fps"] == track.fps and tuple(read["names"]) == track.names
    for name in ("expression", "jaw", "eyes", "transform", "valid"):
        np.testing.assert_array_equal(read[name], getattr(track, name))
