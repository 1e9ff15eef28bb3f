"""Expectation-maximisation for the two noises of a Kalman filter, the classical alternative to gradients."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from gagjax.filters.kalman import Kinematic
from gagjax.tuning.batching import Clip
from gagjax.typing import AnyArray, Tree, Values


class _Smoothed(NamedTuple):
    mean: Float[Array, "T n"]
    covariance: Float[Array, "T n n"]
    lagged: Float[Array, "T n n"]  # covariance of z_t with z_(t-1); the first entry is unused


def em(filter_: Kinematic, clips: Clip, steps: int = 50) -> tuple[Kinematic, Float[Array, "steps 2"]]:
    """Estimate process and measurement noise by expectation-maximisation, one pair for all channels and clips.

    Args:
        filter_: A Kalman-type vector filter; its noises are the initial values. Gating is ignored.
        clips: A batch whose `xs` is one array, (N, T, C).
        steps: Iterations; each never lowers the likelihood.

    Returns:
        The filter with the estimated noises (scalars), and the (process, measurement) noise after each step.

    Raises:
        TypeError: If the filter is of another kind, or `xs` is not one array.

    Source: Shumway, Stoffer, An approach to time series smoothing and forecasting using the EM algorithm, 1982.
    """
    if not isinstance(filter_, Kinematic) or not isinstance(clips.xs, AnyArray):
        raise TypeError("em takes a Kalman-type filter and clips of one array (N, T, C)")
    n = filter_.order
    shape = _disturbance(filter_, 1.0)
    f = _matrix(filter_)
    inverse = jnp.linalg.inv(shape)

    def expectations(q: Values, r: Values, x: AnyArray, valid: AnyArray) -> tuple[Any, Any, Any, Any]:
        smoothed = _smooth(f, q * shape, r, x, valid, n)
        z, p, c = smoothed
        before, now = z[:-1], z[1:]
        step = now - before @ f.T
        spread = (
            p[1:]
            + f @ p[:-1] @ f.T
            - c[1:] @ f.T
            - f @ jnp.swapaxes(c[1:], -1, -2)
            + step[:, :, None] * step[:, None, :]
        )
        # Only the span from the first to the last observation carries information.
        frames = jnp.arange(x.shape[0])
        first, last = jnp.argmax(valid), x.shape[0] - 1 - jnp.argmax(valid[::-1])
        inside = (frames[1:] > first) & (frames[1:] <= last)
        q_sum = jnp.where(inside, jnp.einsum("ij,tji->t", inverse, spread), 0).sum()
        r_sum = jnp.where(valid, (x - z[:, 0]) ** 2 + p[:, 0, 0], 0).sum()
        return q_sum, inside.sum(), r_sum, valid.sum()

    over_channels = jax.vmap(expectations, in_axes=(None, None, 1, None))
    over_clips = jax.vmap(over_channels, in_axes=(None, None, 0, 0))

    @jax.jit
    def iterate(q: Values, r: Values) -> tuple[Any, Any]:
        q_sum, q_count, r_sum, r_count = (v.sum() for v in over_clips(q, r, clips.xs, clips.valid))
        return q_sum / (n * q_count), r_sum / r_count

    q = jnp.mean(jnp.asarray(filter_.process_noise))
    r = jnp.mean(jnp.asarray(filter_.measurement_noise))
    path = []
    for _ in range(steps):
        q, r = iterate(q, r)
        path.append(jnp.stack([q, r]))
    return dataclasses.replace(filter_, process_noise=q, measurement_noise=r), jnp.stack(path)


def _matrix(filter_: Kinematic) -> Any:
    row, n = filter_.transition(), filter_.order
    return jnp.stack(
        [jnp.stack([jnp.asarray(row[j - i] if j >= i else 0.0, jnp.float32) for j in range(n)]) for i in range(n)]
    )


def _disturbance(filter_: Kinematic, q: float) -> Any:
    unit = dataclasses.replace(filter_, process_noise=jnp.float32(q))
    n = filter_.order
    return jnp.stack(
        [jnp.stack([jnp.asarray(unit.disturbance(min(i, j), max(i, j))) for j in range(n)]) for i in range(n)]
    )


@functools.partial(jax.jit, static_argnums=5)
def _smooth(f: AnyArray, q: AnyArray, r: Values, x: AnyArray, valid: AnyArray, n: int) -> _Smoothed:
    """Textbook RTS with covariances, for one channel: EM needs second moments, which `filters.rts` never forms."""
    start = jnp.argmax(valid)
    z0 = jnp.zeros(n).at[0].set(x[start])
    p0 = jnp.eye(n) * 1e4 * (r + q[0, 0])
    for k in range(1, n):
        p0 = p0.at[k, k].set(1e4 * (r + q[k, k]))

    def forward(carry: Tree, frame: Tree) -> tuple[Any, Any]:
        z, p, begun = carry
        value, seen, index = frame
        z_ahead = jnp.where(begun, f @ z, z)
        p_ahead = jnp.where(begun, f @ p @ f.T + q, p)
        gain = p_ahead[:, 0] / (p_ahead[0, 0] + r)
        gain = jnp.where(seen, gain, 0)
        error = jnp.where(seen, value - z_ahead[0], 0)
        z_new = z_ahead + gain * error
        keep = jnp.eye(n) - jnp.outer(gain, jnp.eye(n)[0])
        p_new = keep @ p_ahead @ keep.T + r * jnp.outer(gain, gain)
        begun = begun | (index >= start)
        return (z_new, p_new, begun), (z_new, p_new, z_ahead, p_ahead, gain)

    frames = jnp.arange(x.shape[0])
    _, (z, p, z_ahead, p_ahead, _) = jax.lax.scan(forward, (z0, p0, jnp.asarray(False)), (x, valid, frames))

    def backward(carry: Tree, frame: Tree) -> tuple[Any, Any]:
        z_later, p_later = carry
        z_now, p_now, z_next, p_next = frame
        gain = jnp.linalg.solve(p_next, f @ p_now).T
        z_smooth = z_now + gain @ (z_later - z_next)
        p_smooth = p_now + gain @ (p_later - p_next) @ gain.T
        return (z_smooth, p_smooth), (z_smooth, p_smooth, p_later @ gain.T)

    last = (z[-1], p[-1])
    _, (zs, ps, cross) = jax.lax.scan(backward, last, (z[:-1], p[:-1], z_ahead[1:], p_ahead[1:]), reverse=True)
    zs, ps = jnp.concatenate([zs, z[-1:]]), jnp.concatenate([ps, p[-1:]])
    return _Smoothed(zs, ps, jnp.concatenate([jnp.zeros((1, n, n)), cross]))
