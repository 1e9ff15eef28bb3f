"""`enhance`, `convert` and `info` on every format, real templates, and wrong inputs."""

from __future__ import annotations

import pickle
import warnings

import numpy as np
import pytest

import gagjax as gj
from gagjax.app.cli import main
from gagjax.app.reports import summary
from gagjax.io import frame_database, tracks
from tests.io import make

NAN = float("nan")


def dump(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps(content))
    return path


def load(path):
    return pickle.loads(path.read_bytes())


def records(count=20, numbers=None):
    """A slow turn of the head with tracker noise."""
    from scipy.spatial.transform import Rotation

    rng = np.random.default_rng(0)
    content = make.records(count, numbers=numbers)
    phase = np.linspace(0, 2, count)
    for record, t in zip(content.values(), phase, strict=True):
        noise = 0.01 * rng.normal(size=3)
        turn = Rotation.from_rotvec([0.1 * np.sin(t), 0.3 * t, 0] + noise).as_matrix() @ np.diag([-1, 1, -1])
        record["transform_matrix"] = np.concatenate([turn, [[0], [0], [9.3]]], 1).astype(np.float32)
        record["expcode"] = (np.sin(t + np.arange(100)) + 0.1 * rng.normal(size=100)).astype(np.float32)
        record["posecode"][3:] = 0.1 + 0.02 * rng.normal(size=3)
        record["eyecode"][:] = 0.02 * rng.normal(size=6)
    return content


def run(*words):
    return main([str(word) for word in words])


def test_enhance_steadies_real_templates_in_their_own_layout(shared, tmp_path, capsys):
    for file in (shared / "tracks" / "d1.pkl", shared / "tracks" / "wink.pkl"):  # one of each layout
        out = tmp_path / file.name
        assert run("enhance", file, "-o", out) == 0
        old, new = load(file), load(out)
        assert list(new) == list(old) and new["n_frames"] == old["n_frames"]
        assert new["output_fps"] == old["output_fps"] and len(new["motion"]) == len(old["motion"])
        for a, b in zip(old["motion"], new["motion"], strict=True):
            assert list(a) == list(b)
            for name in a:
                assert a[name].shape == b[name].shape and b[name].dtype == np.float32 and np.isfinite(b[name]).all()
        turning = np.stack([frame["R" if "R" in frame else "R_d"][0] for frame in new["motion"]])
        np.testing.assert_allclose(
            turning @ turning.transpose(0, 2, 1), np.tile(np.eye(3), (len(turning), 1, 1)), atol=1e-5
        )
        before, after = summary.jitter(gj.load_track(file)), summary.jitter(gj.load_track(out))
        assert all(after[name][0] < before[name][0] for name in ("head rotation", "exp", "t"))
        text = capsys.readouterr().out
        assert "head rotation" in text and "left out: expression (" in text


def test_enhance_makes_a_driver_folder_of_a_driver_folder(tmp_path, capsys):
    numbers = [*range(3, 10), *range(12, 25)]  # frames 10 and 11 are missing
    content = records(20, numbers)
    dump(tmp_path / "clip" / "optim.pkl", content)
    dump(tmp_path / "clip" / "smoothed.pkl", make.records(2))
    frame_database.write(tmp_path / "clip" / "img_lmdb", ((name, np.zeros((8, 8, 3), np.uint8)) for name in content))
    assert run("enhance", tmp_path / "clip", "-o", tmp_path / "steady", "--fps", "30") == 0
    text = capsys.readouterr().out
    assert "missing frames: 7-8" in text and "30 fps" in text and "by temporal, expression" in text
    steady = load(tmp_path / "steady" / "smoothed.pkl")
    assert list(steady) == list(content)
    assert all(value.dtype == np.float32 for record in steady.values() for value in record.values())
    assert len(frame_database.FrameDatabase(tmp_path / "steady")) == 20
    for name in content:
        np.testing.assert_array_equal(steady[name]["shapecode"], content[name]["shapecode"])
    before, after = summary.jitter(gj.load_track(tmp_path / "clip")), summary.jitter(gj.load_track(tmp_path / "steady"))
    assert after["head rotation"][0] < 0.6 * before["head rotation"][0]
    assert after["expression"][0] < before["expression"][0]
    filled = tmp_path / "filled.pkl"
    assert run("enhance", tmp_path / "clip", "-o", filled, "--fill-gaps", "--enable", "temporal") == 0
    assert list(load(filled)) == [f"clip_{i}" for i in range(3, 25)]


@pytest.mark.parametrize("enable", ["temporal", "expression", "gaze"])
def test_each_enhancement_alone_changes_only_its_own_part(tmp_path, enable):
    content = records()
    for record in content.values():
        record["eyecode"] += np.float32(0.15)  # beside the camera
    file = dump(tmp_path / "optim.pkl", content)
    assert run("enhance", file, "-o", tmp_path / "a.npz", "--enable", enable, "--preset", "default") == 0
    old, new = gj.load_track(file), gj.load_track(tmp_path / "a.npz")
    same = {
        name: np.array_equal(getattr(old, name), getattr(new, name)) for name in ("expression", "eyes", "transform")
    }
    parts = {"temporal": {"expression", "eyes", "transform"}, "expression": {"expression"}, "gaze": {"eyes"}}[enable]
    assert {name for name, equal in same.items() if not equal} <= parts
    assert enable == "expression" or not all(same.values())


