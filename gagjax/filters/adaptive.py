"""Smoothing a whole sequence whose noise nobody has measured: outliers, noise and motion are told apart from the data.

The plan, per channel:

1. bridge missing frames, and mark observations far from the median of their five neighbours as outliers;
2. choose the cutoff under which the innovations of a constant-velocity filter are most likely, with the channels of
   one array helping each other where a clip is short;
3. run that filter and its smoother over what is left;
4. give back short events, such as a blink, that stand out of the noise for two frames or more in a row.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from gagjax import so3
from gagjax.filters import robust
from gagjax.filters.base import check_lengths, check_observed
from gagjax.filters.kalman import ConstantVelocity, Moments
from gagjax.filters.rotation import RotationConstantVelocity
from gagjax.filters.rts import rts
from gagjax.pytree import is_concrete, pytree, static
from gagjax.typing import AnyArray, Scalar, Tree, Values


@pytree
class AdaptiveSmoother:
    """A zero-lag smoother that finds its own noise level and cutoff: outlier-proof, blink-safe, any unit.

    Args:
        lowest: Lowest cutoff that may be chosen, Hz; below it nothing is smoothed away.
        highest: Highest cutoff that may be chosen, Hz; equal to `lowest` for a fixed cutoff.
        gate: Observations further from their neighbours than this many standard deviations are outliers.
        guard: Events that stand out by this many standard deviations for two frames or more are kept; infinity keeps
            none.
        floor: Standard deviation below which noise is of no interest, in the channel's unit; 0 for none.
        pooling: How much the other channels of an array count in the choice of a channel's cutoff.
        candidates: How many cutoffs are tried.

    Raises:
        ValueError: If the cutoffs are not positive or out of order, or gate or guard is not positive.

    Example:
        >>> import numpy as np
        >>> still = np.full((20, 2), 3.0, np.float32)
        >>> AdaptiveSmoother()(still, dt=0.04)[7].tolist()
        [3.0, 3.0]
    """

    lowest: Scalar = 1.0
    highest: Scalar = 10.0
    gate: Scalar = 5.0
    guard: Scalar = 4.0
    floor: Scalar = 0.0
    pooling: Scalar = 1.0
    candidates: int = static(default=12)

    def __post_init__(self) -> None:
        if is_concrete(self.lowest) and is_concrete(self.highest) and not 0 < self.lowest <= self.highest:
            raise ValueError(f"cutoffs must be positive and in order, got {self.lowest} and {self.highest} Hz")
        for name in ("gate", "guard"):
            value = getattr(self, name)
            if is_concrete(value) and not value > 0:
                raise ValueError(f"{name} must be positive, got {value}")

    def __call__(
        self,
        xs: Float[AnyArray, "T ..."],
        valid: Bool[AnyArray, "T"] | None = None,
        dt: Values = 1.0,
        cuts: Bool[AnyArray, "T"] | None = None,
    ) -> Float[Array, "T ..."]:
        """Smooth an array of independent channels.

        Args:
            xs: (T, ...).
            valid: (T,) bool; values of frames marked False are never read. Gaps inside are bridged, at the ends the
                nearest frame is held.
            dt: Seconds per frame, one number or (T,).
            cuts: (T,) bool; True where a new scene begins.

        Returns:
            The smoothed array, (T, ...).

        Raises:
            InputError: If `valid`, `dt` or `cuts` has another length, or no frame is valid.
        """
        _check(xs, valid, dt, cuts)
        return _smooth_vector(self, xs, valid, dt, cuts)

    def rotations(
        self,
        xs: Float[AnyArray, "T 3 3"],
        valid: Bool[AnyArray, "T"] | None = None,
        dt: Values = 1.0,
        cuts: Bool[AnyArray, "T"] | None = None,
    ) -> Float[Array, "T 3 3"]:
        """Smooth rotation matrices on SO(3); see `__call__` for the arguments."""
        _check(xs, valid, dt, cuts)
        return _smooth_rotations(self, xs, valid, dt, cuts)

    def surprise(
        self,
        xs: Float[AnyArray, "T ..."],
        valid: Bool[AnyArray, "T"] | None = None,
        dt: Values = 1.0,
        turns: bool = False,
    ) -> Float[Array, ""]:
        """Negative log-likelihood of the observations at the lowest cutoff, per frame and moving channel.

        The innovations of the constant-velocity filter are scored, outliers left out, each channel's noise level chosen
        for the best; what the choice of a cutoff minimises, as a differentiable number.

        Args:
            xs: (T, ...) channels, or (T, 3, 3) rotations where `turns`.
            valid: As for calling.
            dt: As for calling.
            turns: Whether `xs` are rotation matrices.
        """
        xs = jnp.asarray(xs)
        _check(xs, valid, dt, None)
        if turns:
            xs = _tangent(xs[neighbours(valid, xs.shape[0])[0]])
        flat, _, _ = bridged(xs.reshape(xs.shape[0], -1), valid)
        scaled, seen, still, _ = _prepared(self, flat, valid)
        cost = _surprise(_candidates(jnp.reshape(self.lowest, 1), dt), scaled, seen, dt)[0]
        return jnp.where(still, 0, cost).sum() / (2 * xs.shape[0] * jnp.maximum(1, (~still).sum()))


def _check(xs: AnyArray, valid: AnyArray | None, dt: Values, cuts: AnyArray | None) -> None:
    check_lengths(np.shape(xs)[0], valid=valid, dt=dt if np.ndim(dt) else None, cuts=cuts)
    check_observed(valid)


@jax.jit
def _smooth_vector(
    settings: AdaptiveSmoother, xs: AnyArray, valid: AnyArray | None, dt: Values, cuts: AnyArray | None
) -> Any:
    xs = jnp.asarray(xs)
    flat, before, after = bridged(xs.reshape(xs.shape[0], -1), valid)
    smooth = _plan(settings, flat, valid, dt, cuts)[0]
    return _held(smooth, before, after).reshape(xs.shape)


@jax.jit
def _smooth_rotations(
    settings: AdaptiveSmoother, xs: AnyArray, valid: AnyArray | None, dt: Values, cuts: AnyArray | None
) -> Any:
    frames = xs.shape[0]
    index, _, before, after = neighbours(valid, frames)
    filled = jnp.asarray(xs)[index]
    # All statistics come from the tangent space at the middle of the motion; the smoothing itself does not.
    _, seen, sound, cutoff, scale = _plan(settings, _linear(_tangent(filled), valid), valid, dt, cuts, together=True)
    filter_ = RotationConstantVelocity.from_cutoff(cutoff[0], scale[0], 1 / _typical(dt))
    smooth = rts(filter_, filled, seen[:, 0], _durations(dt), cuts=cuts)
    error = so3.log(jnp.swapaxes(smooth, -1, -2) @ filled)
    kept = _events(settings, error, scale, seen, sound, trust(observations(valid, frames)))
    return _held(jnp.matmul(smooth, so3.exp(kept), precision="highest"), before, after)


def _tangent(turns: AnyArray) -> Any:
    """Rotations as vectors about the middle of their motion, (T, 3)."""
    middle = so3.quaternion_from_matrix(so3.project(jnp.mean(turns, axis=0)))
    q = so3.quaternion_from_matrix(turns)
    return so3.quaternion_log(so3.quaternion_multiply(so3.quaternion_conjugate(middle), q))


def _prepared(
    settings: AdaptiveSmoother, xs: AnyArray, valid: AnyArray | None, together: bool = False
) -> tuple[Any, Any, Any, Any]:
    """Channels in units of their noise from their first value, what to use of them, which are still, and the rest.

    The rest is the frames that are sound and the noise levels.
    """
    observed = jnp.ones((xs.shape[0], 1), bool) if valid is None else jnp.asarray(valid)[:, None]
    outlier, broken, scale = _outliers(settings, xs, observed)
    # A channel without noise is left alone by any scale; one keeps the arithmetic away from 0 / 0.
    scale = jnp.maximum(scale, settings.floor)
    # Measured by the channel's own motion, for where its zero lies says nothing of its noise; but what is below the
    # rounding of its numbers is none.
    motion = robust.deviation(xs - robust.median(xs, observed), observed)
    rounding = jnp.finfo(xs.dtype).eps * robust.median(jnp.abs(xs), observed)
    still = scale <= jnp.maximum(1e-6 * motion, rounding)
    unit = jnp.where(still, 1, scale)
    if together:
        outlier = jnp.broadcast_to(outlier.any(1, keepdims=True), xs.shape)
        unit = jnp.broadcast_to(jnp.sqrt(jnp.mean(unit**2)), unit.shape)
    return once((xs - xs[0]) / unit), once(observed & ~outlier), still, (observed & ~broken, unit)


def _plan(
    settings: AdaptiveSmoother,
    xs: AnyArray,
    valid: AnyArray | None,
    dt: Values,
    cuts: AnyArray | None,
    together: bool = False,
) -> tuple[Any, Any, Any, Any, Any]:
    """The smoothed channels (T, C), the observations used, the frames that are sound, cutoffs and noise levels."""
    channels = xs.shape[1]
    scaled, seen, still, (sound, unit) = _prepared(settings, xs, valid, together)
    grid = settings.lowest * (settings.highest / settings.lowest) ** jnp.linspace(0, 1, settings.candidates)
    cost = _surprise(_candidates(grid, dt), scaled, seen, dt)
    cost = jnp.where(still, 0, cost - cost.min(0))
    shared = cost.sum(1, keepdims=True) / jnp.maximum(1, (~still).sum())
    cost = shared + 0 * cost if together else cost + settings.pooling * shared
    cutoff = grid[jnp.argmin(cost, axis=0)]
    smooth = rts(_model(cutoff, dt, channels), scaled, seen, _durations(dt), cuts=cuts)
    smooth = smooth + _events(settings, scaled - smooth, 1.0, seen, sound, trust(observations(valid, xs.shape[0])))
    # A channel whose noise is nothing (constant, or drawn by hand) is returned as it came.
    smooth = jnp.where(still, xs, xs[0] + unit * smooth)
    return smooth, seen, sound, cutoff, unit


def _model(cutoff: Values, dt: Values, channels: int) -> ConstantVelocity:
    return ConstantVelocity.from_cutoff(jnp.broadcast_to(cutoff, (channels,)), jnp.ones(channels), 1 / _typical(dt))


def _candidates(cutoffs: AnyArray, dt: Values) -> ConstantVelocity:
    """The models of several cutoffs (K,), for all channels alike; their noise is one."""
    return ConstantVelocity.from_cutoff(cutoffs[:, None], jnp.ones((1, 1)), 1 / _typical(dt))


def _surprise(filter_: ConstantVelocity, xs: AnyArray, seen: AnyArray, dt: Values) -> Any:
    """Minus twice the log likelihood (K, C) of each channel under K cutoffs, the noise level chosen for the best.

    All cutoffs are one axis of one scan, and what is summed over the frames stays in its carry.
    """
    first = jnp.broadcast_to(xs[0], (np.shape(filter_.process_noise)[0], xs.shape[1]))
    # What is known of a channel depends on which of its frames are used.
    start = jax.tree.map(lambda a: jnp.broadcast_to(a, first.shape), filter_.init(first))

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

    # The first frames say how little was known at the start, not how well the model fits.
    late = jnp.arange(xs.shape[0]) >= 3
    carry = start, jnp.zeros_like(first), jnp.zeros_like(first)
    (_, square, logs), _ = jax.lax.scan(body, carry, (xs, seen, _durations(dt), late))
    count = jnp.maximum(seen[3:].sum(0), 1)
    return count * jnp.log(jnp.maximum(square / count, 1e-12)) + logs


def _outliers(settings: AdaptiveSmoother, xs: AnyArray, observed: AnyArray) -> tuple[Any, Any, Any]:
    """Outliers (T, C), frames that are outliers as a whole (T, 1), and each channel's noise level."""
    residual = once(xs - median5(xs))
    noise = second_difference_noise(xs, observed[:, 0])
    spread = jnp.maximum(robust.deviation(residual, observed), 0.8 * noise)
    # The noise may be larger than a short clip shows: nothing is thrown out on the strength of a few frames.
    spread = spread / trust(observations(observed[:, 0], xs.shape[0]))
    spread = once(spread)
    distance = once(jnp.abs(residual) / jnp.where(spread > 0, spread, 1))
    moving = spread > 0
    # One bad frame shows in most channels at once, and then each needs less evidence of its own.
    broken = robust.median_exceeds(distance, moving, jnp.asarray(0.75 * settings.gate, xs.dtype))
    frame = jnp.where(moving.sum() >= 8, broken, False)
    return (distance > settings.gate) | frame, frame, noise


