"""Robust statistics: weights of outlying observations and noise levels, all from the data."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from gagjax.filters import order
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
    return order.nanmedian(jnp.where(jnp.broadcast_to(used, x.shape), x, jnp.nan)[::stride])