def test_enhance_keeps_each_format_unless_the_suffix_differs(tmp_path):
    np.savez(tmp_path / "flame_param.npz", **make.parameters(12))
    gj.save_track(gj.load_track(dump(tmp_path / "optim.pkl", records())), tmp_path / "ours.npz")
    cases = {
        ("flame_param.npz", "a.npz"): "vhap",
        ("ours.npz", "b.npz"): "gagjax",
        ("ours.npz", "c.pkl"): "gagavatar",
        ("optim.pkl", "d.pkl"): "gagavatar",
        ("optim.pkl", "e.npz"): "gagjax",
        ("optim.pkl", "f"): "gagavatar",
    }
    for (source, out), layout in cases.items():
        assert run("enhance", tmp_path / source, "-o", tmp_path / out, "--preset", "smooth") == 0
        assert tracks.find(tmp_path / out).format == layout


def test_enhance_fast_changes_nothing_and_a_second_pass_is_warned_of(tmp_path, capsys):
    file = dump(tmp_path / "optim.pkl", records())
    assert run("enhance", file, "-o", tmp_path / "a.npz", "--preset", "fast") == 0
    assert "enhances no tracks" in capsys.readouterr().out
    np.testing.assert_array_equal(gj.load_track(tmp_path / "a.npz").expression, gj.load_track(file).expression)
    with pytest.warns(UserWarning, match="already"):
        assert run("enhance", tmp_path / "a.npz", "-o", tmp_path / "b.npz", "--preset", "smooth") == 0
    assert run("info", tmp_path / "b.npz") == 0
    assert "enhanced already" in capsys.readouterr().out


def test_a_preset_file_is_taken(tmp_path):
    file = dump(tmp_path / "optim.pkl", records())
    (tmp_path / "mine.yaml").write_text("preset: live\nenable: [temporal]\n")
    assert run("enhance", file, "-o", tmp_path / "a.npz", "--preset", tmp_path / "mine.yaml") == 0


def test_convert_goes_round_without_loss(shared, tmp_path, capsys):
    source = shared / "tracks" / "d1.pkl"
    assert run("convert", source, tmp_path / "a.npz") == 0
    assert run("convert", tmp_path / "a.npz", tmp_path / "b.pkl") == 0
    np.testing.assert_equal(load(tmp_path / "b.pkl"), load(source))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert run("convert", source, tmp_path / "driver") == 0
    said = " ".join(str(w.message) for w in caught)
    assert "expression, jaw and eyes are zero" in said and "frame rate" in said and "exp" in said
    assert len(load(tmp_path / "driver" / "smoothed.pkl")) == 16
    content = records()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert run("convert", dump(tmp_path / "optim.pkl", content), tmp_path / "c.npz", "--format", "vhap") == 0
    np.testing.assert_array_equal(gj.load_track(tmp_path / "c.npz").jaw, gj.load_track(tmp_path / "optim.pkl").jaw)


def test_info_describes_every_kind(tmp_path, shared, capsys):
    torch = pytest.importorskip("torch")
    dump(tmp_path / "clip" / "smoothed.pkl", make.records(6, numbers=[0, 1, 2, 5, 6, 9]))
    torch.save({"a.jpg": {**make.records(1)["clip_0"], "image": np.zeros((3, 8, 8), "f")}}, tmp_path / "tracked.pt")
    torch.save({"model": {"head_base": torch.zeros(2, 3)}, "meta_cfg": {}}, tmp_path / "net.pt")
    dump(tmp_path / "generic_model.pkl", {"v_template": np.zeros((5, 3)), "f": np.zeros((2, 3), int)})
    dump(
        tmp_path / "nan.pkl", {**make.records(3), "clip_3": {**make.records(1)["clip_0"], "expcode": np.full(100, NAN)}}
    )
    cases = {
        tmp_path / "clip": ["smoothed.pkl", "10 at 25 fps", "4 frames: 3-4, 7-8", "optim.pkl is better", "img_lmdb"],
        tmp_path / "tracked.pt": ["portraits", "1 of them", "8×8"],
        tmp_path / "net.pt": ["GAGAvatar checkpoint", "6"],
        tmp_path / "generic_model.pkl": ["FLAME model", "5×3"],
        tmp_path / "nan.pkl": ["is not finite", "--drop-nonfinite"],
        shared / "tracks" / "talking.pkl": ["LivePortrait", "100 at 20 fps", "exp 21×3", "head rotation"],
        shared / "video" / "obama.mp4": ["834×884", "241 at 24 fps", "none"],
        shared / "video" / "monroe.jpg": ["image", "1338×1192"],
        shared / "video" / "vfhq_demo": ["database of frames", "40", "512×512"],
    }
    for path, words in cases.items():
        assert run("info", path) == 0
        text = capsys.readouterr().out
        assert all(word in text for word in words), text


