"""The One Euro filter: a low-pass whose cutoff rises with speed."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gagjax.pytree import fact, is_concrete, pytree
from gagjax.typing import AnyArray, Hyperparameter, Scalar, Tree, Values

if TYPE_CHECKING:
    from gagjax.filters.rotation import OneEuroRotation


class OneEuroState(NamedTuple):
    """The filtered value and its low-passed derivative, each shaped like a frame."""

    mean: Any
    slope: Any


def smoothing(cutoff: Values, fps: Values) -> Any:
    """Weight of the new frame in a first-order low-pass; `cutoff` and `fps` in Hz."""
    turn = 2 * jnp.pi * cutoff / fps
    return turn / (1 + turn)


def check_one_euro(filter_: OneEuro | OneEuroRotation) -> None:
    """Raise if a hyperparameter is out of range."""
    for name in ("min_cutoff", "derivative_cutoff", "fps"):
        value = getattr(filter_, name)
        if is_concrete(value) and not bool(np.all(value > 0)):
            raise ValueError(f"{name} must be positive, got {value}")
    if is_concrete(filter_.beta) and not bool(np.all(filter_.beta >= 0)):
        raise ValueError(f"beta must not be negative, got {filter_.beta}")


@pytree
class OneEuro:
    """One Euro filter: little lag in motion, little jitter at rest.

    `cutoff = min_cutoff + beta |slope|`, where the slope is itself low-passed at `derivative_cutoff`.

    Args:
        min_cutoff: Cutoff at rest, Hz; a scalar, or one per channel.
        beta: Rise of the cutoff with speed, Hz per (unit per second); a scalar, or one per channel.
        derivative_cutoff: Cutoff of the slope, Hz.
        fps: Frames per second.

    Raises:
        ValueError: If a hyperparameter is negative, or a cutoff or fps is zero.

    Source: Casiez, Roussel, Vogel, 1 Euro filter, CHI 2012.

    Example:
        >>> OneEuro(min_cutoff=1.0, beta=0.5, fps=30).fps.item()
        30.0
    """

    min_cutoff: Hyperparameter = 1.0
    beta: Hyperparameter = 0.0
    derivative_cutoff: Hyperparameter = 1.0
    fps: Hyperparameter = fact(default=25.0)

    def __post_init__(self) -> None:
        check_one_euro(self)

    def with_dt(self, dt: Scalar) -> OneEuro:
        """The filter for frames that last `dt` seconds."""
        return dataclasses.replace(self, fps=1 / dt)

    def init(self, first: Tree) -> OneEuroState:
        """At rest at `first`."""
        return OneEuroState(jax.tree.map(jnp.asarray, first), jax.tree.map(jnp.zeros_like, first))

    def step(self, state: OneEuroState, x: Tree) -> tuple[OneEuroState, Any]:
        """Low-pass the slope, choose the cutoff, low-pass the value."""
        slow = smoothing(self.derivative_cutoff, self.fps)
        slope = jax.tree.map(lambda d, m, v: d + slow * ((v - m) * self.fps - d), state.slope, state.mean, x)

        def value(mean: AnyArray, d: AnyArray, v: AnyArray) -> Any:
            return mean + smoothing(self.min_cutoff + self.beta * jnp.abs(d), self.fps) * (v - mean)

        mean = jax.tree.map(value, state.mean, slope, x)
        return OneEuroState(mean, slope), mean

    def predict(self, state: OneEuroState) -> tuple[OneEuroState, Any]:
        """Hold the last value: the filter has no motion model."""
        return state, state.mean
