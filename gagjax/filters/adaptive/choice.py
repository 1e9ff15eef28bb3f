"""The choice of a cutoff: how surprising the innovations of a constant-velocity filter are under each."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gagjax.filters.kalman import ConstantVelocity, Moments
from gagjax.typing import AnyArray, Tree, Values


class Score(NamedTuple):
    """What the cutoffs have cost so far.

    Attributes:
        state: The filters' states, of K cutoffs and C channels.
        square: Sum of squared innovations over their variance at unit noise, (K, C).
        logs: Sum of the logarithms of these variances, (K, C).
        count: Observations counted, (C,).
    """

    state: Any
    square: Any
    logs: Any
    count: Any


def typical(dt: Values) -> Any:
    """Seconds per frame of a clip: the median where frames differ."""
    return jnp.median(jnp.asarray(dt, jnp.float32))


def durations(dt: Values) -> Any:
    """Seconds per frame where frames differ, (T,), else None."""
    return None if jnp.ndim(dt) == 0 else dt


def candidates(cutoffs: AnyArray, dt: Values) -> ConstantVelocity:
    """The models of several cutoffs (K,), for all channels alike; their noise is one."""
    return ConstantVelocity.from_cutoff(cutoffs[:, None], jnp.ones((1, 1)), 1 / typical(dt))


def at_first(filter_: ConstantVelocity, first: AnyArray) -> Score:
    """The score before the first frame (C,)."""
    wide = jnp.broadcast_to(first, (jnp.shape(filter_.process_noise)[0], first.shape[0]))
    # What is known of a channel depends on which of its frames are used.
    start = jax.tree.map(lambda a: jnp.broadcast_to(a, wide.shape), filter_.init(wide))
    return Score(start, jnp.zeros_like(wide), jnp.zeros_like(wide), jnp.zeros(first.shape[0], jnp.int32))


def scored(
    filter_: ConstantVelocity, score: Score, xs: AnyArray, seen: AnyArray, seconds: AnyArray | None, late: AnyArray
) -> Score:
    """The score after some more frames.

    All cutoffs are one axis of one scan, and what is summed over the frames stays in its carry.

    Args:
        filter_: The K models.
        score: What they have cost so far.
        xs: Frames, (P, C), in units of each channel's noise.
        seen: What to use of them, (P, C).
        seconds: Their durations, (P,), or None.
        late: (P,) False for the first frames of a clip, which say how little was known at the start.
    """

    def body(carry: Tree, frame: Tree) -> tuple[Any, None]:
        (mean, covariance, rejected), square, logs = carry
        x, use, seconds, late = frame
        now = filter_ if seconds is None else filter_.with_dt(seconds)
        mean, covariance, _ = now.ahead(Moments(mean, covariance, rejected))
        weight = jnp.asarray(use, x.dtype)
        column, inverse = now.gain(covariance, weight)
        # Shared by all that follows: without the barrier XLA divides again for every sum that needs the quotient.
        error, inverse, column = jax.lax.optimization_barrier((jnp.where(use, x - mean[0], 0), inverse, column))
        mean = tuple(m + (weight * c) * error for m, c in zip(mean, column, strict=True))
        covariance = now.shrunk(covariance, column, weight)
        # pull = e / s and column = p / s give e^2 / s and log s without a second computation of s.
        pull, share = (weight * inverse) * error, (1 - column[0]) / now.measurement_noise
        share = jnp.where(use, share, 1)
        square = square + jnp.where(late, pull**2 / share, 0)
        logs = logs - jnp.where(late, jnp.log(share), 0)
        return (Moments(mean, covariance, rejected), square, logs), None

    count = score.count + (seen & late[:, None]).sum(0)
    (state, square, logs), _ = jax.lax.scan(body, (score.state, score.square, score.logs), (xs, seen, seconds, late))
    return Score(state, square, logs, count)


def cost(score: Score) -> Any:
    """Minus twice the log likelihood (K, C) of each channel under K cutoffs, the noise level chosen for the best."""
    count = jnp.maximum(score.count, 1)
    return count * jnp.log(jnp.maximum(score.square / count, 1e-12)) + score.logs


def surprise(filter_: ConstantVelocity, xs: AnyArray, seen: AnyArray, dt: Values) -> Any:
    """`cost` of a whole clip; arguments as for `scored`."""
    late = jnp.arange(xs.shape[0]) >= 3
    return cost(scored(filter_, at_first(filter_, xs[0]), xs, seen, durations(dt), late))
