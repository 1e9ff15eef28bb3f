"""The adaptive smoother's searches as they were first written: medians by sorting, a scan for each cutoff."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from gagjax.filters.adaptive.choice import Score
from gagjax.filters.kalman import ConstantVelocity
from gagjax.typing import AnyArray, Tree


def median(x: AnyArray) -> Any:
    """Median of each column over the entries that are numbers."""
    return jnp.nanmedian(x, axis=0)


def median_exceeds(x: AnyArray, used: AnyArray, threshold: AnyArray) -> Any:
    """Whether the median of a row over the columns that count is above a threshold, (T, 1)."""
    return jnp.nanmedian(jnp.where(used, x, jnp.nan), axis=1, keepdims=True) > threshold


def surprise(filter_: ConstantVelocity, xs: AnyArray, seen: AnyArray, dt: AnyArray) -> Any:
    """The costs (K, C) of K cutoffs: a scan for each, the terms of every frame kept and then added."""

    def one(process_noise: AnyArray) -> Any:
        model = ConstantVelocity(jnp.broadcast_to(process_noise, xs.shape[1:]), jnp.ones(xs.shape[1]), filter_.dt)

        def body(state: Tree, frame: Tree) -> tuple[Any, Any]:
            x, use, seconds = frame
            now = model if seconds is None else model.with_dt(seconds)
            state, info = now.observe(state, x, use)
            inverse = jnp.where(use, (1 - info.column[0]) / now.measurement_noise, 1)
            return state, (info.pull**2 / inverse, -jnp.log(inverse))

        _, (square, logs) = jax.lax.scan(body, model.init(xs[0]), (xs, seen, None if jnp.ndim(dt) == 0 else dt))
        count = jnp.maximum(seen[3:].sum(0), 1)
        return count * jnp.log(jnp.maximum(square[3:].sum(0) / count, 1e-12)) + logs[3:].sum(0)

    return jax.lax.map(one, filter_.process_noise[:, 0])


def scored(
    models: ConstantVelocity, _: Score, xs: AnyArray, seen: AnyArray, seconds: AnyArray, late: AnyArray
) -> Score:
    """`surprise` in the place of a clip's only part, as its sum of squares."""
    return Score(None, surprise(models, xs, seen, models.dt if seconds is None else seconds), 0, 0)
