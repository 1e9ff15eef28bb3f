"""Tracks: each format read, written back and read again; each wrong input one InputError."""

from __future__ import annotations

import copy
import pickle
import pickletools
import subprocess
import sys
import warnings
from fractions import Fraction

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

import gagjax as gj
from gagjax.conventions import head_pose
from gagjax.errors import InputError
from gagjax.io import tracks
from gagjax.io.formats import liveportrait, pickling
from tests.io import make


def dump(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps(content))
    return path


def load(path):
    return pickle.loads(path.read_bytes())


def assert_same_track(a, b):
    assert (a.fps, a.names, a.rotations, a.source) == (b.fps, b.names, b.rotations, b.source)
    assert sorted(a.extra) == sorted(b.extra)
    for name in ("expression", "jaw", "eyes", "transform", "shape", "neck", "valid"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name), err_msg=name)
    for name, value in a.extra.items():
        np.testing.assert_array_equal(value, b.extra[name], err_msg=name)


# GAGAvatar


def test_driver_folder_is_read_in_frame_order_and_prefers_the_unfiltered_file(tmp_path):
    content = make.records(12)
    dump(tmp_path / "clip" / "smoothed.pkl", content)
    track = gj.load_track(tmp_path / "clip")
    assert track.source == "gagavatar-smoothed" and track.fps == 25
    shuffled = {key: content[key] for key in sorted(content)}  # clip_0, clip_1, clip_10, clip_11, clip_2 ...
    dump(tmp_path / "clip" / "optim.pkl", shuffled)
    track = gj.load_track(tmp_path / "clip", fps="30000/1001")
    assert track.source == "gagavatar-optim" and track.fps == Fraction(30000, 1001)
    assert track.names == tuple(f"clip_{i}" for i in range(12))
    for i, record in enumerate(content.values()):
        np.testing.assert_array_equal(track.expression[i], record["expcode"])
        np.testing.assert_array_equal(track.jaw[i], record["posecode"][3:])
        np.testing.assert_array_equal(track.eyes[i], record["eyecode"])
        np.testing.assert_array_equal(track.transform[i], record["transform_matrix"])
    np.testing.assert_array_equal(track.shape, content["clip_0"]["shapecode"])


def test_gaps_are_invalid_frames_and_vanish_again_in_the_same_layout(tmp_path):
    content = make.records(5, numbers=[3, 4, 7, 8, 10])
    track = gj.load_track(dump(tmp_path / "optim.pkl", content))
    assert track.names == tuple(f"clip_{i}" for i in range(3, 11))
    assert track.valid.tolist() == [True, True, False, False, True, True, False, True]
    np.testing.assert_array_equal(track.expression[2], track.expression[1])
    gj.save_track(track, tmp_path / "again.pkl")
    np.testing.assert_equal(load(tmp_path / "again.pkl"), content)
    gj.save_track(track, tmp_path / "filled.pkl", fill_gaps=True)
    assert list(load(tmp_path / "filled.pkl")) == [f"clip_{i}" for i in range(3, 11)]
    gj.save_track(track, tmp_path / "a.npz")
    assert_same_track(gj.load_track(tmp_path / "a.npz"), track)


def test_absurd_gaps_and_double_numbers_are_refused(tmp_path):
    with pytest.raises(InputError, match="numbered from 0 to 999999"):
        gj.load_track(dump(tmp_path / "optim.pkl", make.records(2, numbers=[0, 999_999])))
    content = make.records(2)
    content["clip_01"] = content["clip_0"]
    with pytest.raises(InputError, match="frame 1"):
        gj.load_track(dump(tmp_path / "optim.pkl", content))


def test_frames_of_several_videos_are_ordered_as_the_original_does_and_stay_sequences(tmp_path):
    content = make.records(3, "a", [5, 6, 7]) | make.records(2, "b", [6, 7])
    track = gj.load_track(dump(tmp_path / "optim.pkl", content))
    assert track.names == ("a_5", "a_6", "b_6", "a_7", "b_7") and track.valid.all()
    assert {name: places.tolist() for name, places in track.sequences.items()} == {"a": [0, 1, 3], "b": [2, 4]}


