"""Exponential moving average."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gagjax.pytree import is_concrete, pytree
from gagjax.typing import Hyperparameter, Tree


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

    alpha: Hyperparameter

    def __post_init__(self) -> None:
        if is_concrete(self.alpha) and not bool(np.all((self.alpha > 0) & (self.alpha <= 1))):
            raise ValueError(f"alpha must lie in (0, 1], got {self.alpha}")

    def init(self, first: Tree) -> EmaState:
        """The state before the first frame, see `gagjax.protocols`."""
        return EmaState(jax.tree.map(jnp.asarray, first))

    def step(self, state: EmaState, x: Tree) -> tuple[EmaState, Any]:
        """One observed frame, see `gagjax.protocols.Filter`."""
        mean = jax.tree.map(lambda m, value: m + self.alpha * (value - m), state.mean, x)
        return EmaState(mean), mean

    def predict(self, state: EmaState) -> tuple[EmaState, Any]:
        """One frame without an observation, see `gagjax.protocols.Filter`."""
        return state, state.mean
