"""Robust statistics: weights of outlying observations and noise levels, all from the data."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from gagjax.numerics import safe_norm
from gagjax.pytree import is_concrete
from gagjax.typing import AnyArray, Mask, Values


def weight(
    error: AnyArray,
    variance: Values,
    gate: Values | None = None,
    huber: Values | None = None,
    dof: Values | None = None,
) -> tuple[Any, Any]:
    """Robust weights of observations, from their innovations.

    Args:
        error: Innovations, (...).
        variance: Their predicted variance, (...).
        gate: Standard deviations beyond which an observation is refused.
        huber: Standard deviations beyond which its weight falls as 1 / distance.
        dof: Degrees of freedom of a Student-t likelihood, weight `(dof + 1) / (dof + distance^2)`.

    Returns:
        Weights in [0, 1 + 1 / dof] and whether the gate refused each observation.

    Source: Agamennoni, Nieto, Nebot, Approximate inference in state-space models with heavy-tailed noise, IEEE TSP 2012.
    """
    square = error**2 / jnp.where(variance > 0, variance, 1)
    trust = jnp.ones_like(square)
    if huber is not None:
        far = square > huber**2
        trust = jnp.where(far, huber / jnp.sqrt(jnp.where(far, square, 1)), trust)
    if dof is not None:
        trust = trust * (dof + 1) / (dof + square)
    if gate is None:
        return trust, jnp.zeros(square.shape, bool)
    refused = (square > gate**2) & (variance > 0)
    return jnp.where(refused, 0, trust), refused


def weight_vector(
    error: AnyArray,
    variance: Values,
    gate: Values | None = None,
    huber: Values | None = None,
    dof: Values | None = None,
) -> tuple[Any, Any]:
    """`weight` for vector innovations (..., n) with the same variance (...) in every direction.

    The distance is the vector's norm over the standard deviation of one component.
    """
    return weight(safe_norm(error), variance, gate, huber, None if dof is None else dof + error.shape[-1] - 1)


def check_noise(filter_: Any) -> None:
    """Raise if a hyperparameter of a Kalman-type filter is out of range."""
    for name in ("process_noise", "measurement_noise"):
        value = getattr(filter_, name)
        if is_concrete(value) and not bool(np.all(value >= 0)):
            raise ValueError(f"{name} must not be negative, got {value}")
    for name in ("dt", "gate", "huber", "dof"):
        value = getattr(filter_, name)
        if value is not None and is_concrete(value) and not bool(np.all(value > 0)):
            raise ValueError(f"{name} must be positive, got {value}")
    if filter_.patience < 1:
        raise ValueError(f"patience must be at least one frame, got {filter_.patience}")


def deviation(x: Float[AnyArray, "T C"], used: Mask, limit: int = 1024) -> Float[Array, "C"]:
    """Standard deviation about zero of the bulk of each channel: 1.4826 times the median of the magnitude.

    Args:
        x: (T, C).
        used: Which entries count, broadcastable to (T, C).
        limit: Longer sequences are sampled evenly down to about this many frames: the statistic needs no more.
    """
    return jnp.nan_to_num(1.4826 * _median(jnp.abs(x), used, limit), posinf=0.0)


def median(x: Float[AnyArray, "T C"], used: Mask, limit: int = 1024) -> Float[Array, "C"]:
    """Median of each channel over the entries that count, 0 where none does; arguments as for `deviation`."""
    return jnp.nan_to_num(_median(x, used, limit), posinf=0.0)


def _median(x: AnyArray, used: Mask, limit: int) -> Any:
    stride = max(1, x.shape[0] // limit)
    return nanmedian(jnp.where(jnp.broadcast_to(used, x.shape), x, jnp.nan)[::stride])


@jax.custom_jvp
def nanmedian(x: Float[AnyArray, "T C"]) -> Float[Array, "C"]:
    """Median of each channel over the entries that are numbers, equal to `jnp.nanmedian(x, axis=0)` to the bit.

    Args:
        x: (T, C), any unit; NaN where an entry does not count.

    Returns:
        (C,); NaN where no entry counts. Its derivative is that of `jnp.nanmedian`.

    Source: Munro and Paterson, Selection and sorting with limited storage, 1980 (selection by passes that count).

    Example:
        >>> import numpy as np
        >>> nanmedian(np.float32([[3, 5], [1, np.nan], [2, 7]])).tolist()
        [2.0, 6.0]
    """
    x = jnp.asarray(x)
    keys = jax.lax.optimization_barrier(_keys(x))
    top = jnp.asarray(jnp.iinfo(keys.dtype).max, keys.dtype)
    count = (keys < top).sum(0, dtype=jnp.int32)
    rank = jnp.maximum((count - 1) // 2, 0)
    bits = jnp.iinfo(keys.dtype).bits

    def body(i: AnyArray, low: AnyArray) -> Any:
        trial = low | jnp.left_shift(jnp.ones((), keys.dtype), (bits - 1 - i).astype(keys.dtype))
        return jnp.where((keys < trial).sum(0, dtype=jnp.int32) <= rank, trial, low)

    low = jax.lax.fori_loop(0, bits, body, jnp.zeros(x.shape[1:], keys.dtype))
    # The upper of the two middle entries: the same value again, or the next one up.
    following = jnp.where(keys > low, keys, top).min(0)
    high = jnp.where((keys <= low).sum(0, dtype=jnp.int32) > count // 2, low, following)
    half = jnp.asarray(0.5, x.dtype)
    return jnp.where(count > 0, half * _values(low, x.dtype) + half * _values(high, x.dtype), jnp.nan)


@nanmedian.defjvp
def _nanmedian_jvp(primals: tuple[Any], tangents: tuple[Any]) -> tuple[Any, Any]:
    return nanmedian(*primals), jax.jvp(lambda x: jnp.nanmedian(x, axis=0), primals, tangents)[1]


def median_exceeds(
    x: Float[AnyArray, "T C"], used: Bool[AnyArray, "C"], threshold: Float[AnyArray, ""]
) -> Bool[Array, "T 1"]:
    """Whether the median of each row over the channels that count is above a threshold, by a count.

    Args:
        x: (T, C), not negative.
        used: (C,) channels that count.
        threshold: What the median is compared with, in the unit of `x`.

    Returns:
        (T, 1); False where no channel counts.
    """
    above = used & (x > threshold)
    far, count = above.sum(1, dtype=jnp.int32), used.sum(dtype=jnp.int32)

    def with_ties() -> Any:
        # Where exactly half of an even number are above, the two middle entries lie on either side of the threshold.
        lower = jnp.where(used & ~above, x, -jnp.inf).max(1)
        upper = jnp.where(above, x, jnp.inf).min(1)
        return (2 * far > count) | ((2 * far == count) & (count > 0) & (0.5 * lower + 0.5 * upper > threshold))

    return jax.lax.cond((2 * far == count).any(), with_ties, lambda: 2 * far > count)[:, None]


def _keys(x: AnyArray) -> Any:
    """Unsigned integers in the order of the floats; NaN, which does not count, is the greatest."""
    wide = jnp.finfo(x.dtype).bits
    unsigned = jnp.dtype(f"uint{wide}")
    bits = jax.lax.bitcast_convert_type(jnp.where(x == 0, jnp.zeros((), x.dtype), x), unsigned)
    sign = jnp.left_shift(jnp.ones((), unsigned), jnp.asarray(wide - 1, unsigned))
    greatest = jnp.asarray(jnp.iinfo(unsigned).max, unsigned)
    return jnp.where(jnp.isnan(x), greatest, jnp.where(bits >= sign, ~bits, bits | sign))


def _values(keys: AnyArray, dtype: Any) -> Any:
    """The floats that `_keys` numbered."""
    sign = jnp.left_shift(jnp.ones((), keys.dtype), jnp.asarray(jnp.iinfo(keys.dtype).bits - 1, keys.dtype))
    return jax.lax.bitcast_convert_type(jnp.where(keys >= sign, keys ^ sign, ~keys), dtype)