def test_numbers_missing_in_one_of_several_videos_are_lost_frames_of_that_video(tmp_path):
    content = make.records(3, "a", [5, 6, 9]) | make.records(2, "b", [6, 8])
    file = dump(tmp_path / "optim.pkl", content)
    track = gj.load_track(file)
    assert track.names == ("a_5", "a_6", "b_6", "a_7", "b_7", "a_8", "b_8", "a_9")
    lost = [name for name, valid in zip(track.names, track.valid, strict=True) if not valid]
    assert lost == ["a_7", "b_7", "a_8"]
    gj.save_track(track, tmp_path / "again.pkl")
    assert set(pickle.loads((tmp_path / "again.pkl").read_bytes())) == set(content)
    with pytest.raises(InputError, match="frame 6 of b"):
        gj.load_track(dump(tmp_path / "twice.pkl", content | {"b_06": content["b_6"]}))


@settings(max_examples=15)
@given(
    frames=st.integers(1, 6),
    per_frame_shape=st.booleans(),
    start=st.integers(0, 10**6),
    turned=st.booleans(),
    seed=st.integers(0, 99),
)
def test_gagavatar_round_trip_is_exact(frames, per_frame_shape, start, turned, seed, tmp_path_factory):
    content = make.records(frames, "00_a-b", [start + i for i in range(frames)], seed)
    for i, record in enumerate(content.values()):
        record["shapecode"] = record["shapecode"] + np.float32(i * per_frame_shape)
        record["posecode"][:3] += np.float32(0.1 * turned)
    folder = tmp_path_factory.mktemp("clip")
    track = gj.load_track(dump(folder / "optim.pkl", content))
    gj.save_track(track, folder / "out")
    np.testing.assert_equal(load(folder / "out" / "smoothed.pkl"), content)


def test_written_driver_is_what_the_original_expects(tmp_path):
    gj.save_track(make.track(4), tmp_path / "clip")
    data = (tmp_path / "clip" / "smoothed.pkl").read_bytes()
    names = {arg for op, arg, _ in pickletools.genops(data) if op.name == "GLOBAL"}
    strings = [arg for op, arg, _ in pickletools.genops(data) if isinstance(arg, str)]
    assert names == {"numpy.core.multiarray _reconstruct", "numpy ndarray"} and "numpy._core" not in "".join(strings)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        content = pickle.loads(data)
    # The original sorts by the number after the last underscore and makes a tensor of each field.
    assert sorted(content, key=lambda key: int(key.split("_")[-1])) == list(content)
    shapes = {"bbox": (4,), "shapecode": (300,), "expcode": (100,), "posecode": (6,), "eyecode": (6,)}
    for record in content.values():
        assert set(record) == {*shapes, "transform_matrix"}
        assert all(value.dtype == np.float32 and value.flags.writeable for value in record.values())
        assert all(record[name].shape == shape for name, shape in shapes.items())
        assert record["transform_matrix"].shape == (3, 4) and not record["posecode"][:3].any()


def test_frames_database_is_copied_into_a_driver_folder(tmp_path):
    dump(tmp_path / "in" / "optim.pkl", make.records(2))
    (tmp_path / "in" / "img_lmdb").mkdir()
    (tmp_path / "in" / "img_lmdb" / "data.mdb").write_bytes(b"frames")
    (tmp_path / "in" / "img_lmdb" / "lock.mdb").write_bytes(b"")
    track = gj.load_track(tmp_path / "in")
    gj.save_track(track, tmp_path / "out", frames_from=tmp_path / "in")
    assert sorted(str(p.relative_to(tmp_path / "out")) for p in (tmp_path / "out").rglob("*")) == [
        "img_lmdb",
        "img_lmdb/data.mdb",
        "smoothed.pkl",
    ]
    with pytest.raises(InputError, match=r"holds optim\.pkl"):  # it would be read again, not what was written
        gj.save_track(track, tmp_path / "in", frames_from=tmp_path / "in", force=True)
    (tmp_path / "in" / "optim.pkl").rename(tmp_path / "in" / "smoothed.pkl")
    gj.save_track(track, tmp_path / "in", frames_from=tmp_path / "in", force=True)  # in place: nothing is lost
    assert {p.name for p in (tmp_path / "in").iterdir()} == {"img_lmdb", "smoothed.pkl"}