def _events(
    settings: AdaptiveSmoother, error: AnyArray, unit: Values, seen: AnyArray, sound: AnyArray, trust: Scalar
) -> Any:
    """The part of the residual that is no noise: it keeps its sign for two frames or more and stands out of it.

    The noise may be smaller than a short clip shows, where a blink is half of what there is to see: `trust` lowers it.
    """
    used = seen if seen.shape == error.shape else jnp.broadcast_to(seen, error.shape)
    error = jnp.where(sound, error, 0)
    error = once(error)
    lasting = once(median3(error))
    spread = 0.67 * trust * jnp.maximum(robust.deviation(error, used), unit)
    height = jnp.abs(lasting)
    earlier, _, later = _around(height, 1)
    near = jnp.maximum(height, jnp.maximum(earlier, later))
    excess = near / jnp.where(spread > 0, spread, 1) / settings.guard - 1
    strength = jnp.where(spread > 0, jnp.clip(4 * excess, 0, 1), 0)
    return strength * jnp.clip(error, -4 * near, 4 * near)


def once(x: AnyArray) -> Any:
    """An array as it is, worked out once for all that read it.

    XLA puts cheap arithmetic into every loop that reads its result, a dozen times over in this plan. It does not look
    across a branch, and of this one it cannot know that both ways lead to the same array.
    """
    x = jnp.asarray(x)
    number = x[(0,) * x.ndim]
    return jax.lax.cond(number == number, lambda y: y, lambda y: jnp.where(y == y, y, jnp.nan).astype(y.dtype), x)


