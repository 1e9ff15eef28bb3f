"""Neutral faces and retargeting: what they keep and what they change."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gagjax import InputError, expression, scan
from gagjax.track import Channels
from tests.oracles.flame import rotation

seeds = st.integers(0, 2**31)


def clip(seed: int, frames: int = 40) -> Channels:
    """A talking clip about a resting face: speech-like waves, a third of the frames at rest, two blinks."""
    rng = np.random.default_rng(seed)
    rest = 0.5 * rng.normal(size=100)
    wave = np.clip(np.sin(np.arange(frames) / 3.0), 0, None)[:, None]
    psi = rest + wave * 0.6 * rng.normal(size=100) + 0.02 * rng.normal(size=(frames, 100))
    psi[[0, 20]] += 0.8 * np.abs(rng.normal(size=100))  # a blink in the first frame, of all places
    return Channels(
        expression=psi.astype(np.float32),
        jaw=(0.1 * wave * [1, 0, 0] + [0.05, 0.02, 0]).astype(np.float32),
        eyes=np.zeros((frames, 6), np.float32),
        transform=np.tile(np.eye(3, 4, dtype=np.float32), (frames, 1, 1)),
    )


@given(seed=seeds)
def test_neutral_is_robust_where_the_first_frame_is_not(seed):
    channels = clip(seed)
    rest = 0.5 * np.random.default_rng(seed).normal(size=100)
    found = np.linalg.norm(expression.neutral(channels.expression) - rest)
    assert found < 0.2 * np.linalg.norm(channels.expression[0] - rest)


def test_neutral_ignores_missing_frames_and_takes_a_penalty():
    psi = np.zeros((8, 100), np.float32)
    psi[:3] = np.nan
    psi[3:6, 0] = 1.0
    psi[6:, 0] = 1.2
    np.testing.assert_allclose(expression.neutral(psi)[0], 1.0)
    np.testing.assert_allclose(expression.neutral(psi, penalty=np.arange(8) < 6)[0], 1.2)
    np.testing.assert_allclose(expression.neutral(psi, np.arange(8) >= 6)[0], 1.2)
    np.testing.assert_array_equal(expression.neutral(np.full((4, 100), np.nan)), 0.0)


@given(seed=seeds)
def test_the_default_changes_nothing_on_an_ordinary_track(seed):
    channels = clip(seed)
    out = expression.default_stage().apply(channels)
    np.testing.assert_allclose(out.expression, channels.expression, atol=1e-6)
    np.testing.assert_array_equal(out.jaw, channels.jaw)


@given(seed=seeds)
def test_motion_is_carried_onto_the_targets_neutral_at_full_amplitude(seed):
    channels = clip(seed)
    target = np.random.default_rng(seed + 1).normal(size=100).astype(np.float32)
    stage = expression.Retargeter(target_neutral=target)
    out = stage.apply(channels).expression
    np.testing.assert_allclose(expression.neutral(out), target, atol=1e-5)
    np.testing.assert_allclose(np.diff(out, axis=0), np.diff(channels.expression, axis=0), atol=1e-5)
    drawn = dataclasses.replace(stage, constraint=1.0).apply(channels).expression
    np.testing.assert_allclose(drawn, channels.expression, atol=1e-6)


def test_the_drivers_offset_cancels():
    channels = clip(0)
    moved = channels._replace(expression=channels.expression + np.float32(0.7))
    stage = expression.Retargeter(target_neutral=np.zeros(100))
    np.testing.assert_allclose(stage.apply(moved).expression, stage.apply(channels).expression, atol=1e-5)


def test_the_jaw_turns_relative_to_both_neutrals():
    channels = clip(1)
    rest, target = np.array([0.05, 0.02, 0.0]), np.array([0.0, 0.1, 0.0])
    out = expression.Retargeter(target_jaw=target, driver_jaw=rest).apply(channels).jaw
    for before, after in zip(channels.jaw.astype(np.float64), np.asarray(out, np.float64), strict=True):
        np.testing.assert_allclose(rotation(after), rotation(target) @ rotation(rest).T @ rotation(before), atol=1e-6)


def test_outliers_are_pulled_back_along_their_direction():
    deviation = np.zeros((3, 100), np.float32)
    deviation[:, 3], deviation[:, 7] = [3.0, 24.0, 300.0], [4.0, 32.0, 400.0]
    limited = np.asarray(expression.soft_limit(deviation))
    np.testing.assert_array_equal(limited[0], deviation[0])
    lengths = np.linalg.norm(limited, axis=1)
    assert 12.1 < lengths[1] < lengths[2] < 1.51 * 12.13
    np.testing.assert_allclose(limited[:, 3] / limited[:, 7], 0.75, rtol=1e-5)


def test_one_broken_frame_is_limited_in_a_clip_and_missing_ones_spoil_nothing():
    channels = clip(2)
    psi = channels.expression.copy()
    psi[5] += 100.0
    psi[6] = np.nan
    seen = np.arange(40) != 6
    out = np.asarray(expression.default_stage().apply(channels._replace(expression=psi), valid=seen).expression)
    assert np.isfinite(out).all()
    assert np.linalg.norm(out[5] - expression.neutral(channels.expression)) < 20
    others = [t for t in range(40) if t not in (5, 6)]
    np.testing.assert_allclose(out[others], channels.expression[others], atol=1e-6)


def test_gradients_are_finite():
    channels = clip(3)

    def loss(stage, psi):
        return (stage.apply(channels._replace(expression=psi)).expression ** 2).sum()

    stage = expression.Retargeter(target_neutral=jnp.zeros(100), gain=1.2)
    for psi in (channels.expression, np.zeros_like(channels.expression), 50 * channels.expression):
        grads = jax.grad(loss, argnums=(0, 1))(stage, psi)
        assert all(jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(grads))


def test_live_does_frame_by_frame_what_a_clip_with_a_given_neutral_does():
    channels = clip(4)
    stage = expression.Retargeter(target_neutral=np.ones(100), driver_neutral=np.full(100, 0.3))
    live, _ = scan(expression.LiveRetargeter(stage), channels)
    np.testing.assert_allclose(live.expression, stage.apply(channels).expression, atol=1e-6)


@pytest.mark.misuse
def test_wrong_settings_are_named():
    with pytest.raises(InputError, match=r"target_neutral: has shape \(50,\), expected \(100,\)"):
        expression.Retargeter(target_neutral=np.zeros(50))