def test_portraits(tmp_path):
    torch = pytest.importorskip("torch")
    record = make.records(1)["clip_0"]
    image = np.random.default_rng(0).random((3, 8, 6)).astype(np.float32)
    content = {"10.jpg": {**record, "image": image, "vis_image": image}, "2.jpg": record}
    torch.save(content, tmp_path / "tracked.pt")
    portraits = tracks.load_portraits(tmp_path)
    assert list(portraits) == ["10.jpg", "2.jpg"] and portraits["2.jpg"].image is None
    np.testing.assert_array_equal(portraits["10.jpg"].image, image.transpose(1, 2, 0))
    assert len(portraits["10.jpg"].track) == 1
    track = gj.load_track(tmp_path / "tracked.pt")
    assert track.names == ("2.jpg", "10.jpg") and track.source == "gagavatar-portraits"
    content["2.jpg"] = {**record, "image": image[0]}
    with pytest.raises(InputError, match=r"2\.jpg\.image"):
        tracks.load_portraits(dump(tmp_path / "optim.pkl", content))
    with pytest.raises(InputError, match="no portraits"):
        tracks.load_portraits(dump(tmp_path / "template.pkl", make.template()))


# LivePortrait


@pytest.mark.parametrize(("key", "ratios", "keypoints", "fps"), [("R", "", True, 25), ("R_d", "d_", False, 29.97)])
def test_template_round_trip_keeps_the_layout(tmp_path, key, ratios, keypoints, fps):
    content = make.template(key=key, ratios=ratios, keypoints=keypoints, fps=fps)
    track = gj.load_track(dump(tmp_path / "a.pkl", content))
    assert track.fps == (Fraction(30000, 1001) if fps == 29.97 else fps)
    for path in ("b.pkl", "c.npz"):
        gj.save_track(track, tmp_path / path)
    gj.save_track(gj.load_track(tmp_path / "c.npz"), tmp_path / "d.pkl")
    for path in ("b.pkl", "d.pkl"):
        again = load(tmp_path / path)
        assert again.pop("output_fps") == pytest.approx(fps, abs=1e-4)
        assert list(again["motion"][0]) == list(content["motion"][0])
        for frame, old in zip(again["motion"], content["motion"], strict=True):
            for name in old:
                np.testing.assert_allclose(frame[name], old[name], atol=1e-6, err_msg=name)
        for name in set(content) - {"motion", "output_fps"}:
            np.testing.assert_equal(again[name], content[name])


def test_real_templates_round_trip_exactly(shared, tmp_path):
    files = sorted((shared / "tracks").glob("*.pkl"))
    assert len(files) == 5
    for file in files:
        track = gj.load_track(file)
        track.validate()
        gj.save_track(track, tmp_path / file.name)
        np.testing.assert_equal(load(tmp_path / file.name), load(file))


def test_template_camera_shows_the_turned_head():
    """What the camera sees of a turned head, against LivePortrait's own way: turn in image axes, look along z."""
    rng = np.random.default_rng(0)
    world = rng.normal(size=(7, 3))
    rotation = Rotation.from_rotvec([[0.4, 0.0, 0.0], [0.0, 0.5, 0.0], [0.1, -0.3, 0.7]]).as_matrix()
    transform = liveportrait.frontal_camera(rotation)
    for turn, camera in zip(rotation, transform, strict=True):
        seen = world @ camera[:, :3] + camera[:, 3]  # x left, y up, z forward
        image = (world * [1, -1, -1]) @ turn  # x right, y down, z away
        np.testing.assert_allclose(-seen[:, 0], image[:, 0], atol=1e-6)
        np.testing.assert_allclose(-seen[:, 1], image[:, 1], atol=1e-6)
        np.testing.assert_allclose(seen[:, 2], image[:, 2] + liveportrait.DISTANCE, atol=1e-5)


# VHAP


def test_vhap_round_trip(tmp_path):
    content = make.parameters()
    np.savez(tmp_path / "flame_param.npz", **content)
    track = gj.load_track(tmp_path)
    assert track.source == "vhap"
    tracks.save_track(track, tmp_path / "out.npz", format="vhap")
    again = np.load(tmp_path / "out.npz")
    for name in set(content) - {"static_offset"}:
        np.testing.assert_allclose(again[name], content[name], atol=1e-6, err_msg=name)
    np.testing.assert_allclose(gj.load_track(tmp_path / "out.npz").transform, track.transform, atol=1e-6)


def test_vhap_camera_shows_the_turned_head(tmp_path):
    content = make.parameters()
    np.savez(tmp_path / "a.npz", **content)
    track = gj.load_track(tmp_path / "a.npz")
    root = np.array(head_pose.ROOT)
    rest = np.random.default_rng(0).normal(size=(5, 3))
    still = np.median(content["translation"], axis=0)
    for rotvec, shift, each in zip(
        content["rotation"], content["translation"], head_pose.folded(track).transform, strict=True
    ):
        world = Rotation.from_rotvec(rotvec).apply(rest - root) + root + shift
        seen = 5 * rest @ each[:, :3] + each[:, 3]
        np.testing.assert_allclose(seen, 5 * (world - still) * [-1, 1, -1] + [0, 0, 9.3], atol=1e-5)