def observations(valid: AnyArray | None, frames: int) -> Scalar:
    """From how many second differences a clip's noise is estimated."""
    if valid is None:
        return max(frames - 2, 0)
    seen = jnp.asarray(valid)
    return (seen[2:] & seen[1:-1] & seen[:-2]).sum()


def trust(count: Scalar) -> Float[Array, ""]:
    """How far an estimated noise level is trusted: the share of it that is certain.

    A median of n deviations is off by about 1.2 / sqrt(n) of itself; the level is lowered by twice that (and raised by
    as much where it decides what is thrown out), relative to a clip of thirty, from which on it is taken as it is.

    Args:
        count: Of second differences, `observations`.
    """
    share = 1 - 2.4 / jnp.sqrt(jnp.maximum(jnp.asarray(count, jnp.float32), 1.0))
    return jnp.clip(share / (1 - 2.4 / jnp.sqrt(jnp.float32(30.0))), 0.1, 1.0)


def second_difference_noise(xs: Float[AnyArray, "T C"], observed: Bool[AnyArray, "T"]) -> Float[Array, "C"]:
    """Standard deviation of white noise on slow motion, from the median of second differences."""
    if xs.shape[0] < 3:
        return jnp.zeros_like(xs[0])
    difference = xs[2:] - 2 * xs[1:-1] + xs[:-2]
    usable = observed[2:] & observed[1:-1] & observed[:-2]
    return robust.deviation(difference, usable[:, None]) / jnp.sqrt(6.0)


