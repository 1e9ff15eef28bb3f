"""Exponential moving average."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from gagjax.pytree import is_concrete, pytree


class EmaState(NamedTuple):
    """The average so far, shaped like a frame."""

    mean: Any


@pytree
class Ema:
    """Exponential moving average, `y = alpha x + (1 - alpha) y_before`.

    Args:
        alpha: Weight of the new frame in (0, 1]; a scalar, or one per channel.

    Raises:
        ValueError: If alpha is outside (0, 1].

    Source: textbook; first-order low-pass with lag (1 - alpha) / alpha frames on a ramp.

    Example:
        >>> Ema(alpha=0.5).alpha.item()
        0.5
    """

    alpha: Float[Array, "..."]

    def __post_init__(self) -> None:
        if is_concrete(self.alpha) and not bool(((self.alpha > 0) & (self.alpha <= 1)).all()):
            raise ValueError(f"alpha must lie in (0, 1], got {self.alpha}")

    def init(self, first: Any) -> EmaState:
        return EmaState(jax.tree.map(jnp.asarray, first))

    def step(self, state: EmaState, x: Any) -> tuple[EmaState, Any]:
        mean = jax.tree.map(lambda m, value: m + self.alpha * (value - m), state.mean, x)
        return EmaState(mean), mean

    def predict(self, state: EmaState) -> tuple[EmaState, Any]:
        return state, state.mean
