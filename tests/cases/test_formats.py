"""Cases C02, C03, C11 and C12, and inputs of the same kinds: what a file holds goes through, rates are exact."""

from __future__ import annotations

import dataclasses
import json
import pickle
import time
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest

import gagjax as gj
from gagjax.app.cli import main
from gagjax.errors import InputError
from gagjax.io import tracks
from gagjax.track import as_rate
from tests.io import make
from tests.oracles import track_files

FAST, SMOOTH = ("--preset", "fast"), ("--preset", "smooth", "--enable", "temporal")  # changes nothing; motion alone


def run(*words):
    return main([str(word) for word in words])


def dump(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps(content))
    return path


def load(path):
    return pickle.loads(path.read_bytes())


def same_bits(a, b):
    """Equal in type, shape, order of keys and every bit."""
    assert type(a) is type(b), (type(a), type(b))
    if isinstance(a, dict):
        assert list(a) == list(b)
        for key in a:
            same_bits(a[key], b[key])
    elif isinstance(a, list | tuple):
        assert len(a) == len(b)
        for left, right in zip(a, b, strict=True):
            same_bits(left, right)
    elif isinstance(a, np.ndarray | np.generic):
        assert a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    else:
        assert a == b or a != a


def archive(path):
    return dict(np.load(path, allow_pickle=False))


def vhap_folder(folder, content, numbers, width=5):
    folder.mkdir(parents=True)
    frames = len(content["expr"])
    for i, number in enumerate(numbers):
        row = {k: v[i : i + 1] if len(v) == frames and k != "shape" else v for k, v in content.items()}
        np.savez(folder / f"{number:0{width}d}.npz", **row)
    return folder


# C02: a folder of frames becomes a folder of frames


@pytest.mark.parametrize("preset", [FAST, SMOOTH], ids=["fast", "smooth"])
def test_case_c02_a_vhap_folder_stays_one(shared, tmp_path, preset):
    case = shared / "cases" / "C02_folder_to_folder" / "clip"
    assert run("enhance", case, "-o", tmp_path / "out", *preset) == 0
    files = sorted(p.name for p in (tmp_path / "out" / "flame_param").iterdir())
    assert files == [f"{i:05d}.npz" for i in range(12)]
    was, now = (track_files.vhap(folder / "flame_param") for folder in (case, tmp_path / "out"))
    np.testing.assert_allclose(np.diff(np.degrees(now["neck_pose"]), axis=0).max(1), 2, atol=0.05)
    np.testing.assert_allclose(np.diff(now["translation"], axis=0).sum(1), 0.01, atol=5e-4)
    if preset == FAST:
        for name in files:
            same_bits(archive(case / "flame_param" / name), archive(tmp_path / "out" / "flame_param" / name))
    np.testing.assert_array_equal(was["shape"], now["shape"])


def test_another_format_says_what_it_leaves_out(shared, tmp_path):
    case = shared / "cases" / "C02_folder_to_folder" / "clip"
    for command in (["enhance", case, "-o"], ["convert", case]):
        with pytest.warns(UserWarning) as caught:
            written = tmp_path / f"{command[0]}.pkl"
            assert run(*command, written) == 0
        said = " ".join(str(w.message) for w in caught)
        assert "neck" in said and "rotation and translation go into the camera" in said
        # The head is displaced by 10 mm a frame; GAGAvatar's stays where it is, and its camera moves instead.
        transforms = [record["transform_matrix"] for record in pickle.loads(written.read_bytes()).values()]
        steps = np.diff(np.array(transforms)[:, :, 3], axis=0)
        np.testing.assert_allclose(np.linalg.norm(steps, axis=1), 0.05, atol=2e-3)


def test_folder_keeps_its_names_companions_and_unknown_entries(tmp_path):
    content = make.parameters(6) | {
        "iris": np.arange(6, dtype=np.int16).reshape(6, 1),
        "static_offset": np.ones((1, 7, 3)),
    }
    vhap_folder(tmp_path / "in" / "flame_param", content, range(30, 36), width=3)
    cameras = json.dumps({"w": 8, "h": 8, "fl_x": 48.0, "frames": [{"transform_matrix": np.eye(4).tolist()}], "own": 1})
    (tmp_path / "in" / "transforms.json").write_text(cameras)
    assert run("enhance", tmp_path / "in", "-o", tmp_path / "out", "--preset", "fast") == 0
    assert (tmp_path / "out" / "transforms.json").read_text() == cameras
    for i in range(30, 36):
        same_bits(*(archive(tmp_path / each / "flame_param" / f"{i:03d}.npz") for each in ("in", "out")))
    # The folder itself is a track, too, and goes into one of its name.
    assert run("convert", tmp_path / "in" / "flame_param", tmp_path / "two" / "flame_param", "--format", "vhap") == 0
    assert len(gj.load_track(tmp_path / "two")) == 6


