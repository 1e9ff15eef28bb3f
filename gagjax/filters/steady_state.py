"""Steady-state Kalman filters, for long sequences of evenly spaced frames."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gagjax.filters.kalman import Kinematic, Moments, UpdateInfo
from gagjax.pytree import is_concrete, pytree
from gagjax.typing import AnyArray, Condition, Tree


class SteadyInfo(NamedTuple):
    """The record of an update for the backward pass."""

    value: Any
    pull: Any


@pytree
class Steady:
    """A Kalman filter with its steady-state gain; constructed by `steady`.

    The gain does not depend on the data, so for evenly spaced frames without gaps this equals the full filter after its
    first frames, without carrying a covariance. Invalid frames are predicted; the gain after them is not raised.

    Args:
        filter: The Kalman filter.
        gain: Gains of the value and its derivatives.
        inverse: One over the innovation's variance.
    """

    filter: Any
    gain: tuple[Any, ...]
    inverse: Any

    @property
    def adaptive(self) -> bool:
        """The gain never depends on the data."""
        return False

    def init(self, first: Tree) -> Any:
        """At rest at `first`."""
        still = (jnp.zeros_like,) * (self.filter.order - 1)
        return jax.tree.map(lambda x: (jnp.asarray(x), *(make(x) for make in still)), first)

    def step(self, state: Tree, x: Tree) -> tuple[Any, Any]:
        """Predict, then correct by an observed frame."""
        state, info = self.observe(state, x)
        return state, jax.tree.map(lambda _, each: each.value, x, info)

    def predict(self, state: Tree) -> tuple[Any, Any]:
        """Predict a missing frame."""
        ahead = jax.tree.map(self._ahead, state, is_leaf=_is_mean)
        return ahead, jax.tree.map(lambda each: each[0], ahead, is_leaf=_is_mean)

    def observe(self, state: Tree, x: Tree, seen: Condition | None = None) -> tuple[Any, Any]:
        """One frame, see `gagjax.protocols.HasAdjoint`."""
        tree: Any
        leaves, tree = jax.tree.flatten(x)
        pairs = [self._observe(s, leaf, seen) for s, leaf in zip(tree.flatten_up_to(state), leaves, strict=True)]
        return tree.unflatten([s for s, _ in pairs]), tree.unflatten([i for _, i in pairs])

    def adjoint(self, later: Tree, info: Tree) -> tuple[Any, Any]:
        """One step of the backward pass, see `Kinematic.adjoint`."""
        full = jax.tree.map(
            lambda each: UpdateInfo(each.value, each.pull, self.gain, 1.0, None),
            info,
            is_leaf=_is_info,
        )
        return self.filter.adjoint(later, full)

    def lean(self, info: Tree) -> Any:
        """See `Kinematic.lean`."""
        return jax.tree.map(lambda each: each._replace(pull=None), info, is_leaf=_is_info)

    def restored(self, info: Tree, x: Tree) -> Any:
        """See `Kinematic.restored`."""
        r = self.filter.noise()

        def one(each: SteadyInfo, value: AnyArray) -> SteadyInfo:
            return each._replace(pull=(value - each.value) / jnp.where(r > 0, r, 1))

        return jax.tree.map(one, info, x, is_leaf=_is_info)

    def last(self, frame: Tree) -> Any:
        """The adjoint after the last frame: zeros."""
        return self.filter.last(frame)

    def _ahead(self, mean: tuple[Any, ...]) -> tuple[Any, ...]:
        n, f = self.filter.order, self.filter.transition()
        return tuple(sum((f[j - i] * mean[j] for j in range(i + 1, n)), mean[i]) for i in range(n))

    def _observe(self, mean: tuple[Any, ...], x: AnyArray, seen: Condition | None) -> tuple[Any, SteadyInfo]:
        mean = self._ahead(mean)
        error = x - mean[0] if seen is None else jnp.where(seen, x - mean[0], 0)
        mean = tuple(m + k * error for m, k in zip(mean, self.gain, strict=True))
        return mean, SteadyInfo(mean[0], self.inverse * error)


def steady(filter_: Kinematic, frames: int = 4096) -> Steady:
    """The filter with its steady-state gain.

    Args:
        filter_: A Kalman filter without gate, huber and dof.
        frames: Number of frames after which the gain is considered settled.

    Raises:
        ValueError: If the gain depends on the data.

    Example:
        >>> from gagjax.filters import Kalman
        >>> round(float(steady(Kalman(process_noise=1e-3, measurement_noise=1e-2)).gain[0]), 3)
        0.27
    """
    if filter_.adaptive:
        raise ValueError("a filter with gate, huber or dof has no settled gain")
    gains = _settle(filter_, frames)
    # NumPy leaves like those of any other filter, so that replacing them does not recompile.
    column, inverse = jax.tree.map(lambda x: np.asarray(x) if is_concrete(x) else x, gains)
    return Steady(filter_, column, inverse)


def _settle(filter_: Kinematic, frames: int) -> tuple[Any, Any]:
    first = jnp.zeros(())
    start = filter_.init(first)

    def body(_: int | AnyArray, covariance: Tree) -> Any:
        ahead = filter_.ahead(Moments((), covariance, 0))
        return filter_.shrunk(ahead.covariance, filter_.gain(ahead.covariance, 1.0)[0], 1.0)

    covariance = jax.lax.fori_loop(0, frames, body, start.covariance)
    return filter_.gain(filter_.ahead(Moments((), covariance, 0)).covariance, 1.0)


def _is_mean(value: object) -> bool:
    return isinstance(value, tuple)


def _is_info(value: object) -> bool:
    return isinstance(value, SteadyInfo)
