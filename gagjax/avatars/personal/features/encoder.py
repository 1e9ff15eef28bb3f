"""The pose encoder: a small UNet from the position map to features, with an output of zero at the start."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from gagjax.avatars.personal.networks import ZERO
from gagjax.typing import AnyArray

WIDTH = 16


class PoseEncoder(nnx.Module):
    """Two strided convolutions down, two up with skip connections.

    Args:
        outputs: Channels of the feature map.
        rngs: Random state of the initial weights.
    """

    def __init__(self, outputs: int, *, rngs: nnx.Rngs) -> None:
        self.down = nnx.Conv(3, WIDTH, (4, 4), strides=2, rngs=rngs)
        self.deeper = nnx.Conv(WIDTH, 2 * WIDTH, (4, 4), strides=2, rngs=rngs)
        self.up = nnx.Conv(2 * WIDTH, WIDTH, (3, 3), rngs=rngs)
        self.last = nnx.Conv(WIDTH, outputs, (3, 3), kernel_init=ZERO, rngs=rngs)

    def __call__(self, positions: Float[AnyArray, "S S 3"]) -> Float[Array, "S S C"]:
        x = jnp.asarray(positions)[None]
        half = nnx.leaky_relu(self.down(x), 0.2)
        quarter = nnx.leaky_relu(self.deeper(half), 0.2)
        up = nnx.leaky_relu(self.up(jnp.repeat(jnp.repeat(quarter, 2, 1), 2, 2)) + half, 0.2)
        return self.last(jnp.repeat(jnp.repeat(up, 2, 1), 2, 2))[0]


@functools.cache
def _structure(outputs: int) -> Any:
    return nnx.split(nnx.eval_shape(lambda: PoseEncoder(outputs, rngs=nnx.Rngs(0))))


def create(outputs: int, seed: int) -> dict[str, Any]:
    """The initial weights."""
    module = PoseEncoder(outputs, rngs=nnx.Rngs(seed))
    return jax.tree.map(jnp.asarray, nnx.to_pure_dict(nnx.state(module)))


def apply(weights: Mapping[str, Any], positions: Float[AnyArray, "S S 3"]) -> Float[Array, "S S C"]:
    """Run the encoder with given weights; S is a multiple of 4."""
    graph, state = _structure(weights["last"]["kernel"].shape[-1])
    state = jax.tree.map(lambda x: x, state)
    nnx.replace_by_pure_dict(state, dict(weights))
    return nnx.merge(graph, state)(positions)
