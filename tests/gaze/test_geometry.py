"""Look-at, angles and conventions against float64 and known cases."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gagjax import gaze, so3
from tests.oracles import gaze as oracle
from tests.oracles.flame import rotation

seeds = st.integers(0, 2**31)


@given(seed=seeds, size=st.sampled_from([1e-3, 1.0, 1e3, 1e6]))
def test_the_eye_meets_any_target(seed, size):
    rng = np.random.default_rng(seed)
    centre, offset = 0.03 * rng.normal(size=3), rng.normal(size=3)
    target = centre + size * offset
    turn = gaze.rotation_towards(jnp.asarray(target), jnp.asarray(centre))
    exact = np.asarray(np.float32(target) - np.float32(centre), np.float64)
    assert oracle.degrees_between(oracle.direction(turn), exact) < 1e-3
    assert float(turn[2]) == 0.0


def test_signs_are_flames():
    def towards(*target):
        return np.degrees(gaze.rotation_towards(jnp.array(target), jnp.zeros(3)))

    np.testing.assert_allclose(towards(0.0, -1.0, 1.0), [45, 0, 0], atol=1e-4)  # down is positive about x
    np.testing.assert_allclose(towards(1.0, 0.0, 1.0), [0, 45, 0], atol=1e-4)  # the subject's left is positive about y
    np.testing.assert_allclose(towards(0.0, 0.0, -1.0), [0, 180, 0], atol=1e-3)
    np.testing.assert_array_equal(towards(0.0, 0.0, 0.0), 0.0)


@pytest.mark.parametrize("distance, degrees", [(0.3, 6.0), (0.6, 3.0), (1.5, 1.2)])
def test_convergence_is_the_geometry(distance, degrees):
    centres = jnp.array([[0.0315, 0.0, 0.0], [-0.0315, 0.0, 0.0]])
    eyes = gaze.look_at(jnp.array([0.0, 0.0, distance]), centres)
    assert np.degrees(gaze.vergence(eyes)) == pytest.approx(2 * np.degrees(np.arctan(0.0315 / distance)), abs=1e-3)
    np.testing.assert_allclose(np.abs(np.degrees(eyes[jnp.array([1, 4])])), degrees, atol=0.05)
    assert eyes[1] < 0 < eyes[4]  # the left eye turns to the right, the right eye to the left


@given(seed=seeds)
def test_turning_the_head_and_the_target_together_changes_nothing(seed):
    rng = np.random.default_rng(seed)
    target, centres = rng.normal(size=3) + [0, 0, 2], np.array([[0.03, 0, 0], [-0.03, 0, 0]])
    turn = rotation(rng.normal(size=3))
    rest = gaze.look_at(jnp.asarray(target), jnp.asarray(centres))
    turned = gaze.look_at(jnp.asarray(turn @ target), jnp.asarray(centres @ turn.T), jnp.asarray(turn, jnp.float32))
    np.testing.assert_allclose(rest, turned, atol=3e-6)


@given(seed=seeds)
def test_mirrored_targets_give_mirrored_eyes(seed):
    target = np.random.default_rng(seed).normal(size=3) + [0, 0, 1.5]
    centres = jnp.array([[0.03, 0.01, 0.02], [-0.03, 0.01, 0.02]])
    left, right = np.split(np.asarray(gaze.look_at(jnp.asarray(target), centres)), 2)
    mirrored_left, mirrored_right = np.split(np.asarray(gaze.look_at(jnp.asarray(target * [-1, 1, 1]), centres)), 2)
    # A reflection in x keeps rotations about x and turns those about y and z around.
    np.testing.assert_allclose(mirrored_right, left * [1, -1, -1], atol=1e-6)
    np.testing.assert_allclose(mirrored_left, right * [1, -1, -1], atol=1e-6)


POINTS = [
    (0, 0, 1),
    (0, 0, -1),
    (0, 0, 0),
    (1e-8, 0, 1),
    (1e-3, 0, 1),
    (1e-12, 0, -1),
    (0, 1, 0),
    (1, 1, 1),
    (9e8, 0, 1),
]


@pytest.mark.parametrize("point", POINTS)
def test_gradients_are_finite(point):
    point = jnp.asarray(point, jnp.float32)
    for function in (
        lambda p: gaze.rotation_towards(p, jnp.zeros(3)),
        lambda p: gaze.angle_between(p, jnp.array([0.0, 0.0, 1.0])),
        gaze.pitch_yaw,
    ):
        assert jnp.isfinite(function(point)).all() and jnp.isfinite(jax.jacobian(function)(point)).all()


def test_small_angles_are_not_lost():
    a = jnp.array([0.0, 0.0, 1.0])
    for angle in (1e-5, 1e-3, 0.5, np.pi - 1e-3):
        b = jnp.array([np.sin(angle), 0.0, np.cos(angle)], jnp.float32)
        assert float(gaze.angle_between(a, 3.0 * b)) == pytest.approx(angle, rel=1e-4)


@given(seed=seeds)
def test_a_point_on_the_camera_axis_lies_there(seed):
    rng = np.random.default_rng(seed)
    transform = oracle.camera(rng)
    centre = np.asarray(gaze.camera_centre(jnp.asarray(transform, jnp.float32)), np.float64)
    np.testing.assert_allclose(5 * centre @ transform[:, :3] + transform[:, 3], 0, atol=3e-6)
    point = rng.normal(size=3)
    world = np.asarray(gaze.camera_to_world(jnp.asarray(point), jnp.asarray(transform, jnp.float32)), np.float64)
    np.testing.assert_allclose((5 * world @ transform[:, :3] + transform[:, 3]) / 5, point, atol=3e-6)


@given(pitch=st.floats(-1.5, 1.5), yaw=st.floats(-3.1, 3.1))
def test_pitch_and_yaw_and_back(pitch, yaw):
    angles = jnp.array([pitch, yaw], jnp.float32)
    direction = gaze.direction_from_pitch_yaw(angles)
    expected = [np.cos(pitch) * np.sin(yaw), np.sin(pitch), np.cos(pitch) * np.cos(yaw)]
    np.testing.assert_allclose(direction, expected, atol=1e-6)
    np.testing.assert_allclose(gaze.pitch_yaw(2.0 * direction), angles, atol=2e-5)


def test_eth_xgaze_labels():
    transform = jnp.asarray(np.concatenate([np.diag([-1.0, 1, -1]), [[0.0], [0], [9]]], 1), jnp.float32)

    def label(*d):
        return np.degrees(gaze.eth_xgaze_label(jnp.array(d), transform))

    np.testing.assert_allclose(label(0.0, 0.0, 1.0), [0, 0], atol=1e-4)  # into the lens
    assert label(0.0, 0.2, 1.0)[0] > 5  # up is positive
    # The subject's left is the image's right, and the image's left is positive.
    assert label(0.2, 0.0, 1.0)[1] < -5
    direction = jnp.array([0.3, -0.2, 0.9])
    back = gaze.gaze_from_eth_xgaze(gaze.eth_xgaze_label(direction, transform), transform)
    assert float(gaze.angular_error(back, direction)) < 1e-3


def test_direction_of_is_the_rotated_axis():
    vector = jnp.array([0.2, -0.3, 0.1])
    np.testing.assert_allclose(gaze.direction_of(vector), so3.exp(vector) @ jnp.array([0.0, 0.0, 1.0]), atol=1e-6)


@pytest.mark.parametrize("size", [5e-37, 1e-30, 1e-19, 1e19, 1e30, 1e38, 3e38])
@pytest.mark.parametrize("unit", [(0.3, -0.4, 0.8), (0, 0, 1), (0, 0, -1), (1, 0, 0), (-0.6, 0.8, -0.1), (1, 1, 1)])
def test_the_length_of_a_direction_does_not_matter_at_the_ends_of_the_range(size, unit):
    """The square of 1e20 is beyond float32, and that of 1e-23 below it."""
    unit, other = np.float32(unit), np.float32([0.5, 0.1, 0.7])
    given = np.float32(size) * unit
    functions = (gaze.rotation_to_direction, lambda d: gaze.angle_between(d, other), gaze.pitch_yaw)
    for function in functions:
        np.testing.assert_allclose(function(given), function(unit), atol=3e-6)
        assert np.isfinite(jax.jacobian(function)(jnp.asarray(given))).all()
    turn = gaze.rotation_towards(given, np.zeros(3, np.float32))
    np.testing.assert_allclose(turn, gaze.rotation_to_direction(unit), atol=3e-6)


@pytest.mark.parametrize("size", [1e-38, 1e-40, 1e-45])
def test_directions_below_the_normal_numbers_are_right_or_none(size):
    turn = np.asarray(gaze.rotation_to_direction(np.float32([size, 0, 0])))
    assert np.allclose(turn, 0) or np.allclose(turn, [0, np.pi / 2, 0], atol=1e-6)


def test_a_target_and_an_eye_at_opposite_ends_of_the_range():
    far = np.float32([0, 0, 3.4e38])
    np.testing.assert_allclose(gaze.rotation_towards(far, -far), np.zeros(3))
    np.testing.assert_allclose(gaze.rotation_towards(-far, far), [0, np.pi, 0], rtol=1e-6)