def wrong_inputs(tmp_path):
    good = make.records(3)
    nan = {**good, "clip_1": {**good["clip_1"], "eyecode": np.full(6, NAN, "f")}}
    shape = {**good, "clip_1": {**good["clip_1"], "expcode": np.zeros(99, "f")}}
    keys = {**good, "clip_1": {k: v for k, v in good["clip_1"].items() if k != "transform_matrix"}}
    (tmp_path / "empty").mkdir()
    (tmp_path / "truncated.pkl").write_bytes(pickle.dumps(good)[:-100])
    (tmp_path / "hostile.pkl").write_bytes(b"cos\nsystem\n(S'touch " + str(tmp_path / "canary").encode() + b"'\ntR.")
    (tmp_path / "zero.npz").touch()
    dump(tmp_path / "nan.pkl", nan)
    dump(tmp_path / "shape.pkl", shape)
    dump(tmp_path / "keys.pkl", keys)
    dump(tmp_path / "none.pkl", {})
    dump(tmp_path / "motion.pkl", {"motion": [], "n_frames": 0})
    dump(tmp_path / "one.pkl", make.records(1))
    return {
        "empty": "holds no track",
        "absent.pkl": "does not exist",
        "truncated.pkl": "damaged or cut off",
        "hostile.pkl": "nothing in it ran",
        "zero.npz": "0 bytes",
        "nan.pkl": "--drop-nonfinite",
        "shape.pkl": "clip_1.expcode",
        "keys.pkl": "transform_matrix",
        "none.pkl": "no frames",
        "motion.pkl": "no frames",
        "one.pkl": "one frame",
    }


def test_wrong_inputs_give_one_message_status_2_and_no_output(tmp_path, capsys):
    cases = wrong_inputs(tmp_path)
    before = sorted(p.name for p in tmp_path.iterdir())
    for name, words in cases.items():
        for out in ("out.npz", "out.pkl", "out"):
            assert run("enhance", tmp_path / name, "-o", tmp_path / out) == 2
            captured = capsys.readouterr()
            assert captured.err.startswith("error: ") and captured.out == "", captured.err
            assert len(captured.err.splitlines()) == 1
            assert words in captured.err and str(tmp_path / name) in captured.err, captured.err
    assert sorted(p.name for p in tmp_path.iterdir()) == before


def test_wrong_options_are_found_before_the_work(tmp_path, capsys, monkeypatch):
    file = dump(tmp_path / "optim.pkl", records(4))
    (tmp_path / "there.npz").write_text("mine")
    monkeypatch.setattr("gagjax.stack.enhance_track", lambda *_: pytest.fail("too late"))
    for words, said in [
        (["-o", tmp_path / "there.npz"], "--force"),
        (["-o", tmp_path / "a.mp4"], "suffix"),
        (["-o", tmp_path / "a.npz", "--preset", "best"], "neither a preset nor a file"),
        (["-o", tmp_path / "a.npz", "--fps", "fast"], "frame rate"),
        (["-o", tmp_path / "a.npz", "--enable", "glamour"], "glamour"),
        ([], "out"),
    ]:
        assert run("enhance", file, *words) == 2
        assert said in capsys.readouterr().err
    assert (tmp_path / "there.npz").read_text() == "mine"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["optim.pkl", "there.npz"]


def test_bad_frames_are_dropped_when_asked(tmp_path):
    content = records(12)
    content["clip_4"]["expcode"][7] = NAN
    file = dump(tmp_path / "optim.pkl", content)
    assert run("enhance", file, "-o", tmp_path / "a.npz", "--drop-nonfinite", "--preset", "smooth") == 0
    track = gj.load_track(tmp_path / "a.npz")
    assert not track.valid[4] and np.isfinite(track.expression).all()


def test_force_replaces(tmp_path):
    file = dump(tmp_path / "optim.pkl", records(4))
    (tmp_path / "there.npz").write_text("mine")
    assert run("enhance", file, "-o", tmp_path / "there.npz", "--force", "--preset", "fast") == 0
    assert len(gj.load_track(tmp_path / "there.npz")) == 4


def test_jitter_of_a_steady_turn_is_zero_and_of_noise_is_not():
    from scipy.spatial.transform import Rotation

    turn = Rotation.from_rotvec(np.arange(8)[:, None] * [0.0, 0.05, 0.02]).as_matrix()
    steady = make.track(8, transform=np.concatenate([turn, np.zeros((8, 3, 1))], 2), expression=np.zeros((8, 100)))
    found = summary.jitter(steady)
    assert found.get("head rotation", (0.0,))[0] < 1e-4 and "expression" not in found and "head position" not in found
    # One frame turned by a degree: the change of speed is 1, 2, 1 degrees there.
    turn[4] = Rotation.from_rotvec([np.radians(1.0), 0, 0]).as_matrix() @ turn[4]
    found = summary.jitter(make.track(8, transform=np.concatenate([turn, np.zeros((8, 3, 1))], 2)))
    assert found["head rotation"][0] == pytest.approx(4 / 6, rel=0.01)
    assert summary.jitter(make.track(2)) == {}
