"""Frames that the tracker lost, filled for the stages that look at whole clips."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool


def hold_last(xs: Any, valid: Bool[Array, "T"] | None) -> Any:
    """Each missing frame replaced by the last valid one before it, or by the first valid one.

    Args:
        xs: A pytree of arrays, time first.
        valid: (T,) frames to trust; None, or no frame to trust, leaves everything as it is.

    Example:
        >>> import numpy as np
        >>> hold_last(np.array([np.nan, 1.0, np.nan, 3.0]), np.array([False, True, False, True])).tolist()
        [1.0, 1.0, 1.0, 3.0]
    """
    if valid is None:
        return xs
    valid = jnp.asarray(valid)
    numbers = jnp.arange(valid.shape[0])
    last = jax.lax.cummax(jnp.where(valid, numbers, jnp.argmax(valid)))
    source = jnp.where(valid.any(), last, numbers)
    return jax.tree.map(lambda x: jnp.asarray(x)[source], xs)