def median3(x: AnyArray) -> Any:
    """The median of each frame and its two neighbours, with zeros beyond the ends."""
    padded = jnp.pad(x, ((1, 1), (0, 0)))
    a, b = padded[:-2], padded[2:]
    return jnp.maximum(jnp.minimum(a, b), jnp.minimum(jnp.maximum(a, b), x))


def median5(x: AnyArray) -> Any:
    """The median of each frame and its four neighbours; beyond the ends the end itself is repeated."""
    b2, b1, _, a1, a2 = _around(x, 2)
    low, high = jnp.minimum(b2, b1), jnp.maximum(b2, b1)
    low2, high2 = jnp.minimum(a1, a2), jnp.maximum(a1, a2)
    # Neither the least nor the greatest of four can be the median of five: that of three is left.
    f, g = jnp.maximum(low, low2), jnp.minimum(high, high2)
    return jnp.maximum(jnp.minimum(f, g), jnp.minimum(jnp.maximum(f, g), x))


def neighbours(valid: AnyArray | None, frames: int) -> tuple[Any, Any, Any, Any]:
    """For every frame the nearest valid one before and after it, and whether it lies before or after all of them.

    Returns:
        Index before (or the first valid), index after (or the last valid), and two (T,) bools.
    """
    ticks = jnp.arange(frames)
    if valid is None:
        none = jnp.zeros(frames, bool)
        return ticks, ticks, none, none
    valid = jnp.asarray(valid)
    last = jax.lax.cummax(jnp.where(valid, ticks, -1))
    following = jax.lax.cummin(jnp.where(valid, ticks, frames), reverse=True)
    before, after = last < 0, following >= frames
    return jnp.where(before, following, last) % frames, jnp.where(after, last, following) % frames, before, after