def test_folder_of_another_format_is_made_on_request_and_read_by_others(tmp_path):
    gj.save_track(make.track(5), tmp_path / "a.npz")
    assert run("convert", tmp_path / "a.npz", tmp_path / "vhap", "--format", "vhap") == 0
    read = track_files.vhap(tmp_path / "vhap" / "flame_param")
    np.testing.assert_array_equal(read["expr"], make.track(5).expression)
    assert read["number"].tolist() == [0, 1, 2, 3, 4]


# C03: fields that are no motion are carried through


@pytest.mark.parametrize("name", ["flame_param.npz", "tracked_flame_params_30.npz"])
@pytest.mark.parametrize("preset", [FAST, SMOOTH], ids=["fast", "smooth"])
def test_case_c03_offsets_and_cameras_go_through(shared, tmp_path, name, preset):
    case = shared / "cases" / "C03_fields_lost" / name
    assert run("enhance", case, "-o", tmp_path / "a.npz", *preset) == 0
    was, now = archive(case), archive(tmp_path / "a.npz")
    assert list(was) == list(now)
    motion = {"expr", "jaw_pose", "eyes_pose", "neck_pose", "rotation", "translation"}
    for key in was if preset == FAST else set(was) - motion:
        same_bits(was[key], now[key])


def test_every_format_carries_what_it_does_not_know_through_our_own(tmp_path):
    files = {
        "vhap.npz": make.parameters(4) | {"tex": np.ones(3, np.float16), "empty": np.zeros((0, 2))},
        "gaga.pkl": {"version": "1.2", **{k: v | {"conf": 0.5} for k, v in make.records(4).items()}, "lights": [1, 2]},
        "live.pkl": make.template(4, ratios="") | {"c_eyes_lst": [], "stamp": np.float64(3.5), "who": None},
    }
    np.savez(tmp_path / "vhap.npz", **files["vhap.npz"])
    for name in ("gaga.pkl", "live.pkl"):
        dump(tmp_path / name, files[name])
    for name in files:
        again = tmp_path / f"again_{name}"
        assert run("enhance", tmp_path / name, "-o", again, "--preset", "fast") == 0
        ours = tmp_path / f"{name}.ours.npz"
        assert run("convert", tmp_path / name, ours) == 0
        format = ["--format", "vhap"] if name == "vhap.npz" else []
        assert run("convert", ours, tmp_path / f"back_{name}", *format) == 0
        for out in (again, tmp_path / f"back_{name}"):
            read = archive if name.endswith("npz") else load
            same_bits(read(tmp_path / name), read(out))


def test_types_shapes_and_untouched_numbers_stay_where_motion_changes(tmp_path):
    content = make.records(8)
    for i, record in enumerate(content.values()):
        record["expcode"] = record["expcode"].astype(np.float64)[None] + 1e-12  # not a float32 number
        record["posecode"] = record["posecode"].tolist()
        record["shapecode"] = record["shapecode"][:200]
        record["frame_time"] = 0.04 * i
    path = dump(tmp_path / "optim.pkl", dict(reversed(content.items())))
    track = gj.load_track(path)
    jaw = np.array(track.jaw)
    jaw[3] += 0.5
    tracks.save_track(dataclasses.replace(track, jaw=jaw), tmp_path / "out.pkl")
    was, now = load(path), load(tmp_path / "out.pkl")
    assert list(was) == list(now)
    for key in was:
        for name in was[key]:
            if (key, name) != ("clip_3", "posecode"):
                same_bits(was[key][name], now[key][name])
    assert isinstance(now["clip_3"]["posecode"], list) and now["clip_3"]["posecode"][:3] == [0, 0, 0]
    np.testing.assert_allclose(np.subtract(now["clip_3"]["posecode"], was["clip_3"]["posecode"])[3:], 0.5, atol=1e-6)


