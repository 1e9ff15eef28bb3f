"""The two models: what they are at rest, how they move, and their gradients."""

from __future__ import annotations

import dataclasses

import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gagjax import InputError, flame, so3
from gagjax.avatars import Parameters
from gagjax.avatars.avatar import UNITS
from gagjax.avatars.personal import canonical, deformation
from gagjax.camera import from_track


@jax.jit
def gaussians_of(avatar, parameters):
    return avatar.gaussians(parameters)


def some(seed: int = 0) -> Parameters:
    rng = np.random.default_rng(seed)
    return Parameters(
        np.float32(0.5 * rng.normal(size=100)),
        np.float32([0, 0, 0, 0.2, 0, 0]),
        np.float32(0.1 * rng.normal(size=6)),
        np.float32(0.1 * rng.normal(size=3)),
        np.zeros(300, np.float32),
        from_track(np.float32(np.c_[np.diag([-1.0, 1.0, -1.0]), [0, 0.1, 9.3]]), 64),
    )


@hypothesis.given(st.lists(st.floats(0, 0.25, width=32), min_size=1, max_size=8), st.sampled_from(deformation.BLENDS))
@hypothesis.settings(max_examples=30, deadline=None)
def test_shares_sum_to_one_and_fall_with_distance(distances, blend):
    distances = np.sort(np.float32(distances))
    near, far = deformation.shares(jnp.asarray(distances), blend)
    np.testing.assert_allclose(near + far, 1, atol=1e-6)
    assert (np.diff(near) <= 1e-7).all()
    assert (np.asarray(near) >= 0).all()
    if blend == "linear":
        assert (np.asarray(near)[distances < deformation.NEAR] == 1).all()
        assert (np.asarray(near)[distances > deformation.FAR] == 0).all()


def test_both_blends_meet_in_the_middle_with_the_same_slope():
    middle = (deformation.NEAR + deformation.FAR) / 2
    values = [
        jax.value_and_grad(lambda x, blend=blend: deformation.shares(x, blend)[0])(middle)
        for blend in deformation.BLENDS
    ]
    np.testing.assert_allclose(values[0], values[1], rtol=1e-4)
    np.testing.assert_allclose(values[0][0], 0.5, atol=1e-5)


def test_gaussians_lie_on_the_mesh_and_follow_it(start):
    parameters = some()
    means = np.asarray(gaussians_of(start, parameters).means) / UNITS
    posed = parameters.vertices(flame.builtin(0))
    surface = np.asarray(start.canonical.on(start.model, posed))
    np.testing.assert_allclose(means, surface, atol=1e-5)


def test_the_surface_is_not_deformed_at_rest(start):
    found = np.asarray(start.canonical.deformation(start.model, start.model.v_template))
    flat = np.abs(np.asarray(start.canonical.unframe) - np.eye(3)).max((1, 2)) == 0
    np.testing.assert_allclose(found[~flat], np.broadcast_to(np.eye(3), found[~flat].shape), atol=2e-3)


def test_the_shape_of_a_driver_is_not_looked_at(start, field):
    other = dataclasses.replace(some(), shape=np.ones(300, np.float32))
    for avatar in (start, field):
        jax.tree.map(np.testing.assert_array_equal, gaussians_of(avatar, some()), gaussians_of(avatar, other))


def test_a_persons_shape_becomes_the_mean_head():
    model = flame.builtin(0)
    shape = np.float32(np.random.default_rng(0).normal(size=300))
    own = canonical.person(model, shape)
    at_rest = [np.zeros(n, np.float32) for n in (100, 6, 6)]
    np.testing.assert_allclose(
        flame.vertices(own, np.zeros(0), *at_rest), flame.vertices(model, shape, *at_rest), atol=1e-5
    )
    with pytest.raises(InputError, match="coefficients"):
        canonical.with_shape(model, np.ones(400, np.float32))


def test_the_rigid_motion_of_the_field_comes_after_everything_else(field):
    parameters = some()
    turn = np.float32([0.1, -0.3, 0.2])
    turned = dataclasses.replace(parameters, pose=np.concatenate([turn, parameters.pose[3:]]))
    before, after = gaussians_of(field, parameters), gaussians_of(field, turned)
    rotation = np.asarray(so3.exp(turn))
    centre = np.asarray(field.model.J_regressor[0] @ field.model.v_template) * UNITS
    np.testing.assert_allclose(after.means, (before.means - centre) @ rotation.T + centre, atol=1e-4)
    np.testing.assert_allclose(after.covariances, rotation @ before.covariances @ rotation.T, atol=1e-6)
    np.testing.assert_array_equal(after.features, before.features)


def test_the_field_learns_the_motion_of_the_mesh_without_pictures(field, clip):
    track = clip.track
    neck = np.zeros((len(track), 3))
    taught = deformation.guide(field, track.expression, track.jaw, track.eyes, neck, steps=300)
    parameters = Parameters(
        jnp.asarray(track.expression[3]),
        jnp.concatenate([jnp.zeros(3), track.jaw[3]]),
        jnp.asarray(track.eyes[3]),
        jnp.zeros(3),
        jnp.zeros(0),
    )
    wanted = field.canonical.on(field.model, parameters.vertices(field.model)) - field.neutral()
    left = taught.changes(parameters)[:, :3] / 100 - wanted
    assert float((left**2).sum()) < 0.5 * float((wanted**2).sum())


@pytest.mark.parametrize("which", ["appearance", "field"])
def test_gradients_are_those_of_finite_differences(which, start, field):
    """In double precision, of a smooth function of everything that a picture is made of."""
    avatar, parameters = (start if which == "appearance" else field), some()
    rng = np.random.default_rng(1)
    with jax.enable_x64(True):
        avatar, parameters = jax.tree.map(
            lambda x: jnp.asarray(x, jnp.float64) if np.asarray(x).dtype.kind == "f" else x, (avatar, parameters)
        )
        network = jax.tree.map(lambda x: x + 0.05 * rng.normal(size=x.shape), avatar.network)
        weights = {"points": avatar.points, "network": network}

        @jax.jit
        def value(weights, avatar, parameters):  # the head is an argument: as a constant it would be folded at length
            out = dataclasses.replace(avatar, **weights).gaussians(parameters)
            return (
                jnp.sin(out.means).sum() + out.opacities.sum() + (out.features**2).sum() + 1e3 * out.covariances.sum()
            )

        gradient = jax.jit(jax.grad(value))(weights, avatar, parameters)
        way = jax.tree.map(lambda x: jnp.asarray(rng.normal(size=x.shape)), weights)
        if which == "field":  # the shares depend on the place, and are meant to have no gradient there
            way["points"]["offset"] = jnp.zeros_like(way["points"]["offset"])
        slope = sum(jnp.vdot(a, b) for a, b in zip(jax.tree.leaves(gradient), jax.tree.leaves(way), strict=True))
        step = 1e-6
        ahead, behind = (jax.tree.map(lambda w, d, s=s: w + s * d, weights, way) for s in (step, -step))
        difference = value(ahead, avatar, parameters) - value(behind, avatar, parameters)
        np.testing.assert_allclose(difference / (2 * step), slope, rtol=2e-4)


def test_there_are_no_more_gaussians_than_asked_for(person):
    for count in (100, 3000, 30_000):
        made, width = canonical.spread(person, count)
        assert 0.8 * count <= len(made) <= count
        assert (width > 0).all()
        np.testing.assert_allclose(made.corners.sum(1), 1, atol=1e-5)
