"""The same `fit` finds strengths of detail and gaze, and gains of expression regions."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from gagjax import detail, expression, flame, gaze, tuning
from gagjax.track import Channels
from gagjax.tuning import losses
from tests.oracles.heads import toy_head


def clip_of(xs, truth):
    leaves = jax.tree.leaves(xs)
    count, frames = leaves[0].shape[:2]
    every = np.ones((count, frames), bool)
    return tuning.Clip(xs, every, truth, every, np.full(count, 0.04, np.float32))


def test_the_strength_of_gaze_is_found_again():
    rng = np.random.default_rng(0)
    true = gaze.GazeCorrector(strength=0.7)
    front = np.tile(np.c_[np.diag([-1.0, 1, -1]), [0, 0, 9.0]].astype(np.float32), (2, 20, 1, 1))
    eyes = np.float32(0.15 * rng.normal(size=(2, 20, 6)))
    xs = Channels(np.zeros((2, 20, 100), np.float32), np.zeros((2, 20, 3), np.float32), eyes, front)
    truth = jax.vmap(lambda x: true.apply(x, dt=0.04))(xs)
    weights = losses.field_weights({"eyes": 0.1})
    start = dataclasses.replace(true, strength=np.float32(0.2))
    found = tuning.fit(start, clip_of(xs, truth), losses.truth(weights), only=("strength",), steps=200)
    assert found.after[0] < 1e-3 * found.before[0]
    np.testing.assert_allclose(found.values["strength"], 0.7, atol=0.02)


def test_the_strength_of_detail_is_found_by_pictures():
    rng = np.random.default_rng(1)
    sharp = np.kron(rng.uniform(0.2, 0.8, (2, 3, 8, 8, 3)), np.ones((1, 1, 4, 4, 1))).astype(np.float32)
    soft = (np.roll(sharp, 1, 2) + 4 * sharp + np.roll(sharp, -1, 2)) / 6
    soft = (np.roll(soft, 1, 3) + 4 * soft + np.roll(soft, -1, 3)) / 6
    for axis in (2, 3):
        soft = (np.roll(soft, 1, axis) + 2 * soft + np.roll(soft, -1, axis)) / 4

    def loss(model, clip):
        return jnp.mean((model(clip.xs) - clip.truth) ** 2)

    start = detail.DetailEnhancer(strength=0.2)
    found = tuning.fit(start, clip_of(soft, sharp), loss, only=("strength",), steps=60)
    assert found.after[0] < 0.97 * found.before[0]
    assert float(found.model.strength) > 0.4


def test_gains_of_regions_are_found_by_vertices():
    """A performer whose mouth moves half as much, and whose brows half more: out of the error in millimetres."""
    model = toy_head()
    editor = expression.RegionEditor.for_model(model)
    psi = np.float32(np.random.default_rng(2).normal(size=(1, 6, 100)))
    zero = jnp.zeros(6)

    def mesh(gains, coefficients):
        edited = editor.edit(model, gains)
        return 1e3 * flame.vertices(edited, jnp.zeros(10), coefficients, zero, zero)

    def loss(gains, clip):
        return jnp.mean((mesh(gains, clip.xs) - clip.truth) ** 2)

    true = {"brows": jnp.float32(1.5), "mouth": jnp.float32(0.5)}
    start = {name: np.float32(1.0) for name in true}
    clips = clip_of(psi, np.asarray(mesh(true, psi[0]))[None])
    found = tuning.fit(start, clips, loss, domains=dict.fromkeys(true, "positive"), steps=150)
    for name, gain in true.items():
        np.testing.assert_allclose(found.values[name], gain, atol=0.02)
