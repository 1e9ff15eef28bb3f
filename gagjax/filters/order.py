"""Order statistics without sorting: a float's bits, found from the highest down by counting what lies below.

A sort of every channel is the slowest thing a processor can be asked for here; as many passes over the array as a float
has bits, each of them a comparison and a sum, take a fifteenth of the time and give the same number.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from gagjax.typing import AnyArray


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
