"""Wrinkles: normals against a displaced mesh, nothing from a flat map, learning, and another person's head."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gagjax import flame
from gagjax.avatars.parameters import Parameters
from gagjax.avatars.personal import appearance, files
from gagjax.avatars.personal.canonical import person as person_of
from gagjax.avatars.personal.parts.base import Scene
from gagjax.avatars.personal.parts.dressed import DressedAvatar
from gagjax.avatars.personal.wrinkles import displacement
from gagjax.avatars.personal.wrinkles.part import Wrinkles, transferred
from gagjax.camera import from_track

SIZE = 32
FROWN = np.zeros(100, np.float32)
FROWN[2] = 2.0


@pytest.fixture(scope="module")
def part(person) -> Wrinkles:
    return Wrinkles.of(person, SIZE, 4)


@pytest.fixture(scope="module")
def weights(part) -> dict:
    """A crease across the forehead that comes with the third coefficient, one millimetre at a value of 1/0.3."""
    found = part.start(Scene(None, 1, 1, 8))
    row = np.arange(SIZE)[:, None] * np.ones((1, SIZE))
    crease = np.cos(2 * np.pi * row / 4) * (np.abs(row - 25) < 4)
    return {**found, "basis": found["basis"].at[..., 2].set(crease)}


def frame(expression: np.ndarray) -> Parameters:
    camera = from_track(jnp.asarray(np.concatenate([np.diag([-1.0, 1, -1]), [[0.0], [0], [9.3]]], 1)), 32)
    return Parameters.of(jnp.asarray(expression), jnp.zeros(3), jnp.zeros(6), None, camera=camera)


def test_normals_are_those_of_the_displaced_surface(part, person) -> None:
    rng = np.random.default_rng(0)
    x, y = np.meshgrid(np.arange(SIZE), np.arange(SIZE))
    heights = 0.05 * np.cos(2 * np.pi * (x * rng.integers(1, 3) + y) / SIZE)
    flat = np.asarray(displacement.normal_map(part.layout, person, person.v_template, np.zeros((SIZE, SIZE))), float)
    found = np.asarray(displacement.normal_map(part.layout, person, person.v_template, heights), float)
    at, corners = np.asarray(part.layout.triangles).ravel(), np.asarray(part.layout.corners, float).reshape(-1, 3)
    faces, v = np.asarray(person.faces), np.asarray(person.v_template, float)
    base = (v[faces[at]] * corners[..., None]).sum(1).reshape(SIZE, SIZE, 3)

    def cross(p: np.ndarray) -> np.ndarray:
        return np.cross((np.roll(p, -1, 1) - np.roll(p, 1, 1)) / 2, np.gradient(p, axis=0))

    # On the smooth front the change of the normal is that of finite differences of the displaced places.
    unit = lambda p: p / (np.linalg.norm(p, axis=-1, keepdims=True) + 1e-12)  # noqa: E731
    change = unit(cross(base + 1e-3 * heights[..., None] * flat)) - unit(cross(base))
    face = np.s_[24:28, 14:19]  # the forehead
    mine, wanted = (found - flat)[face].ravel(), change[face].ravel()
    assert np.corrcoef(mine, wanted)[0, 1] > 0.9
    assert 0.8 < (mine @ wanted) / (wanted @ wanted) < 1.2
    shown = corners.sum(1).reshape(SIZE, SIZE) > 0.5
    np.testing.assert_allclose(np.linalg.norm(found[shown], axis=-1), 1, atol=1e-3)


def test_a_flat_map_changes_nothing_and_a_crease_only_its_expression(part, weights, person, start) -> None:
    zero = {"wrinkles": part.start(Scene(start, 1, 1, 8))}
    for expression in (np.zeros(100, np.float32), FROWN):
        bare = start.gaussians(frame(expression))
        dressed = DressedAvatar(start, (part,), zero).gaussians(frame(expression))
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), bare, dressed)
    creased = DressedAvatar(start, (part,), {"wrinkles": weights})
    calm, frown = frame(np.zeros(100, np.float32)), frame(FROWN)
    np.testing.assert_allclose(creased.gaussians(calm).means, start.gaussians(calm).means, atol=1e-6)
    moved = np.linalg.norm(creased.gaussians(frown).means - start.gaussians(frown).means, axis=1) / 5 * 1000
    assert 0.3 < moved.max() < 2  # millimetres
    shaded = np.abs(np.asarray(creased.gaussians(frown).features - start.gaussians(frown).features)).max(1)
    assert shaded.max() > 0.005
    forehead = np.asarray(
        part.layout.sampled(np.abs(weights["basis"][..., 2:3]), start.canonical.on(person, person.v_template))
    )[:, 0]
    assert moved[forehead == 0].max() < 1e-3


def test_gradients_reach_the_map_from_flat(part, start) -> None:
    first = part.start(Scene(start, 1, 1, 8))

    def error(w):
        found = DressedAvatar(start, (part,), {"wrinkles": w}).gaussians(frame(FROWN))
        return (found.features**2).sum() + found.means.sum() + part.prior(w, start)

    gradient = jax.grad(error)(first)
    assert all(np.isfinite(np.asarray(g)).all() for g in gradient.values())
    assert np.abs(gradient["static"]).max() > 0
    assert np.abs(gradient["basis"]).max() > 0


def test_wrinkles_fit_another_head_and_are_kept_with_the_avatar(part, weights, start, tmp_path) -> None:
    creased = DressedAvatar(start, (part,), {"wrinkles": weights})
    other = appearance.create(person_of(flame.builtin(3)), 400)
    worn = transferred(creased, other)
    assert worn.base is other
    change = np.abs(np.asarray(worn.gaussians(frame(FROWN)).features - other.gaussians(frame(FROWN)).features))
    assert change.max() > 0.005
    calm = frame(np.zeros(100, np.float32))
    np.testing.assert_allclose(worn.gaussians(calm).means, other.gaussians(calm).means, atol=1e-6)
    files.save(tmp_path / "a", creased, head=flame.builtin(0), seed=0)
    again = files.load(tmp_path / "a").avatar
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5),
        again.gaussians(frame(FROWN)),
        creased.gaussians(frame(FROWN)),
    )
    assert dataclasses.is_dataclass(again)