def test_gaussianavatars_folder_of_frames(tmp_path):
    content = make.parameters(12)
    (tmp_path / "flame_param").mkdir()
    for i in range(12):
        frame = {k: v[i : i + 1] if k not in ("shape", "static_offset") else v for k, v in content.items()}
        np.savez(tmp_path / "flame_param" / f"{i}.npz", **frame)
    track = gj.load_track(tmp_path)
    np.testing.assert_array_equal(track.expression, content["expr"])


def test_fewer_coefficients_are_padded(tmp_path):
    content = make.parameters() | {"expr": np.ones((4, 50), np.float32), "shape": np.ones(100, np.float32)}
    np.savez(tmp_path / "a.npz", **content)
    track = gj.load_track(tmp_path / "a.npz")
    assert track.expression.sum() == 200 and track.shape.sum() == 100


# ours


@settings(max_examples=20)
@given(data=st.data())
def test_native_round_trip_is_exact(data, tmp_path_factory):
    frames = data.draw(st.integers(1, 4))
    floats = hnp.from_dtype(np.dtype(np.float32), allow_nan=False, allow_infinity=False)
    name = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
    extra = data.draw(
        st.dictionaries(name, hnp.arrays(np.float32, st.tuples(st.just(frames), st.integers(1, 3)), elements=floats))
    )
    rotations = ("turn",) if data.draw(st.booleans()) else ()
    track = make.track(
        frames,
        expression=data.draw(hnp.arrays(np.float32, (frames, 100), elements=floats)),
        extra=extra | {name: np.tile(np.eye(3), (frames, 1, 1)) for name in rotations},
        rotations=rotations,
        fps=data.draw(st.fractions(min_value=Fraction(1, 10), max_value=240)),
        names=data.draw(st.none() | st.lists(name, min_size=frames, max_size=frames)),
        neck=data.draw(st.none() | hnp.arrays(np.float32, (frames, 3), elements=floats)),
        shape=data.draw(st.sampled_from([None, np.ones(300), np.ones((frames, 300))])),
        valid=[True] + data.draw(st.lists(st.booleans(), min_size=frames - 1, max_size=frames - 1)),
        source=data.draw(st.sampled_from(["gagjax", "vhap", "liveportrait-R_d"])),
    )
    path = tmp_path_factory.mktemp("native") / "a.npz"
    gj.save_track(track, path)
    assert_same_track(gj.load_track(path), track)
    assert np.load(path, allow_pickle=False)["expression"].dtype == np.float32


def test_a_newer_version_is_refused(tmp_path):
    gj.save_track(make.track(), tmp_path / "a.npz")
    arrays = dict(np.load(tmp_path / "a.npz"))
    arrays["metadata"] = np.array(str(arrays["metadata"]).replace('"version": 1', '"version": 3'))
    np.savez(tmp_path / "b.npz", **arrays)
    with pytest.raises(InputError, match="newer gagjax"):
        gj.load_track(tmp_path / "b.npz")


def test_existing_output_is_kept_without_force(tmp_path):
    for name in ("a.npz", "a.pkl", "folder"):
        gj.save_track(make.track(), tmp_path / name)
        with pytest.raises(InputError, match="force=True"):
            gj.save_track(make.track(), tmp_path / name)
        gj.save_track(make.track(3), tmp_path / name, force=True)
        assert len(gj.load_track(tmp_path / name)) == 3


