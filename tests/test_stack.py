"""Laws of the stack: order, chaining, each stage its own part, inputs that cannot be used."""

from __future__ import annotations

import warnings

import chex
import jax
import numpy as np
import pytest

import gagjax as gj
from gagjax import stack as stack_module
from gagjax.filters import base

PARTS = {"temporal": None, "expression": "expression", "gaze": "eyes"}


@pytest.fixture(scope="module")
def track():
    rng = np.random.default_rng(0)
    transform = np.tile(np.eye(3, 4, dtype=np.float32), (12, 1, 1))
    transform[:, :, 3] = rng.normal(size=(12, 3)) + [3, 2, 10]
    valid = np.ones(12, bool)
    valid[[0, 5, 11]] = False
    expression = rng.normal(size=(12, 100)).astype(np.float32)
    expression[~valid] = np.nan
    return gj.Track(
        expression, rng.normal(size=(12, 3)), rng.normal(size=(12, 6)) * 0.1, transform, valid=valid, fps="30000/1001"
    )


@pytest.fixture(scope="module")
def frames():
    return np.random.default_rng(1).random((2, 32, 48, 3)).astype(np.float32)


@pytest.mark.parametrize("variant", ["document", "code"])
def test_stages_run_as_one_chain_each_fed_by_the_one_before(track, variant):
    whole = gj.enhance_track(gj.Stack.reference(variant), track)
    # One after the other: the first has filled what was missing.
    step = gj.enhance_track(gj.Stack.reference(variant, enable=("temporal",)), track)
    for name in ("expression", "gaze"):
        step = gj.Track(**{**step.channels._asdict(), "fps": step.fps})
        step = gj.enhance_track(gj.Stack.reference(variant, enable=(name,)), step)
    chex.assert_trees_all_close(whole.channels, step.channels, atol=1e-6)
    assert np.isfinite(whole.expression).all()
    np.testing.assert_array_equal(whole.valid, track.valid)
    assert whole.fps == track.fps


def test_one_scan_runs_the_reference_stages(track, monkeypatch):
    calls = []
    monkeypatch.setattr(stack_module, "scan", lambda f, *a, **k: calls.append(f) or base.scan(f, *a, **k))
    jax.clear_caches()  # a program that an earlier test compiled would not be traced again
    gj.enhance_track(gj.Stack.reference(), track)
    assert len(calls) == 1 and len(calls[0].filters) == 3


def test_scan_equals_the_loop(track):
    full = track[1:5]
    stack = gj.Stack.reference("code")
    whole = gj.enhance_track(stack, full)
    f = gj.chain(stack.temporal, stack.expression, stack.gaze)
    state, outputs = f.init(jax.tree.map(lambda x: x[0], full.channels)), []
    for i in range(len(full)):
        state, y = f.step(state, jax.tree.map(lambda x, i=i: x[i], full.channels))
        outputs.append(y)
    loop = jax.tree.map(lambda *ys: np.stack(ys), *outputs)
    chex.assert_trees_all_close(whole.channels, loop, atol=1e-5)


@pytest.mark.parametrize("name", ["expression", "gaze"])
def test_each_track_stage_changes_only_its_own_part(track, name):
    full = track[1:5]
    got = gj.enhance_track(gj.Stack.reference(enable=(name,)), full)
    for field, before in full.channels._asdict().items():
        after = getattr(got, field)
        if field == PARTS[name]:
            assert np.abs(after - before).max() > 1e-3
        elif field not in ("neck", "extra"):
            np.testing.assert_array_equal(after, before)


def test_frame_stages_leave_tracks_alone_and_track_stages_frames(track, frames):
    assert gj.enhance_track(gj.Stack.reference(enable=("detail", "eyes")), track) is track
    got, _ = gj.enhance_frames(gj.Stack.reference(enable=("temporal", "expression", "gaze")), frames)
    np.testing.assert_array_equal(got, frames)


