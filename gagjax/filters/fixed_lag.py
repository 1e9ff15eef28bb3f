"""Fixed-lag smoothing: a few frames of look-ahead, for live use that tolerates the delay."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gagjax.protocols import HasAdjoint
from gagjax.pytree import pytree, static
from gagjax.typing import Condition, Tree


class FixedLagState(NamedTuple):
    """The inner filter's state, its update infos of the last frames (oldest first), and the number of frames so far."""

    filter: Any
    infos: Any
    count: Any


@pytree
class FixedLag:
    """A Kalman-type filter whose output is delayed by `lag` frames and uses them; constructed by `fixed_lag`.

    Step t returns the estimate of frame t - lag, or of frame 0 if t < lag.

    Args:
        filter: A Kalman-type filter.
        lag: Frames of look-ahead.
    """

    filter: Any
    lag: int = static(default=2)

    def init(self, first: Tree) -> FixedLagState:
        """Before the first frame."""
        state = self.filter.init(first)
        _, info = self.filter.observe(state, first)
        infos = jax.tree.map(lambda x: jnp.broadcast_to(x, (self.lag + 1, *jnp.shape(x))), info)
        return FixedLagState(state, infos, jnp.int32(0))

    def step(self, state: FixedLagState, x: Tree) -> tuple[FixedLagState, Any]:
        """Observe a frame; return the estimate `lag` frames before it."""
        return self._advance(state, x, None)

    def predict(self, state: FixedLagState) -> tuple[FixedLagState, Any]:
        """Advance by a missing frame; return the estimate `lag` frames before it."""
        return self._advance(state, self.filter.predict(state.filter)[1], jnp.array(False))

    def _advance(self, state: FixedLagState, x: Tree, seen: Condition | None) -> tuple[FixedLagState, Any]:
        inner, info = self.filter.observe(state.filter, x, seen)
        infos = jax.tree.map(lambda old, new: jnp.concatenate([old[1:], new[None]]), state.infos, info)

        def backward(later: Tree, each: Tree) -> tuple[Any, Any]:
            y, earlier = self.filter.adjoint(later, each)
            return earlier, y

        _, ys = jax.lax.scan(backward, self.filter.last(x), infos, reverse=True)
        # Older entries are not frames yet; nothing propagates from them to newer ones.
        oldest = self.lag - jnp.minimum(state.count, self.lag)
        return FixedLagState(inner, infos, state.count + 1), jax.tree.map(lambda y: y[oldest], ys)


def fixed_lag(filter_: HasAdjoint, lag: int) -> FixedLag:
    """The filter with `lag` frames of look-ahead.

    Args:
        filter_: A Kalman-type filter.
        lag: Frames of look-ahead; 0 is the filter itself.

    Raises:
        ValueError: If lag is negative.
        TypeError: If the filter is not of the Kalman type.

    Source: Anderson, Moore, Optimal Filtering, 1979, chapter 7.
    """
    if lag < 0:
        raise ValueError(f"lag must not be negative, got {lag}")
    if not isinstance(filter_, HasAdjoint):
        raise TypeError(f"{type(filter_).__name__} is not a Kalman-type filter, so it cannot look ahead")
    return FixedLag(filter_, lag)