@pytest.mark.parametrize("name", ["a.mp4", "a.yaml", "a.frame"])
def test_unknown_output_formats_are_refused(tmp_path, name):
    with pytest.raises(InputError, match="suffix"):
        gj.save_track(make.track(), tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_a_template_cannot_be_made_of_flame(tmp_path):
    with pytest.raises(InputError, match="LivePortrait"):
        tracks.save_track(make.track(), tmp_path / "a.pkl", format="liveportrait")
    assert list(tmp_path.iterdir()) == []


# wrong inputs


def without(content, *path):
    content = copy.deepcopy(content)
    inner = content
    for key in path[:-1]:
        inner = inner[key]
    del inner[path[-1]]
    return content


def with_value(content, value, *path):
    content = copy.deepcopy(content)
    inner = content
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return content


RECORDS, TEMPLATE = make.records(3), make.template(3, ratios="")
NAN = float("nan")
WRONG = {
    "no expression": (without(RECORDS, "clip_1", "expcode"), ["clip_1", "expcode"]),
    "no camera": (without(RECORDS, "clip_2", "transform_matrix"), ["clip_2", "transform_matrix"]),
    "no shape in one": (without(RECORDS, "clip_0", "shapecode"), ["clip_0", "shapecode"]),
    "short expression": (with_value(RECORDS, np.zeros(99, "f"), "clip_1", "expcode"), ["clip_1.expcode", "99"]),
    "text for numbers": (with_value(RECORDS, "x", "clip_1", "posecode"), ["clip_1.posecode"]),
    "ragged": (with_value(RECORDS, [[1], [1, 2]], "clip_1", "posecode"), ["clip_1.posecode"]),
    "record is a list": (with_value(RECORDS, [1], "clip_1"), ["clip_1", "list"]),
    "nan": (with_value(RECORDS, np.full(6, NAN, "f"), "clip_1", "eyecode"), ["eyes", "clip_1", "drop-nonfinite"]),
    "infinite shape": (with_value(RECORDS, np.full(300, np.inf, "f"), "clip_1", "shapecode"), ["shape"]),
    "too large for float32": (with_value(RECORDS, np.full(100, 1e300), "clip_1", "expcode"), ["expression", "clip_1"]),
    "no rotation": (with_value(RECORDS, np.ones((3, 4), "f"), "clip_1", "transform_matrix"), ["transform"]),
    "mirrored": (with_value(RECORDS, -np.eye(3, 4, dtype="f"), "clip_1", "transform_matrix"), ["transform"]),
    "no frames": ({}, ["no frames"]),
    "no motion": (with_value(TEMPLATE, [], "motion"), ["motion", "no frames"]),
    "motion is a number": (with_value(TEMPLATE, 3, "motion"), ["motion"]),
    "frame lacks exp": (without(TEMPLATE, "motion", 1, "exp"), ["motion[1]", "exp"]),
    "frame lacks R": (without(TEMPLATE, "motion", 0, "R"), ["motion[0]", "R"]),
    "frame is None": (with_value(TEMPLATE, None, "motion", 2), ["motion[2]"]),
    "first frame is None": (with_value(TEMPLATE, None, "motion", 0), ["motion[0]"]),
    "wrong exp": (with_value(TEMPLATE, np.zeros((1, 20, 3)), "motion", 2, "exp"), ["motion[2].exp", "(1, 20, 3)"]),
    "nan scale": (with_value(TEMPLATE, np.array([[NAN]]), "motion", 2, "scale"), ["scale"]),
    "short list": (with_value(TEMPLATE, TEMPLATE["c_eyes_lst"][:2], "c_eyes_lst"), ["c_eyes_lst", "2 entries"]),
    "zero rate": (with_value(TEMPLATE, 0, "output_fps"), ["output_fps"]),
    "nan rate": (with_value(TEMPLATE, NAN, "output_fps"), ["output_fps"]),
    "base file": ({"clip_0": {"emica_results": {}}}, ["base.pkl"]),
    "model": ({"v_template": np.zeros(3)}, ["FLAME model"]),
    "a list": ([1, 2], ["list"]),
    "other dict": ({"a": 1}, ["no track"]),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_pickles_name_file_and_field(tmp_path, name):
    content, words = WRONG[name]
    path = dump(tmp_path / "track.pkl", content)
    with pytest.raises(InputError) as error:
        gj.load_track(path)
    assert all(word in str(error.value) for word in ["track.pkl", *words]), str(error.value)
    assert len(str(error.value).splitlines()) == 1


def _arrays(**changes):
    made = make.parameters() | changes
    return {k: v for k, v in made.items() if v is not None}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (_arrays(jaw_pose=None), ["jaw_pose"]),
        (_arrays(rotation=np.zeros((3, 3))), ["rotation", "3 frames"]),
        (_arrays(eyes_pose=np.zeros((4, 3))), ["eyes_pose", "(4, 3)"]),
        (_arrays(expr=np.zeros((4, 300))), ["expr"]),
        (_arrays(expr=np.zeros((0, 100))), ["expr", "no frames"]),
        (_arrays(rotation=np.full((4, 3), NAN)), ["rotation"]),
        (_arrays(shape=np.array(3.0)), ["shape"]),
        ({"a": np.ones(3)}, ["no track"]),
        ({"expression": np.ones(3), "metadata": np.array("[")}, ["metadata"]),
        ({"expression": np.ones(3), "metadata": np.array("{}")}, ["metadata"]),
        ({}, ["no track"]),
    ],
)
def test_wrong_archives_name_file_and_field(tmp_path, content, words):
    np.savez(tmp_path / "track.npz", **content)
    with pytest.raises(InputError) as error:
        gj.load_track(tmp_path / "track.npz")
    assert all(word in str(error.value) for word in ["track.npz", *words]), str(error.value)


