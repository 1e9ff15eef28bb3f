"""Gradients of the rasterizer where a scene is degenerate, against differences of the float64 oracle's pictures."""

from __future__ import annotations

import dataclasses

import jax
import numpy as np
import pytest

from gagjax.camera import from_track
from gagjax.splatting.gaussians import Gaussians
from gagjax.splatting.rasterize import rasterize
from tests.oracles import rasterizer as oracle

COUNT = 5
FIELDS = ("means", "covariances", "opacities", "features")


def camera(size):
    return from_track(np.concatenate([np.eye(3), [[0], [0], [9.0]]], 1).astype(np.float32), size=size)


def scene(**changes):
    """Five Gaussians of different depths about the middle; a change is of the third, or with `all_` of all."""
    rng = np.random.default_rng(3)
    g = Gaussians(
        np.float32(np.c_[0.15 * rng.normal(size=(COUNT, 2)), [0.3, -0.4, 0.0, 0.7, -0.8]]),
        np.float32([np.diag(each) for each in rng.uniform(0.01, 0.05, (COUNT, 3))]),
        np.float32(rng.uniform(0.2, 0.6, COUNT)),
        np.float32(rng.normal(size=(COUNT, 2))),
    )
    for name, value in changes.items():
        every = name.startswith("all_")
        getattr(g, name.removeprefix("all_"))[slice(None) if every else 2] = value
    return g


def coincident():
    """All at one depth: the order is that of the indices, and moving one in depth would change it."""
    g = scene()
    g.means[:, 2] = 0.25
    return g


SCENES = {
    "zero size": scene(covariances=0),
    "all of zero size": scene(all_covariances=0),
    "one number of the size is zero": scene(covariances=np.diag([0.03, 0.0, 0.0])),
    "one depth": coincident(),
    "one place": scene(all_means=[0.05, -0.03, 0.1]),
    "transparent": scene(opacities=0),
    "opaque": scene(opacities=1),
    "opaque, all": scene(all_opacities=1),
    "above one": scene(opacities=1.5),
    "behind the camera": scene(means=[0, 0, -20]),
    "in the camera": scene(means=[0, 0, -9]),
    "NaN": scene(means=np.nan),
    "NaN, all": scene(all_features=np.nan),
    "infinite": scene(covariances=np.inf),
}


def both(g, size, seed=0):
    """The gradient of a weighted picture, and the function of the fields that it is the gradient of, in float64."""
    rng, view = np.random.default_rng(seed), camera(size)
    weights = rng.normal(size=(size, size, 2)), rng.normal(size=(size, size))

    def loss(g):
        picture, alpha = rasterize(g, view, backend="cpu")
        return (picture * weights[0].astype(np.float32)).sum() + (alpha * weights[1].astype(np.float32)).sum()

    def exact(g):
        picture, alpha = oracle.rasterize(g, view)
        return (picture * weights[0]).sum() + (alpha * weights[1]).sum()

    return jax.jit(jax.grad(loss))(g), exact


@pytest.mark.parametrize("size", [1, 12])
@pytest.mark.parametrize("name", SCENES)
def test_gradients_are_finite_and_those_of_differences(name, size):
    g = SCENES[name]
    gradient, exact = both(g, size)
    usable = np.isfinite(g.means).all(-1) & np.isfinite(g.covariances).all((1, 2)) & np.isfinite(g.features).all(-1)
    usable &= g.means[:, 2] > -8.8
    wide = jax.tree.map(lambda v: np.asarray(v, np.float64), g)
    for field in FIELDS:
        found = np.asarray(getattr(gradient, field))
        assert np.isfinite(found).all(), field
        assert not found[~usable].any(), f"{field}: what is not drawn has no gradient"
        value, step = getattr(wide, field), 1e-6
        for index in np.ndindex(value.shape):
            if not usable[index[0]] or (field == "covariances" and index[1] != index[2]):
                continue
            if field == "means" and index[1] == 2 and name in ("one depth", "one place"):
                continue  # the order would change
            ends = []
            for sign in (1, -1):
                moved = value.copy()
                moved[index] += sign * step
                ends.append(exact(dataclasses.replace(wide, **{field: moved})))
            middle = exact(wide)
            # At a cap or a skip the two sides differ: the gradient is that of one of them.
            sides = [(ends[0] - middle) / step, (middle - ends[1]) / step]
            slack = 2e-3 * np.abs(found).max() + 1e-4
            assert min(sides) - slack <= found[index] <= max(sides) + slack, (field, index, found[index], sides)


def test_an_empty_scene_has_gradients_of_no_length_and_the_background_its_own():
    view, none = camera(1), jax.tree.map(lambda v: v[:0], scene())
    g, b = jax.grad(lambda g, b: rasterize(g, view, backend="cpu", background=b)[0].sum(), (0, 1))(
        jax.tree.map(np.asarray, none), np.float32([0.5, 0.25])
    )
    assert [getattr(g, field).shape[0] for field in FIELDS] == [0] * 4
    np.testing.assert_array_equal(b, [1, 1])  # one pixel, seen whole


def test_a_scene_of_nans_leaves_all_to_the_background():
    view, broken = camera(3), SCENES["NaN, all"]
    g, b = jax.grad(lambda g, b: rasterize(g, view, backend="cpu", background=b)[0].sum(), (0, 1))(
        broken, np.float32([0.5, 0.25])
    )
    assert not any(np.asarray(each).any() for each in jax.tree.leaves(g))
    np.testing.assert_array_equal(b, [9, 9])