def test_slices_and_lost_frames_keep_their_own_entries(tmp_path):
    content = {k: v | {"id": i} for i, (k, v) in enumerate(make.records(9).items())}
    content["clip_5"]["eyecode"] = np.full(6, np.nan, np.float32)
    track = gj.load_track(dump(tmp_path / "optim.pkl", content), nonfinite="drop")
    tracks.save_track(track[2:8], tmp_path / "part.pkl")
    assert [record["id"] for record in load(tmp_path / "part.pkl").values()] == [2, 3, 4, 6, 7]
    np.savez(tmp_path / "a.npz", **make.parameters(9), dynamic_offset=np.arange(27.0).reshape(9, 1, 3))
    tracks.save_track(gj.load_track(tmp_path / "a.npz")[2:8], tmp_path / "b.npz", format="vhap")
    np.testing.assert_array_equal(archive(tmp_path / "b.npz")["dynamic_offset"], np.arange(27.0).reshape(9, 1, 3)[2:8])


# Gaps in any numbered naming


@pytest.mark.parametrize(
    ("keys", "valid"),
    [
        (["frame0007.png", "frame0010.png", "frame0008.png"], [1, 1, 0, 1]),
        (["9", "10", "12"], [1, 1, 0, 1]),
        ([3, 1, 5], [1, 0, 1, 0, 1]),
        (["clip-00099", "clip-100", "clip-102"], [1, 1, 0, 1]),
        (["v_0_9", "v_0_00010", "v_0_12"], [1, 1, 0, 1]),
    ],
)
def test_gaps_in_any_naming_are_lost_frames(tmp_path, keys, valid):
    content = dict(zip(keys, make.records(3).values(), strict=True))
    track = gj.load_track(dump(tmp_path / "optim.pkl", content))
    assert track.valid.tolist() == [bool(v) for v in valid]
    tracks.save_track(track, tmp_path / "out.pkl")
    same_bits(load(tmp_path / "optim.pkl"), load(tmp_path / "out.pkl"))


def test_gaps_of_vhap_are_lost_frames_and_stay_lost(tmp_path):
    content = make.parameters(5)
    folder = vhap_folder(tmp_path / "in" / "flame_param", content, [8, 9, 11, 12, 101 - 88], width=1)
    track = gj.load_track(tmp_path / "in")
    assert track.valid.tolist() == [True, True, False, True, True, True]
    np.testing.assert_array_equal(np.asarray(track.expression)[[0, 1, 3, 4, 5]], content["expr"])
    for out in (["out"], ["one.npz", "--format", "vhap"], ["again", "--format", "vhap"]):
        source = tmp_path / "in" if out[0] == "out" else tmp_path / "out"
        command = ["enhance", source, "-o", tmp_path / "out", "--preset", "fast"]
        assert run(*command) == 0 if out[0] == "out" else run("convert", source, tmp_path / out[0], *out[1:]) == 0
        assert gj.load_track(tmp_path / out[0]).valid.tolist() == track.valid.tolist()
    assert {p.name for p in (tmp_path / "out" / "flame_param").iterdir()} == {p.name for p in folder.iterdir()}
    np.savez(tmp_path / "t.npz", **content, timestep_id=np.array(["00003", "00004", "00006", "00007", "00005"]))
    ordered = gj.load_track(tmp_path / "t.npz")
    assert ordered.valid.all() and ordered.names == ("00003", "00004", "00005", "00006", "00007")
    np.testing.assert_array_equal(np.asarray(ordered.expression)[2], content["expr"][4])


# C11: frame rates


def test_case_c11_a_whole_rate_is_itself(shared):
    assert gj.load_track(shared / "cases" / "C11_rates" / "five.pkl").fps == 5


@pytest.mark.parametrize(
    ("said", "rate"),
    [
        *((n, Fraction(n)) for n in (5.0, 3.0, 1.0, 24.0, "5", "30.0", np.float64(15), np.int64(7), 240)),
        *((each, Fraction(30000, 1001)) for each in (29.97, "29.97", "29.970", "30000/1001", 30000 / 1001, "29.97003")),
        *((each, Fraction(24000, 1001)) for each in (23.976, "23.976", "23.98", np.float32(23.976), Decimal("23.976"))),
        *((each, Fraction(60000, 1001)) for each in (59.94, "59.94", "59.940")),
        *((each, Fraction(120000, 1001)) for each in (119.88, "119.88")),
        (47.952, Fraction(48000, 1001)),
        (12.5, Fraction(25, 2)),
        (0.004, Fraction(1, 250)),
        (".5", Fraction(1, 2)),
        (4.995, Fraction(999, 200)),
        (9.99, Fraction(999, 100)),
        ("59.9", Fraction(599, 10)),
        (24.999, Fraction(24999, 1000)),
        (100 / 3, Fraction(100, 3)),
        (1 / 3, Fraction(1, 3)),
        ("2997/100", Fraction(2997, 100)),
    ],
)
def test_rates_are_what_they_say(said, rate):
    assert as_rate(said) == rate


