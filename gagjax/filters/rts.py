"""Zero-lag smoothing with every Kalman-type filter."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float

from gagjax.filters.base import check_lengths, check_observed
from gagjax.filters.kalman import Kalman, Moments
from gagjax.filters.parallel import choose, rts_parallel
from gagjax.protocols import Bridges, HasAdjoint, LeanInfo, TimeStepped
from gagjax.typing import AnyArray, Tree


def rts(
    filter_: HasAdjoint,
    xs: Tree,
    valid: Bool[AnyArray, "T ..."] | None = None,
    dt: Float[AnyArray, "T"] | None = None,
    *,
    cuts: Bool[AnyArray, "T"] | None = None,
    method: str = "auto",
) -> Any:
    """Smooth a whole sequence without lag (Rauch-Tung-Striebel).

    The backward pass is in the modified Bryson-Frazier form, which gives the same values without inverting or storing a
    covariance. On SO(3) it is the same in the tangent spaces along the filtered path. A gap before the motion is known,
    such as right after the first frame, is filled from the frames behind it: there that form cancels numbers 1e4 times
    the noise and more.

    Args:
        filter_: A Kalman-type filter: Kalman, ConstantVelocity, ConstantAcceleration, RotationConstantVelocity or a
            RigidTransform of these.
        xs: A pytree of arrays, time first, (T, ...).
        valid: (T,) bool, or shaped so that a frame of it broadcasts to a frame of a single array `xs` whose
            hyperparameters are per channel; values marked False are never read but interpolated.
        dt: (T,) seconds since the previous frame, for irregular time stamps.
        cuts: (T,) bool; True where a new scene begins: no state is carried across, in either direction.
        method: "sequential", "parallel" or "auto", as for `scan`; with cuts or a `valid` per channel it is sequential.

    Returns:
        The smoothed sequence, shaped like `xs`.

    Raises:
        TypeError: If the filter is not of the Kalman type.
        ValueError: If "parallel" is requested and there is no parallel form, no frame is valid, or `valid`, `dt` or
            `cuts` has another length.

    Source: Rauch, Tung, Striebel, Maximum likelihood estimates of linear dynamic systems, 1965.

    Example:
        >>> import numpy as np
        >>> from gagjax.filters import ConstantVelocity
        >>> ramp = np.arange(5, dtype=np.float32)
        >>> bool(np.allclose(rts(ConstantVelocity(process_noise=0.01, measurement_noise=1.0), ramp), ramp, atol=1e-3))
        True
    """
    if not isinstance(filter_, HasAdjoint):
        raise TypeError(f"{type(filter_).__name__} is not a Kalman-type filter, so it has no smoother")
    plain = cuts is None and (valid is None or jnp.ndim(valid) == 1)
    frames = jax.tree.leaves(xs)[0].shape[0]
    if valid is not None and np.ndim(valid) > 1:  # per channel
        check_lengths(frames, valid=np.empty(np.shape(valid)[0], bool))
    else:
        check_lengths(frames, valid=valid)
    check_lengths(frames, dt=dt, cuts=cuts)
    check_observed(valid)
    if method == "parallel" and not plain:
        raise ValueError("the parallel form takes no cuts, and valid as (T,) only")
    if plain and choose(method, filter_, frames) == "parallel":
        return rts_parallel(filter_, xs, valid, dt)
    return _rts(filter_, xs, valid, dt, cuts)


@jax.jit
def _rts(filter_: HasAdjoint, xs: Tree, valid: AnyArray | None, dt: AnyArray | None, cuts: AnyArray | None) -> Any:
    begin = 0 if valid is None else jnp.argmax(jnp.asarray(valid).reshape(len(valid), -1).any(1))
    first = jax.tree.map(lambda x: x[begin], xs)
    if cuts is not None:
        cuts = _at_valid(jnp.asarray(cuts), valid)
    if isinstance(filter_, Kalman) and not filter_.adaptive and valid is None and cuts is None:
        return _random_walk(filter_, xs, first, dt)

    # Where a frame has little weight, recomputing its pull from the frame loses the digits that interpolate it.
    lean = filter_ if isinstance(filter_, LeanInfo) and valid is None and not filter_.adaptive else None

    bridging = filter_ if isinstance(filter_, Bridges) and valid is not None else None

    def forward(carry: Tree, frame: Tree) -> tuple[Any, Any]:
        (state, factors), (x, seen, seconds, cut) = carry, frame
        now = filter_ if seconds is None or not isinstance(filter_, TimeStepped) else filter_.with_dt(seconds)
        if cut is not None:
            state = jax.tree.map(lambda a, b: jnp.where(cut, a, b), now.init(x), state)
        state, info = now.observe(state, x, seen)
        if bridging is None or not isinstance(now, Bridges):
            return (state, None), (info if lean is None else lean.lean(info), None)
        if cut is not None:
            factors = jax.tree.map(lambda a, b: jnp.where(cut, a, b), now.factors(x), factors)
        factors, state = now.advanced(factors, state, info)
        return (state, factors), (info, (state, factors))

    def backward(carry: Tree, frame: Tree) -> tuple[Any, Any]:
        (later, ahead), ((info, place), x, seconds, cut) = carry, frame
        now = filter_ if seconds is None or not isinstance(filter_, TimeStepped) else filter_.with_dt(seconds)
        info = now.restored(info, x) if lean is not None and isinstance(now, LeanInfo) else info
        y, earlier = now.adjoint(later, info)
        if bridging is not None and isinstance(now, Bridges):
            state, factors = place
            y, ahead = now.bridge(y, later, info, state, factors, ahead)
            if cut is not None:
                ahead = jax.tree.map(lambda a, b: jnp.where(cut, a, b), now.unbridged(first), ahead)
        if cut is not None:
            earlier = jax.tree.map(lambda each: jnp.where(cut, 0, each), earlier)
        return (earlier, ahead), y

    start = filter_.init(first), None if bridging is None else bridging.factors(first)
    _, infos = jax.lax.scan(forward, start, (xs, valid, dt, cuts))
    end = filter_.last(first), None if bridging is None else bridging.unbridged(first)
    return jax.lax.scan(backward, end, (infos, xs if lean else None, dt, cuts), reverse=True)[1]


def _random_walk(filter_: Kalman, xs: Tree, first: Tree, dt: AnyArray | None) -> Any:
    """The random-walk smoother without missing frames, in the textbook form.

    With a scalar state the smoothed value is a blend of the filtered one and its successor, so each pass moves one
    array; the general form moves three, and this filter is memory-bound.
    """

    def forward(state: Tree, frame: Tree) -> tuple[Any, Any]:
        x, seconds = frame
        state, y = (filter_ if seconds is None else filter_.with_dt(seconds)).step(state, x)
        return state, (y, [each.covariance[0] for each in jax.tree.leaves(state, is_leaf=_is_moments)])

    def backward(later: Tree, frame: Tree) -> tuple[Any, Any]:
        (y, variances), seconds = frame
        grown = (filter_ if seconds is None else filter_.with_dt(seconds)).disturbance(0, 0)
        tree: Any
        values, tree = jax.tree.flatten(y)
        smooth = []
        for value, after, p in zip(values, jax.tree.leaves(later), variances, strict=True):
            total = p + grown
            share = jnp.where(total > 0, p / jnp.where(total > 0, total, 1), 0)
            smooth.append(value + share * (after - value))
        out = tree.unflatten(smooth)
        return out, out

    _, passed = jax.lax.scan(forward, filter_.init(first), (xs, dt))
    # The variance added towards a frame's successor uses the successor's duration.
    after = None if dt is None else jnp.concatenate([dt[1:], dt[-1:]])
    last = jax.tree.map(lambda y: y[-1], passed[0])
    return jax.lax.scan(backward, last, (passed, after), reverse=True)[1]


def _is_moments(x: object) -> bool:
    return isinstance(x, Moments)


def _at_valid(cuts: AnyArray, valid: AnyArray | None) -> Any:
    """Move every cut to the first valid frame from there on: a scene cannot start at a missing value."""
    if valid is None:
        return cuts

    def body(pending: AnyArray, frame: Tree) -> tuple[Any, Any]:
        cut, seen = frame
        pending = pending | cut
        return pending & ~seen, pending & seen

    return jax.lax.scan(body, jnp.zeros(valid.shape[1:], bool), (cuts, jnp.asarray(valid)))[1]