def test_places_that_hold_no_track(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "frames").mkdir()
    (tmp_path / "frames" / "data.mdb").touch()
    dump(tmp_path / "half" / "base.pkl", {})
    for name in ("a.mp4", "a.jpg", "a.xyz", "a"):
        (tmp_path / name).write_bytes(b"x")
    cases = {
        "empty": "empty",
        "absent": "does not exist",
        "frames": "database",
        "half": "base.pkl",
        "a.mp4": "video",
        "a.jpg": "image",
        "a.xyz": "unknown",
        "a": "unknown",
    }
    for name, words in cases.items():
        with pytest.raises(InputError, match=words) as error:
            gj.load_track(tmp_path / name)
        assert str(tmp_path / name) in str(error.value)


def test_truncated_files_are_refused(tmp_path):
    data = pickle.dumps(RECORDS)
    gj.save_track(make.track(), tmp_path / "a.npz")
    archive = (tmp_path / "a.npz").read_bytes()
    for cut in (0, 1, 10, len(data) // 2, len(data) - 1):
        (tmp_path / "optim.pkl").write_bytes(data[:cut])
        (tmp_path / "b.npz").write_bytes(archive[: cut * len(archive) // len(data)])
        for name in ("optim.pkl", "b.npz"):
            with pytest.raises(InputError, match=name):
                gj.load_track(tmp_path / name)


def test_dropped_frames_are_missing_and_filled(tmp_path):
    content = make.records(5)
    content["clip_0"]["expcode"][3] = NAN
    content["clip_3"]["transform_matrix"][0, 3] = np.inf
    path = dump(tmp_path / "optim.pkl", content)
    track = gj.load_track(path, nonfinite="drop")
    assert track.valid.tolist() == [False, True, True, False, True]
    np.testing.assert_array_equal(track.expression[0], content["clip_1"]["expcode"])
    np.testing.assert_array_equal(track.transform[3], content["clip_2"]["transform_matrix"])
    for record in content.values():
        record["eyecode"][:] = NAN
    with pytest.raises(InputError, match="no frame"):
        gj.load_track(dump(path, content), nonfinite="drop")


def test_one_frame_is_a_track(tmp_path):
    assert len(gj.load_track(dump(tmp_path / "optim.pkl", make.records(1)))) == 1


LEAVES = st.one_of(
    st.none(), st.booleans(), st.integers(-5, 5), st.floats(), st.text(max_size=3), st.binary(max_size=3)
)
KEYS = st.sampled_from(["motion", "clip_0", "clip_1", "expcode", "posecode", "eyecode", "transform_matrix", "R", "exp"])
TREES = st.recursive(
    LEAVES | hnp.arrays(np.float32, hnp.array_shapes(max_side=4)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4) | st.tuples(inner),
)


@given(content=TREES | st.dictionaries(KEYS, TREES, max_size=4))
def test_any_content_gives_a_track_or_one_input_error(content, tmp_path_factory):
    path = tmp_path_factory.getbasetemp() / "any.pkl"
    path.write_bytes(pickle.dumps(content))
    with pytest.raises(InputError, match=r"any\.pkl"):
        gj.load_track(path)


def test_dumps_is_read_by_any_python(tmp_path):
    """In a fresh process: nothing of ours is needed to read what we write."""
    value = {"a": np.arange(6, dtype=np.float32).reshape(2, 3)[:, ::2], "b": [1, "x"], "c": np.zeros((0, 2))}
    (tmp_path / "a.pkl").write_bytes(pickling.dumps(value))
    code = f"import pickle; v = pickle.load(open({str(tmp_path / 'a.pkl')!r}, 'rb')); print(v['a'].tolist(), v['b'])"
    out = subprocess.run(
        [sys.executable, "-W", "error::DeprecationWarning", "-c", code], capture_output=True, text=True
    )
    assert out.stdout == "[[0.0, 2.0], [3.0, 5.0]] [1, 'x']\n", out.stderr
    np.testing.assert_equal(pickle.loads(pickling.dumps(value)), value)
