"""Laws of scan, stream and chain."""

from __future__ import annotations

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gagjax.filters import Ema, base, chain, scan, stream


def sequence(frames: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(frames, 3)).astype(np.float32)


@given(st.integers(1, 20), st.floats(0.05, 1.0), st.integers(0, 99))
def test_scan_equals_the_loop(frames, alpha, seed):
    xs, f = sequence(frames, seed), Ema(alpha)
    state, loop = f.init(xs[0]), []
    for x in xs:
        state, y = f.step(state, x)
        loop.append(y)
    ys, end = scan(f, xs)
    np.testing.assert_allclose(ys, np.stack(loop), rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(end.mean, state.mean, rtol=1e-6, atol=1e-6)


@given(st.integers(2, 30), st.integers(1, 30), st.integers(0, 99))
def test_any_chunking_is_bitwise_one_scan(frames, size, seed):
    xs = sequence(frames, seed)
    valid = np.random.default_rng(seed).random(frames) > 0.4
    valid[-1] = True
    f = chain(Ema(0.5), Ema(0.25))
    whole, end = scan(f, xs, valid=valid)
    parts = list(stream(f, ((xs[i : i + size], valid[i : i + size]) for i in range(0, frames, size))))
    np.testing.assert_array_equal(np.concatenate([ys for ys, _ in parts]), whole)
    chex.assert_trees_all_equal(parts[-1][1], end)


def test_invalid_frames_contribute_nothing_not_even_nan():
    xs = sequence(6)
    valid = np.array([False, True, False, True, True, False])
    broken = np.where(valid[:, None], xs, np.nan)
    ys, _ = scan(Ema(0.5), broken, valid=valid)
    short, _ = scan(Ema(0.5), xs[valid])
    np.testing.assert_allclose(ys[valid], short, rtol=1e-6)
    grads = jax.grad(lambda f: scan(f, broken, valid=valid)[0].sum())(Ema(0.5))
    assert np.isfinite(grads.alpha)


def test_changing_a_leaf_compiles_nothing_new():
    chex.clear_trace_counter()
    run = jax.jit(chex.assert_max_traces(base._scan_impl, n=1), static_argnums=5)
    for alpha in (0.5, 0.25, jnp.float32(0.75)):
        run(Ema(alpha), sequence(5), None, None, None, 1)


def test_misuse_is_named():
    with pytest.raises(ValueError, match="length"):
        scan(Ema(0.5), {"a": np.zeros((2, 1)), "b": np.zeros((3, 1))})
    with pytest.raises(ValueError, match="at least one frame"):
        scan(Ema(0.5), np.zeros((0, 2)))
    with pytest.raises(ValueError, match="valid"):
        scan(Ema(0.5), np.zeros((4, 2)), valid=np.ones(3, bool))
    with pytest.raises(ValueError, match="alpha"):
        Ema(0.0)
    with pytest.raises(ValueError, match="at least one"):
        chain()
    with pytest.raises(ValueError, match="first valid"):
        list(stream(Ema(0.5), [(np.zeros((2, 1)), np.zeros(2, bool))]))
