"""The small networks of personal avatars (flax nnx), and their weights as plain nested dicts of arrays."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from gagjax.typing import AnyArray

Weights = Mapping[str, Any]
ZERO = nnx.initializers.zeros_init()


class Skip(nnx.Module):
    """A per-point MLP with an input skip connection and zero initial output.

    The shared input (a frame code) is multiplied into the first layer once, not once per point.

    Args:
        points: Width of each point's input.
        shared: Width of the shared input.
        width: Width of the hidden layers.
        outputs: Width of the output.
        rngs: Random state of the initial weights.
    """

    def __init__(self, points: int, shared: int, width: int, outputs: int, *, rngs: nnx.Rngs) -> None:
        self.first = nnx.Linear(points, width, rngs=rngs)
        self.code = nnx.Linear(shared, width, use_bias=False, rngs=rngs)
        self.second = nnx.Linear(width, width, rngs=rngs)
        self.again = nnx.Linear(points, width, use_bias=False, rngs=rngs)
        self.third = nnx.Linear(width, width, rngs=rngs)
        self.last = nnx.Linear(width, outputs, kernel_init=ZERO, rngs=rngs)

    def __call__(self, points: Float[AnyArray, "N P"], shared: Float[AnyArray, "S"]) -> Float[Array, "N O"]:
        points, shared = jnp.asarray(points), jnp.asarray(shared)
        x = nnx.relu(self.first(points) + self.code(shared))
        x = nnx.relu(self.second(x) + self.again(points))
        return self.last(nnx.relu(self.third(x)))


@functools.cache
def _structure(points: int, shared: int, width: int, outputs: int) -> Any:
    return nnx.split(nnx.eval_shape(lambda: Skip(points, shared, width, outputs, rngs=nnx.Rngs(0))))


def create(points: int, shared: int, width: int, outputs: int, seed: int) -> dict[str, Any]:
    """The initial weights of a `Skip` network."""
    module = Skip(points, shared, width, outputs, rngs=nnx.Rngs(seed))
    return jax.tree.map(jnp.asarray, nnx.to_pure_dict(nnx.state(module)))


def apply(weights: Weights, points: Float[AnyArray, "N P"], shared: Float[AnyArray, "S"]) -> Float[Array, "N O"]:
    """Run a `Skip` network with given weights."""
    width, outputs = weights["last"]["kernel"].shape
    graph, state = _structure(points.shape[-1], shared.shape[-1], width, outputs)
    state = jax.tree.map(lambda x: x, state)
    nnx.replace_by_pure_dict(state, dict(weights))
    return nnx.merge(graph, state)(points, shared)


def shapes(points: int, shared: int, width: int, outputs: int) -> dict[str, Any]:
    """The shapes of a network's weights, for readers of files."""
    return nnx.to_pure_dict(_structure(points, shared, width, outputs)[1])
