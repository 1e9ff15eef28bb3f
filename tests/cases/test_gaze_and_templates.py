"""C14 and template drivers: nobody's eyes are aimed unasked, and templates drive what they say; short clips keep blinks."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

import gagjax as gj
from gagjax import flame
from gagjax.app import presets
from gagjax.app.cli import main
from gagjax.app.workflows.enhance import fitting
from gagjax.expression import Openings, apertures, driven
from gagjax.expression.from_template import ratios
from gagjax.filters.adaptive import AdaptiveSmoother, trust
from gagjax.flame.subset import at_landmarks
from gagjax.gaze import GazeCorrector, eyes_estimated
from gagjax.stack import enhance_track
from tests.io import make


def run(*words) -> int:
    return main([str(word) for word in words])


def looking(angles, frames=60, source="vhap", known=False):
    """A still head whose eyes turn to the given angles by turns, degrees, ten frames each."""
    eyes = np.zeros((frames, 6), np.float32)
    eyes[:, [1, 4]] = np.radians(np.resize(np.repeat(angles, 10), frames))[:, None]
    still = np.tile(np.concatenate([np.diag([-1.0, 1.0, -1.0]), [[0], [0], [9.3]]], 1), (frames, 1, 1))
    track = gj.Track(np.zeros((frames, 100)), np.zeros((frames, 3)), eyes, still, source=source)
    return dataclasses.replace(track, intrinsics=gj.camera.Intrinsics.of_focal(8.0, 256)) if known else track


def test_the_case(shared, tmp_path):
    file = shared / "cases" / "C14_gaze_flattened" / "looks_about.npz"
    for words in ((), ("--enable", "temporal")):
        assert run("enhance", file, "-o", tmp_path / "out.npz", "--force", *words) == 0
        yaw = np.degrees(np.load(tmp_path / "out.npz")["eyes_pose"][:, 1])
        assert abs(np.ptp(yaw) - 20) < 1


@pytest.mark.parametrize("preset", ["default", "live", "smooth", "balanced", "fast"])
@pytest.mark.parametrize("source", ["vhap", "gagavatar-optim"])
def test_no_preset_aims_the_eyes_unasked(preset, source):
    assert presets.stack_of(preset).gaze is None
    if preset != "live":  # a causal filter may lag, not aim
        track = looking([-10, 10, 4], source=source)
        after = enhance_track(presets.stack_of(preset), track)
        np.testing.assert_allclose(np.ptp(after.eyes[:, 1]), np.radians(20), rtol=0.05)


def test_a_preset_file_without_a_list_does_not_either(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text("preset: default\n")
    assert presets.stack_of(str(file)).gaze is None
    assert presets.stack_of(str(file), ("gaze",)).gaze is not None
    assert gj.Stack.default().gaze is None and gj.Stack.live().gaze is None
    assert gj.Stack.reference().gaze is not None


@pytest.mark.parametrize("angles", [[-10, 10], [6, -3], [0, 8]])
def test_asked_for_they_are_aimed_at_a_known_camera_alone(angles):
    stack = gj.Stack.default(enable=("gaze",))
    unknown = looking(angles)
    with pytest.raises(gj.InputError, match=r"transforms\.json"):
        enhance_track(stack, unknown)
    left, said = fitting(stack, unknown)
    assert left.gaze is None and "camera" in said[0]
    known = looking(angles, known=True)
    assert fitting(stack, known)[0].gaze is not None
    after = enhance_track(stack, known)
    assert np.abs(np.asarray(after.eyes) - known.eyes).max() > np.radians(1)
    # A target of one's own needs no camera.
    own = gj.Stack(gaze=GazeCorrector(target=(0.0, 0.0, 1.0), frame="head"))
    assert np.abs(np.asarray(enhance_track(own, unknown).eyes) - unknown.eyes).max() > np.radians(1)


@pytest.mark.parametrize("noise", [0.0, 0.01, 0.045])
def test_eyes_that_were_not_estimated_are_said_and_left_alone(noise, tmp_path, capsys):
    rng = np.random.default_rng(0)
    track = looking([0.0], 40, source="gagavatar-optim")
    eyes = np.radians(noise) * (rng.random((40, 6)) - 0.5) + np.radians(3.0)
    track = dataclasses.replace(track, eyes=eyes, expression=rng.normal(size=(40, 100)))
    assert not eyes_estimated(track)
    gj.save_track(track, tmp_path / "a.npz")
    assert run("enhance", tmp_path / "a.npz", "-o", tmp_path / "b.npz") == 0
    assert "did not estimate" in capsys.readouterr().out
    np.testing.assert_array_equal(gj.load_track(tmp_path / "b.npz").eyes, track.eyes)
    assert run("enhance", tmp_path / "a.npz", "-o", tmp_path / "c.npz", "--enable", "gaze") == 0
    assert "because you asked" in capsys.readouterr().out
    assert np.abs(gj.load_track(tmp_path / "c.npz").eyes - track.eyes).max() > np.radians(0.5)


# LivePortrait templates as drivers


@pytest.fixture(scope="module")
def head():
    return flame.builtin()


def opened(track, model):
    return np.asarray(
        apertures(at_landmarks(model), jnp.zeros(0), jnp.asarray(track.expression), jnp.asarray(track.jaw))
    )


@pytest.mark.parametrize("name", ["talking", "d5", "d1", "wink"])
def test_lids_and_lips_follow_real_templates(shared, head, name):
    track = gj.load_track(shared / "tracks" / f"{name}.pkl")
    made, line = driven(track, head)
    found, wanted = opened(made, head), ratios(track)
    assert "cannot" in line or "stay at rest" in line
    assert ("estimated" in line) == (name in ("talking", "wink"))
    for column, values in ((0, wanted.lids[:, 0]), (1, wanted.lids[:, 1]), (2, wanted.lips)):
        assert np.corrcoef(found[:, column], values)[0, 1] > 0.98
    if name == "d5":  # against the file's own numbers, whatever `ratios` makes of them
        lips = np.concatenate([np.ravel(x) for x in track.extra["c_d_lip_lst"]])
        np.testing.assert_allclose(found[:, 2], lips, atol=0.02)


def test_keypoints_alone_tell_what_the_lists_say(shared):
    """Where a template has the lists, the estimate from its keypoints agrees with them."""
    track = gj.load_track(shared / "tracks" / "d5.pkl")
    lists = ratios(track)
    without = {name: value for name, value in track.extra.items() if not name.endswith("_lst")}
    guess = ratios(dataclasses.replace(track, extra=without))
    assert guess.measured == (False, False) and lists.measured == (True, True)
    assert np.corrcoef(guess.lips, lists.lips)[0, 1] > 0.95
    for eye in range(2):
        assert np.corrcoef(guess.lids[:, eye], lists.lids[:, eye])[0, 1] > 0.7


@pytest.mark.parametrize("ratio", ["", "d_"])
def test_place_and_size_are_the_templates(tmp_path, head, ratio):
    import pickle

    content = make.template(9, ratios=ratio)
    for i, frame in enumerate(content["motion"]):
        frame["t"][:] = [[0.05 * (i - 4), -0.02 * (i - 4), 0.0]]
        frame["scale"][:] = 1.2 * (1 + 0.05 * (i - 4))
        frame["exp"][:] = 0
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(content))
    track = gj.load_track(tmp_path / "a.pkl")
    made, _ = driven(track, head)
    camera = made.camera
    from gagjax.camera import project

    centre = np.asarray(project(jnp.zeros((9, 1, 3)), camera))[:, 0]
    np.testing.assert_allclose((centre - 256) / 256, [[0.05 * (i - 4), -0.02 * (i - 4)] for i in range(9)], atol=1e-4)
    depth = made.transform[:, 2, 3]
    np.testing.assert_allclose(depth[4] / depth, [1 + 0.05 * (i - 4) for i in range(9)], rtol=1e-4)
    assert driven(make.track(5), head)[1] == ""


@pytest.mark.parametrize("wanted", [0.0, 0.1, 0.25, 0.33])
def test_openings_are_met(head, wanted):
    measured = Openings.for_model(head)
    lids, lips = np.float32([[wanted, 0.3], [0.3, wanted]]), np.float32([wanted, 0.5])
    track = dataclasses.replace(make.track(2), expression=measured.expression(lids), jaw=measured.jaw(lips))
    found = opened(track, head)
    np.testing.assert_allclose(found[:, 2], lips, atol=0.02)
    np.testing.assert_allclose(found[:, :2], np.maximum(lids, measured.lids.min()), atol=0.02)


# short clips


@pytest.mark.parametrize("frames", [8, 12, 16, 30])
def test_real_blinks_survive_short_cuts(shared, frames):
    """Around each blink that a real template tells, in cuts of every length."""
    kept = []
    for name in ("d5", "d1"):
        track = gj.load_track(shared / "tracks" / f"{name}.pkl")
        lids = np.asarray(track.extra["c_d_eyes_lst"])
        for eye in range(2):
            values = lids[:, eye]
            for i in range(4, len(values) - 4):
                around = values[max(i - 5, 0) : i + 6]
                deep = min(values[max(i - 5, 0) : i].max(), values[i + 1 : i + 6].max()) - values[i]
                if values[i] > around.min() or deep < 0.1:
                    continue
                first = max(0, min(i - frames // 2, len(values) - frames))
                part = track[first : first + frames]
                after = np.asarray(AdaptiveSmoother(lowest=0.7)(part.extra["c_d_eyes_lst"], part.valid, 1 / 30))
                kept.append(
                    (after[:, eye].max() - after[i - first, eye]) / (np.ptp(part.extra["c_d_eyes_lst"][:, eye]))
                )
    assert len(kept) >= 2
    assert min(kept) > 0.85


@pytest.mark.parametrize("frames", [2, 3, 4, 5, 7, 10])
def test_the_shortest_cuts_stay_near_what_they_were(shared, frames):
    for name in ("talking", "wink"):
        part = gj.load_track(shared / "tracks" / f"{name}.pkl")[10 : 10 + frames]
        after = enhance_track(gj.Stack.default(enable=("temporal",)), part)
        for channel, before in part.extra.items():
            value = np.asarray(after.extra[channel])
            assert np.isfinite(value).all()
            assert np.abs(value - before).max() <= np.ptp(np.asarray(before), axis=0).max() + 1e-6, channel


def test_trust_grows_to_one():
    values = [float(trust(n)) for n in (0, 3, 6, 14, 29, 30, 200)]
    assert values == sorted(values) and values[0] >= 0.1 and values[3] < 0.8
    assert values[-1] == values[-2] == 1.0


def test_the_presets_page_names_every_preset():
    page = (Path(__file__).resolve().parents[2] / "docs" / "presets.md").read_text(encoding="utf-8")
    for name in (*presets.STACKS, *presets.SCENARIOS):
        row = next(line for line in page.splitlines() if line.startswith(f"| `{name}`"))
        stack = presets.stack_of(name)
        cells = [cell.strip() for cell in row.strip("|").split("|")][1:6]
        for cell, stage in zip(cells, ("temporal", "expression", "gaze", "detail", "eyes"), strict=True):
            assert (cell != "–") == (getattr(stack, stage) is not None), (name, stage)
