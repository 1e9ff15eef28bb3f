"""Long clips are differentiated part by part: the same numbers in less memory."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gagjax import tuning
from gagjax.filters import ConstantVelocity, OneEuro
from gagjax.tuning import losses

MODELS = {
    "likelihood": (ConstantVelocity(process_noise=2.0, measurement_noise=0.05, dt=0.04), lambda: losses.likelihood),
    "truth": (OneEuro(1.0, 0.5, 1.0, 25.0), lambda: losses.truth(run="filter")),
}


def clip_of(frames: int) -> tuning.Clip:
    rng = np.random.default_rng(0)
    truth = np.cumsum(0.1 * rng.normal(size=(frames, 3)), 0)
    valid = rng.random(frames) > 0.1
    seen = np.where(valid[:, None], truth + 0.2 * rng.normal(size=truth.shape), np.nan)
    return jax.tree.map(lambda x: x[0], tuning.batch([seen], [truth], [valid]))


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("frames", [192, 205])
def test_parts_change_neither_value_nor_gradient(name, frames, monkeypatch):
    model, make = MODELS[name]
    clip = clip_of(frames)
    whole = jax.value_and_grad(make())(model, clip)
    monkeypatch.setattr(losses, "PART", 32)
    parts = jax.value_and_grad(make())(model, clip)
    for a, b in zip(jax.tree.leaves(whole), jax.tree.leaves(parts), strict=True):
        assert np.isfinite(a).all()
        np.testing.assert_allclose(a, b, rtol=2e-4, atol=1e-6)


@pytest.mark.parametrize("name", MODELS)
def test_memory_follows_the_parts(name, monkeypatch):
    """The compiler's own figure for temporary memory of the gradient, at 8,192 frames."""
    model, make = MODELS[name]
    clip = jax.tree.map(lambda x: jnp.zeros((8192, *x.shape[1:]), x.dtype) if np.ndim(x) else x, clip_of(64))

    def temporary() -> int:
        compiled = jax.jit(jax.grad(make())).lower(model, clip).compile()
        return compiled.memory_analysis().temp_size_in_bytes

    parts = temporary()
    monkeypatch.setattr(losses, "PART", 10**6)
    assert parts < 0.6 * temporary()
