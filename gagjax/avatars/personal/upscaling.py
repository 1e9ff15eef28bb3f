"""Images from feature maps: a small convolutional network with optional upscaling.

The Gaussians of a field can carry more than colour: with 32 channels, say, the first three are red, green and blue, and
the network adds a residual from the others, at one, two or four times the rasterized size.

Source: Xu et al., Gaussian Head Avatar, CVPR 2024, section on super resolution. Theirs is a UNet with millions of
weights for 2K images on a GPU; this one has tens of thousands, which a laptop can train.
"""

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

WIDTH = 24
FACTORS = (1, 2, 4)


class Upscale(nnx.Module):
    """Three convolutions and a pixel shuffle, added to the upscaled colours; the initial residual is zero.

    Args:
        channels: Channels of the feature map; the first three are colours.
        factor: Image size over feature map size.
        rngs: Random state of the initial weights.
    """

    def __init__(self, channels: int, factor: int, *, rngs: nnx.Rngs) -> None:
        self.first = nnx.Conv(channels, WIDTH, (3, 3), rngs=rngs)
        self.second = nnx.Conv(WIDTH, WIDTH, (3, 3), rngs=rngs)
        self.last = nnx.Conv(WIDTH, 3 * factor**2, (3, 3), kernel_init=ZERO, rngs=rngs)
        self.factor = factor

    def __call__(self, features: Float[AnyArray, "H W C"]) -> Float[Array, "fH fW 3"]:
        features = jnp.asarray(features)
        height, width, _ = features.shape
        f = self.factor
        x = nnx.relu(self.first(features[None]))
        more = self.last(nnx.relu(self.second(x)))[0]
        more = more.reshape(height, width, f, f, 3).transpose(0, 2, 1, 3, 4).reshape(f * height, f * width, 3)
        return jax.image.resize(features[..., :3], (f * height, f * width, 3), "linear") + more


def create(channels: int, factor: int, seed: int) -> dict[str, Any]:
    """The initial weights."""
    module = Upscale(channels, factor, rngs=nnx.Rngs(seed))
    return jax.tree.map(jnp.asarray, nnx.to_pure_dict(nnx.state(module)))


def apply(weights: Mapping[str, Any], features: Float[AnyArray, "H W C"], factor: int) -> Float[Array, "fH fW 3"]:
    """Run the network with given weights."""
    graph, state = _structure(features.shape[-1], factor)
    state = jax.tree.map(lambda x: x, state)
    nnx.replace_by_pure_dict(state, dict(weights))
    return nnx.merge(graph, state)(features)


def shapes(channels: int, factor: int) -> dict[str, Any]:
    """The shapes of the weights, for readers of files."""
    return nnx.to_pure_dict(_structure(channels, factor)[1])


@functools.cache
def _structure(channels: int, factor: int) -> Any:
    return nnx.split(nnx.eval_shape(lambda: Upscale(channels, factor, rngs=nnx.Rngs(0))))