def bridged(xs: Float[AnyArray, "T C"], valid: AnyArray | None) -> tuple[Any, Any, Any]:
    """The array with missing frames bridged linearly, and which frames lie before and after all valid ones."""
    index, following, before, after = neighbours(valid, xs.shape[0])
    if valid is None:
        return xs, before, after
    share = (jnp.arange(xs.shape[0]) - index) / jnp.maximum(following - index, 1)
    share = jnp.clip(share, 0, 1)[:, None]
    return xs[index] + share * (xs[following] - xs[index]), before, after


def _linear(v: AnyArray, valid: AnyArray | None) -> Any:
    return bridged(v, valid)[0]


def _held(smooth: AnyArray, before: AnyArray, after: AnyArray) -> Any:
    first = jnp.argmin(before)
    last = smooth.shape[0] - 1 - jnp.argmin(after[::-1])
    wide = (slice(None),) + (None,) * (smooth.ndim - 1)
    return jnp.where(before[wide], smooth[first], jnp.where(after[wide], smooth[last], smooth))


def _around(x: AnyArray, reach: int) -> list[Any]:
    """Every frame's neighbours from `reach` before to `reach` after it; beyond the ends the end itself is repeated."""
    # Slices of one padded copy: XLA gathers rows by an index ten times more slowly.
    padded = jnp.pad(x, ((reach, reach), (0, 0)), mode="edge")
    return [padded[k : k + x.shape[0]] for k in range(2 * reach + 1)]


def _typical(dt: Values) -> Any:
    return jnp.median(jnp.asarray(dt, jnp.float32))


def _durations(dt: Values) -> Any:
    return None if jnp.ndim(dt) == 0 else dt