@pytest.mark.parametrize(
    "said", ["1e99999999", "9" * 300, Decimal("1e99999999"), 1e300, "1/0", "-25", "nan", "", "1e-99999999", None, "२५"]
)
def test_absurd_rates_are_refused_at_once(said):
    started = time.perf_counter()
    with pytest.raises(InputError, match="fps"):
        as_rate(said)
    assert time.perf_counter() - started < 1


def test_rates_stay_through_formats_that_hold_one(tmp_path):
    for fps in (29.97, 59.94, 12.5, 5, np.float32(23.976)):
        path = dump(tmp_path / "a.pkl", make.template(4, fps=fps))
        rate = gj.load_track(path).fps
        for out in ("b.npz", "b.pkl"):
            assert run("convert", path, tmp_path / out, "--force") == 0
            assert gj.load_track(tmp_path / out).fps == rate == as_rate(fps)
        same_bits(load(path), load(tmp_path / "b.pkl"))


# C12: tensors in pickles


def test_case_c12_tensors_in_a_pickle_are_read(shared, tmp_path):
    case = shared / "cases" / "C12_tensors_in_pickle" / "optim.pkl"
    assert run("info", case) == 0
    torch = pytest.importorskip("torch")
    track = gj.load_track(case)
    torch.save(
        {k: {n: torch.tensor(x) for n, x in v.items()} for k, v in track.origin.content.items()}, tmp_path / "a.pt"
    )
    np.testing.assert_array_equal(gj.load_track(tmp_path / "a.pt").transform, track.transform)
    assert run("enhance", tmp_path / "a.pt", "-o", tmp_path / "a.pkl", "--preset", "fast") == 0


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_tensors_of_every_kind_are_read_from_a_pickle(tmp_path, protocol):
    torch = pytest.importorskip("torch")
    from gagjax.io.untrusted.checkpoints import load_pickle

    x = torch.arange(24.0).reshape(4, 6)
    content = {
        "plain": x, "slice": x[1:3, ::2], "turned": x.T, "half": x.half(), "short": x.bfloat16(), "whole": x.long(),
        "flags": x > 3, "parameter": torch.nn.Parameter(x), "number": torch.tensor(3.0), "empty": torch.zeros(0, 3),
        "complex": torch.complex(x, x), "expanded": x[:1].expand(3, 6),
    }  # fmt: skip
    path = tmp_path / "a.pkl"
    path.write_bytes(pickle.dumps(content, protocol=protocol))
    found = load_pickle(path)
    for name, value in content.items():
        wanted = (value.float() if name == "short" else value).detach().numpy()
        assert found[name].dtype == wanted.dtype
        np.testing.assert_array_equal(found[name], wanted)


def test_a_spoiled_storage_is_refused_and_runs_nothing(tmp_path):
    torch = pytest.importorskip("torch")
    from gagjax.io.untrusted.checkpoints import load_pickle

    data = pickle.dumps({"a": torch.arange(5.0)})
    marker = tmp_path / "ran"
    inner = b"cos\nsystem\n(S'touch " + str(marker).encode() + b"'\ntR."
    for spoiled in (
        data.replace(b"FloatStorage", b"EvilsStorage"),
        data[:-40],
        data.replace(b"\x05\0\0\0\0\0\0\0", b"\xff" * 8),
    ):
        (tmp_path / "a.pkl").write_bytes(spoiled)
        with pytest.raises(InputError, match=r"a\.pkl"):
            load_pickle(tmp_path / "a.pkl")
    hostile = b"\x80\x02ctorch.storage\n_load_from_bytes\nB" + len(inner).to_bytes(4, "little") + inner + b"\x85R."
    (tmp_path / "a.pkl").write_bytes(hostile)
    with pytest.raises(InputError, match=r"a\.pkl"):
        load_pickle(tmp_path / "a.pkl")
    assert not marker.exists()
