"""Which part of an expression is speech: what moves with the jaw. And which frames are wrong as a whole.

A face that talks moves at the syllables' 4 to 6 Hz, where a single coefficient's noise is as large as its motion, so
that no cutoff can tell one from the other. The jaw can: it is seen through dozens of landmarks, and what other channels
do in step with it is no noise of their own.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from gagjax.filters import robust
from gagjax.typing import AnyArray, Scalar, Values

SPAN = 0.04  # seconds before and after over which a motion is measured: differences so far apart pass 2 to 10 Hz
LEAST = 0.2  # of a column's fast motion that has to follow the jaw
_FEW = 12.0  # differences from which a share of one is no chance
_FAR = 8.0  # deviations beyond which a difference counts no more
_WRONG = 5.5  # deviations that the median column of a wrong frame lies off its neighbours


@jax.jit
def with_jaw(
    expression: Float[AnyArray, "T C"],
    jaw: Float[AnyArray, "T"],
    used: Bool[AnyArray, "T"] | None = None,
    dt: Values = 0.04,
    least: Scalar = LEAST,
) -> Float[Array, "C"]:
    """How far each expression column moves with the jaw in speech, by regression of their fast motion.

    Args:
        expression: (T, C) coefficients.
        jaw: (T,) opening, radians.
        used: (T,) frames that count.
        dt: Seconds per frame, one number or (T,).
        least: The share of a column's fast motion that has to follow the jaw; below it there is no gain, from a third
            above it on the whole.

    Returns:
        (C,) coefficient per radian; 0 for a column that moves for itself.

    Example:
        >>> import numpy as np
        >>> opening = 0.1 * np.sin(np.arange(100.0)) ** 2
        >>> with_jaw(np.stack([2 * opening, 0 * opening], 1), opening).round(3).tolist()
        [2.0, 0.0]
    """
    expression, jaw = jnp.asarray(expression), jnp.asarray(jaw)
    frames = expression.shape[0]
    seen = jnp.ones(frames, bool) if used is None else jnp.asarray(used)
    reach = jnp.maximum(1, jnp.round(SPAN / jnp.median(jnp.asarray(dt, jnp.float32)))).astype(int)
    here = jnp.arange(frames)
    before, after = here - reach, here + reach
    inside = (before >= 0) & (after < frames)
    before, after = jnp.maximum(before, 0), jnp.minimum(after, frames - 1)
    counts = (inside & seen[before] & seen[after])[:, None]

    def moved(x: AnyArray) -> Array:
        difference = jnp.where(counts, x[after] - x[before], 0)  # values of frames that do not count are never read
        limit = _FAR * robust.deviation(difference, counts)
        return jnp.clip(difference, -limit, limit)

    # The choice is no function of the smoother's parameters: no gradient goes through it.
    lead, follow = jax.lax.stop_gradient((moved(jaw[:, None]), moved(expression)))
    power, own, common = (lead**2).sum(), (follow**2).sum(0), (lead * follow).sum(0)
    usable = (power > 0) & (own > 0)
    share = jnp.where(usable, common**2 / jnp.where(usable, power * own, 1), 0)
    needed = jnp.maximum(least, _FEW / jnp.maximum(counts.sum(), 1))
    strength = jnp.clip(3 * (share / needed - 1), 0, 1)
    return jnp.where(usable, strength * common / jnp.where(power > 0, power, 1), 0)


@jax.jit
def wrong_frames(expression: Float[AnyArray, "T C"], valid: Bool[AnyArray, "T"] | None = None) -> Bool[Array, "T"]:
    """Frames that are wrong as a whole: at least half of the columns lie far from the frames around them.

    Args:
        expression: (T, C) coefficients.
        valid: (T,) frames to judge.

    Returns:
        (T,); False everywhere if fewer than eight columns move.
    """
    x = jnp.asarray(expression)
    frames = x.shape[0]
    seen = jnp.ones(frames, bool) if valid is None else jnp.asarray(valid)
    # A frame that is not valid repeats the one before it, the first ones the first that is.
    held = x[jnp.maximum(jax.lax.cummax(jnp.where(seen, jnp.arange(frames), -1)), jnp.argmax(seen))]
    seen = seen[:, None]
    padded = jnp.pad(held, ((2, 2), (0, 0)), mode="edge")
    away = held - jnp.median(jnp.stack([padded[k : k + frames] for k in range(5)]), axis=0)
    spread = robust.deviation(away, seen)
    moving = spread > 0
    far = robust.median_exceeds(jnp.abs(away) / jnp.where(moving, spread, 1), moving, jnp.asarray(_WRONG, x.dtype))
    return (moving.sum() >= 8) & far[:, 0] & seen[:, 0]
