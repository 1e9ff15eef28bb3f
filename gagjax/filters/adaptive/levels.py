"""Noise levels and what is judged by them: outliers, frames that are broken, events that are no noise."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from gagjax.filters import robust
from gagjax.typing import AnyArray, Scalar, Values

#: Statistics of longer clips are of about this many frames, spread evenly.
SAMPLES = 1024


@runtime_checkable
class Settings(Protocol):
    """What of an `AdaptiveSmoother` is read here."""

    @property
    def lowest(self) -> Scalar: ...
    @property
    def highest(self) -> Scalar: ...
    @property
    def gate(self) -> Scalar: ...
    @property
    def guard(self) -> Scalar: ...
    @property
    def floor(self) -> Scalar: ...
    @property
    def pooling(self) -> Scalar: ...
    @property
    def candidates(self) -> int: ...


class Levels(NamedTuple):
    """The statistics of a clip's channels, each (C,).

    Attributes:
        first: The first value, from which all are measured.
        unit: The noise level in which they are measured; 1 for a channel that is still.
        spread: The level by which outliers are told.
        still: Whether a channel has no noise worth the name.
        trust: How far the levels are trusted, one number.
    """

    first: Any
    unit: Any
    spread: Any
    still: Any
    trust: Any


def stride(frames: int) -> int:
    """Every how many frames a clip is sampled for its statistics."""
    return max(1, frames // SAMPLES)


def measured(
    settings: Settings,
    first: AnyArray,
    around: tuple[AnyArray, ...],
    observed: AnyArray,
    triples: tuple[AnyArray, ...] | None,
    usable: AnyArray | None,
    count: Scalar,
    together: bool = False,
) -> Levels:
    """The noise levels of a clip from samples of it.

    Args:
        settings: The smoother.
        first: The clip's first frame, (C,), missing frames bridged as in all that follows.
        around: Sampled frames with their two neighbours on either side, in order: five arrays (N, C).
        observed: (N, 1) whether each was.
        triples: Three frames in a row, sampled: three arrays (M, C); None for a clip of less.
        usable: (M, 1) whether all three were observed.
        count: Of second differences in the whole clip, `observations`.
        together: Whether the channels share one level.
    """
    xs = around[2]
    residual = xs - median5(around)
    if triples is None or usable is None:
        noise = jnp.zeros_like(first)
    else:
        noise = robust.deviation(triples[2] - 2 * triples[1] + triples[0], usable) / jnp.sqrt(6.0)
    spread = jnp.maximum(robust.deviation(residual, observed), 0.8 * noise)
    # The noise may be larger than a short clip shows: nothing is thrown out on the strength of a few frames.
    certain = trust(count)
    spread = once(spread / certain)
    # A channel without noise is left alone by any scale; one keeps the arithmetic away from 0 / 0.
    scale = jnp.maximum(noise, settings.floor)
    # Measured by the channel's own motion, for where its zero lies says nothing of its noise; but what is below the
    # rounding of its numbers is none.
    motion = robust.deviation(xs - robust.median(xs, observed), observed)
    rounding = jnp.finfo(xs.dtype).eps * robust.median(jnp.abs(xs), observed)
    still = scale <= jnp.maximum(1e-6 * motion, rounding)
    unit = jnp.where(still, 1, scale)
    if together:
        unit = jnp.broadcast_to(jnp.sqrt(jnp.mean(unit**2)), unit.shape)
    return Levels(first, unit, spread, still, certain)


def judged(
    settings: Settings, levels: Levels, around: tuple[AnyArray, ...], observed: AnyArray, together: bool = False
) -> tuple[Any, Any, Any]:
    """Some frames in units of their channels' noise, what to use of them, and which frames are sound.

    Args:
        settings: The smoother.
        levels: The clip's noise levels.
        around: The frames with their two neighbours on either side, in order: five arrays (P, C).
        observed: (P, 1) whether each was.
        together: Whether a frame is used in all channels or none.

    Returns:
        (P, C), (P, C) or (P, 1) bool, and (P, 1) bool.
    """
    xs = around[2]
    distance = once(jnp.abs(xs - median5(around)) / jnp.where(levels.spread > 0, levels.spread, 1))
    moving = levels.spread > 0
    # One bad frame shows in most channels at once, and then each needs less evidence of its own.
    broken = robust.median_exceeds(distance, moving, jnp.asarray(0.75 * settings.gate, xs.dtype))
    broken = jnp.where(moving.sum() >= 8, broken, False)
    outlier = (distance > settings.gate) | broken
    if together:
        outlier = jnp.broadcast_to(outlier.any(1, keepdims=True), xs.shape)
    return once((xs - levels.first) / levels.unit), once(observed & ~outlier), observed & ~broken


def level_of_events(levels: Levels, error: AnyArray, used: AnyArray, unit: Values) -> Any:
    """The level (C,) above which a residual is no noise, from sampled residuals (N, C).

    The noise may be smaller than a short clip shows, where a blink is half of what there is to see: it is lowered.
    """
    used = used if used.shape == error.shape else jnp.broadcast_to(used, error.shape)
    return 0.67 * levels.trust * jnp.maximum(robust.deviation(error, used), unit)


def events(settings: Settings, spread: AnyArray, error: AnyArray) -> Any:
    """The part of the residual that is no noise: it keeps its sign for two frames or more and stands out of it.

    Args:
        settings: The smoother.
        spread: From `level_of_events`.
        error: Residuals of some frames and two more on either side, zero beyond the clip and where a frame is not
            sound, (P + 4, C).

    Returns:
        (P, C).
    """
    lasting = median3(error[:-2], error[1:-1], error[2:])
    height = once(jnp.abs(lasting))
    near = jnp.maximum(height[1:-1], jnp.maximum(height[:-2], height[2:]))
    excess = near / jnp.where(spread > 0, spread, 1) / settings.guard - 1
    strength = jnp.where(spread > 0, jnp.clip(4 * excess, 0, 1), 0)
    return strength * jnp.clip(error[2:-2], -4 * near, 4 * near)


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


def once(x: AnyArray) -> Any:
    """An array as it is, worked out once for all that read it.

    XLA puts cheap arithmetic into every loop that reads its result, a dozen times over in this plan. It does not look
    across a branch, and of this one it cannot know that both ways lead to the same array.
    """
    x = jnp.asarray(x)
    number = x[(0,) * x.ndim]
    return jax.lax.cond(number == number, lambda y: y, lambda y: jnp.where(y == y, y, jnp.nan).astype(y.dtype), x)


def median3(a: AnyArray, x: AnyArray, b: AnyArray) -> Any:
    """The median of three arrays, entry by entry."""
    return jnp.maximum(jnp.minimum(a, b), jnp.minimum(jnp.maximum(a, b), x))


def median5(around: tuple[AnyArray, ...]) -> Any:
    """The median of five arrays, entry by entry."""
    b2, b1, x, a1, a2 = around
    low, high = jnp.minimum(b2, b1), jnp.maximum(b2, b1)
    low2, high2 = jnp.minimum(a1, a2), jnp.maximum(a1, a2)
    # Neither the least nor the greatest of four can be the median of five: that of three is left.
    return median3(jnp.maximum(low, low2), x, jnp.minimum(high, high2))
