"""Closure matched by aperture between two identities."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gagjax import InputError, expression
from gagjax.flame import at_landmarks
from gagjax.track import Channels
from tests.oracles.heads import toy_head, with_lids


def clip(psi) -> Channels:
    frames = len(psi)
    return Channels(
        expression=np.asarray(psi, np.float32),
        jaw=np.zeros((frames, 3), np.float32),
        eyes=np.zeros((frames, 6), np.float32),
        transform=np.tile(np.eye(3, 4, dtype=np.float32), (frames, 1, 1)),
    )


@pytest.fixture(scope="module")
def case():
    model = with_lids()
    matcher = expression.ClosureMatcher.for_models(model, np.zeros(10), np.zeros(10))
    psi = np.zeros((4, 100), np.float32)
    psi[1, 0], psi[2, :2] = 0.9, 0.85  # a wink and a blink
    return model, matcher, clip(psi)


def test_a_half_closed_target_closes_as_the_driver_does(case):
    model, matcher, driver = case
    weaker = driver._replace(expression=0.6 * driver.expression)
    # The toy's lids share vertices and do not shut entirely: full matching has to start earlier.
    out = dataclasses.replace(matcher, shut=0.5, open=0.6).match(driver, weaker)
    small = at_landmarks(model)

    def openings(psi):
        return np.asarray(expression.apertures(small, np.zeros(10), psi, np.zeros((len(psi), 3))))

    wanted, given, found = (openings(np.asarray(x)) for x in (driver.expression, weaker.expression, out))
    assert np.abs(given - wanted).max() > 0.08
    np.testing.assert_allclose(found[:, :2], wanted[:, :2], atol=0.01)


def test_the_same_face_and_open_eyes_are_left_alone(case):
    _, matcher, driver = case
    np.testing.assert_allclose(matcher.match(driver, driver), driver.expression, atol=1e-3)
    opener = clip(np.pad([[-0.2]], ((0, 3), (0, 99))))
    changed = opener._replace(expression=opener.expression + 0.01)
    out = np.asarray(matcher.match(opener, changed))
    lids = np.asarray(expression.apertures(matcher.target, np.zeros(10), out, np.zeros((4, 3))))[:, :2]
    kept = np.asarray(expression.apertures(matcher.target, np.zeros(10), changed.expression, np.zeros((4, 3))))[:, :2]
    np.testing.assert_allclose(lids, kept, atol=0.01)


def test_it_runs_inside_a_retargeter_with_finite_gradients(case):
    _, matcher, driver = case
    stage = expression.Retargeter(driver_neutral=jnp.zeros(100), gain=0.6, closure=matcher)
    plain = dataclasses.replace(stage, closure=None).apply(driver).expression
    # Forward mode compiles in a fraction of the time here, and is not finite where reverse mode is not.
    out, tangent = jax.jvp(
        lambda psi: stage.apply(driver._replace(expression=psi)).expression,
        (jnp.asarray(driver.expression),),
        (jnp.ones_like(driver.expression),),
    )
    assert np.abs(np.asarray(out) - plain).max() > 0.1
    assert jnp.isfinite(tangent).all() and jnp.abs(tangent).max() > 0.1


@pytest.mark.misuse
def test_a_model_without_landmarks_is_named():
    bare = dataclasses.replace(toy_head(), landmark_faces=np.zeros(0), landmark_bary=np.zeros((0, 3)))
    with pytest.raises(InputError, match="fewer than 68 landmarks"):
        expression.ClosureMatcher.for_models(bare, np.zeros(10), np.zeros(10))
