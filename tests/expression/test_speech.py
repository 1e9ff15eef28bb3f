"""What of an expression moves with the jaw, and frames that are wrong as a whole."""

from __future__ import annotations

import dataclasses
import math

import jax.numpy as jnp
import numpy as np
import pytest

from gagjax.expression.speech import with_jaw, wrong_frames
from gagjax.simulate import driver
from gagjax.track_smoother import TrackSmoother


def _talk(frames: int = 150, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    jaw = np.asarray(driver(frames, seed=seed).jaw)[:, 0]
    led = np.stack([2.0 * jaw, -0.7 * jaw, 0 * jaw], 1) + 0.01 * rng.normal(size=(frames, 3))
    return led.astype(np.float32), jaw.astype(np.float32)


def test_columns_that_follow_the_jaw_have_its_gain_and_others_none():
    led, jaw = _talk()
    np.testing.assert_allclose(with_jaw(led, jaw), [2.0, -0.7, 0.0], atol=0.1)


def test_gains_do_not_depend_on_unit_offset_or_frames_that_do_not_count():
    led, jaw = _talk()
    gains = np.asarray(with_jaw(led, jaw))
    np.testing.assert_allclose(with_jaw(100 * led + 5, jaw - 1), 100 * gains, rtol=1e-3, atol=1e-4)
    used = np.ones(len(jaw), bool)
    used[20:23] = False
    spoilt = np.where(used[:, None], led, np.nan).astype(np.float32)
    np.testing.assert_array_equal(with_jaw(spoilt, jaw, used), with_jaw(np.where(used[:, None], led, 9), jaw, used))


@pytest.mark.parametrize("frames", [1, 2, 5])
def test_a_few_frames_tell_nothing(frames):
    led, jaw = _talk()
    assert (np.asarray(with_jaw(led[:frames], jaw[:frames])) == 0).all()


def test_a_frame_wrong_in_all_columns_is_found_and_a_blink_is_not():
    rng = np.random.default_rng(1)
    x = rng.normal(size=(60, 12)).astype(np.float32)
    x[20] += 40 * rng.choice([-1, 1], 12)
    x[40:43, :2] += 50
    valid = np.ones(60, bool)
    valid[30:32], x[30:32] = False, np.nan
    assert np.flatnonzero(wrong_frames(x, valid)).tolist() == [20]
    assert not wrong_frames(x[:, :7], valid).any()


def test_smoothing_leaves_speech_to_the_lips():
    """Noise as a landmark fit's: the lip's slope stays, and most of the jitter goes."""
    truth = driver(250, seed=4)
    rng = np.random.default_rng(2)
    expression = np.zeros((250, 100), np.float32)
    expression[:, :20] = np.outer(np.asarray(truth.jaw)[:, 0], [2.0] + 19 * [0.0])
    expression[:, :20] += 0.05 * rng.normal(size=(250, 20))
    track = dataclasses.replace(
        truth,
        expression=expression,
        jaw=np.asarray(truth.jaw) + 0.006 * rng.normal(size=(250, 3)).astype(np.float32),
    )
    smoother = TrackSmoother.default(25)
    smooth, alone = smoother(track), dataclasses.replace(smoother, speech=math.inf)(track)
    lip = 2.0 * np.asarray(truth.jaw)[:, 0]

    def slope(x):
        return np.polyfit(lip, np.asarray(x.expression)[:, 0], 1)[0]

    def jitter(x):
        return np.abs(np.diff(np.asarray(x.expression)[:, 1:20], 2, axis=0)).mean()

    assert slope(smooth) > slope(track) - 0.05 > slope(alone) + 0.1
    assert jitter(smooth) < jitter(track) / 3
    jaws = [np.corrcoef(np.asarray(x.jaw)[:, 0], np.asarray(truth.jaw)[:, 0])[0, 1] for x in (track, smooth)]
    assert jaws[1] > jaws[0] - 0.005
    assert bool(jnp.isfinite(jnp.asarray(smooth.expression)).all())