def test_frames_keep_their_kind(frames):
    stack = gj.Stack.reference(enable=("eyes",))
    as_bytes = np.round(frames * 255).astype(np.uint8)
    got, _ = gj.enhance_frames(stack, as_bytes)
    want, _ = gj.enhance_frames(stack, as_bytes.astype(np.float32) / 255)
    assert got.dtype == np.uint8 and want.dtype == np.float32
    np.testing.assert_allclose(got.astype(np.float32) / 255, want, atol=0.51 / 255)


def test_warns_once(monkeypatch):
    monkeypatch.setattr(stack_module, "_warned", False)
    with pytest.warns(UserWarning, match="faults included"):
        gj.Stack.reference()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        gj.Stack.reference("code")


@pytest.mark.misuse
def test_inputs_that_cannot_be_used(frames):
    stack = gj.Stack.reference(enable=("detail",))
    for bad, word in (
        (frames[0], "shape"),
        (frames[..., :2], "shape"),
        (frames[:0], "shape"),
        (frames * 255, "values"),
        (np.where(frames > 0.5, np.nan, frames), "values"),
        ((frames * 255).astype(np.int32), "type"),
        (frames[:, :8], "too small"),
    ):
        with pytest.raises(gj.InputError, match=word):
            gj.enhance_frames(stack, bad)
    with pytest.raises(gj.InputError, match="eye_centres"):
        gj.enhance_frames(stack, frames, np.zeros((3, 2, 2)))
    with pytest.raises(gj.InputError, match="no stage"):
        gj.Stack.reference(enable=("sharpen",))


@pytest.mark.parametrize("preset", ["default", "live"])
def test_presets_run_and_fill_what_was_missing(track, frames, preset):
    stack = getattr(gj.Stack, preset)()
    got = gj.enhance_track(stack, track)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(got.channels))
    assert np.abs(got.expression - np.nan_to_num(track.expression)).max() > 1e-3
    first, state = gj.enhance_frames(stack, frames, [[0.4, 0.5], [0.6, 0.5]])
    second, _ = gj.enhance_frames(stack, frames, [[0.4, 0.5], [0.6, 0.5]], state)
    assert first.shape == second.shape == frames.shape
    assert np.isfinite(first).all() and np.isfinite(second).all()


def test_live_is_causal(track):
    full = track[1:5]
    stack = gj.Stack.live(enable=("temporal", "expression", "gaze"))
    whole, start = gj.enhance_track(stack, full), gj.enhance_track(stack, full[:3])
    chex.assert_trees_all_close(jax.tree.map(lambda x: x[:3], whole.channels), start.channels, atol=1e-5)


def test_presets_change_each_part_alone(track):
    for preset in (gj.Stack.default, gj.Stack.live):
        for name, field in (("expression", "expression"), ("gaze", "eyes")):
            full = track[1:5]
            got = gj.enhance_track(preset(enable=(name,)), full)
            for other, before in full.channels._asdict().items():
                if other not in (field, "neck", "extra", "jaw" if name == "expression" else ""):
                    np.testing.assert_array_equal(getattr(got, other), before)


def test_a_stack_bound_to_a_head_leaves_closed_eyes_alone():
    """In both presets: the corrector learns eye centres and lids from the model, and a shut eye is not turned."""
    from gagjax import flame

    model = flame.builtin()
    expression = np.zeros((40, 100), np.float32)
    expression[:, [flame.CONTROLS["blink_left"], flame.CONTROLS["blink_right"]]] = 1
    eyes = np.tile(np.float32([0.05, 0.05, 0]), (40, 2))
    front = np.tile(np.c_[np.diag([-1.0, 1, -1]), [0, 0, 9.0]].astype(np.float32), (40, 1, 1))
    shut = gj.Track(expression, np.zeros((40, 3)), eyes, front)
    for preset in (gj.Stack.default, gj.Stack.live):
        stack = preset(enable=("gaze",))
        bound = stack.for_model(model, np.zeros(300))
        np.testing.assert_allclose(gj.enhance_track(bound, shut).eyes, eyes, atol=1e-6)
        assert np.abs(np.asarray(gj.enhance_track(stack, shut).eyes) - eyes).max() > 0.01
