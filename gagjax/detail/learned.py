"""Trained networks: flax modules in the published architectures that start as the identity, and a stage."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from gagjax.detail import networks
from gagjax.detail.pyramid import check_size, laplacian_pyramid, reconstruct
from gagjax.pytree import pytree
from gagjax.typing import AnyArray, Scalar, Tree


class Convolutions(nnx.Module):
    """A stack of zero-padded convolutions as a flax module.

    Args:
        layers: `networks.ATTENTION` or `networks.EYES`.
        rngs: Random state of the initial weights; the last layer starts at zero.
    """

    def __init__(self, layers: Tree, *, rngs: nnx.Rngs) -> None:
        self.layers = nnx.List(
            [
                nnx.Dict(kernel=nnx.Param(layer.kernel), bias=nnx.Param(layer.bias))
                for layer in networks.identity(layers, rngs.params())
            ]
        )

    def weights(self) -> networks.Network:
        """The weights as the plain tuple used by stages."""
        return tuple(networks.Layer(layer["kernel"][...], layer["bias"][...]) for layer in self.layers)

    def __call__(self, image: Float[AnyArray, "N H W I"]) -> Float[AnyArray, "N H W O"]:
        return networks.run(self.weights(), image)


class AttentionNetwork(Convolutions):
    """3x3 3->16, ReLU, 3x3 16->16, ReLU, 1x1 16->1, sigmoid; 0.5 everywhere before training."""

    def __init__(self, *, rngs: nnx.Rngs) -> None:
        super().__init__(networks.ATTENTION, rngs=rngs)

    def __call__(self, band: Float[AnyArray, "N h w 3"]) -> Float[Array, "N h w 1"]:
        return networks.attend(self.weights(), band)


class EyeNetwork(Convolutions):
    """3x3 3->32->32->32->3 with ReLU between, added to the image; the image itself before training."""

    def __init__(self, *, rngs: nnx.Rngs) -> None:
        super().__init__(networks.EYES, rngs=rngs)

    def __call__(self, image: Float[AnyArray, "N H W 3"]) -> Float[Array, "N H W 3"]:
        return networks.enhance_eyes(self.weights(), image)


@pytree
class AttentionEnhancer:
    """Multiply pyramid bands by a gain predicted by trained attention networks: `1 + span (2 attention - 1)`.

    Args:
        attention: One network per level; untrained ones (attention 0.5) leave the image unchanged.
        span: The gain lies within 1 +- span.
        strength: Scale of the change.
    """

    attention: tuple[networks.Network, ...]
    span: Scalar = 2.0
    strength: Scalar = 1.0

    @classmethod
    def trained(cls, strength: float = 1.0) -> AttentionEnhancer:
        """The enhancer with the shipped attention networks: restores blurred images, slower than the default."""
        return cls(networks.shipped().attention, strength=strength)

    def __call__(
        self, image: Float[AnyArray, "*#batch H W 3"], strength: Scalar = 1.0
    ) -> Float[Array, "*#batch H W 3"]:
        """Enhance an image, or each image of a batch independently; clipped to [0, 1]."""
        image = jnp.asarray(image)
        check_size(image.shape, len(self.attention))
        return _attended(self, image.reshape(-1, *image.shape[-3:]), strength).reshape(image.shape)

    def init(self, first: Float[AnyArray, "H W 3"]) -> tuple[()]:
        """The state before the first frame, see `gagjax.protocols`."""
        return ()

    def apply(self, state: tuple[()], frames: AnyArray, eye_centres: AnyArray | None = None) -> tuple[tuple[()], Any]:
        """As a frame stage of a Stack, see `gagjax.protocols.FrameStage`; it has no state."""
        return state, self(frames)


@jax.jit
def _attended(enhancer: AttentionEnhancer, image: AnyArray, strength: Scalar) -> Any:
    bands, base = laplacian_pyramid(image, len(enhancer.attention))
    changes = [
        band * enhancer.span * (2 * networks.attend(network, band) - 1)
        for band, network in zip(bands, enhancer.attention, strict=True)
    ]
    change = reconstruct(changes, jnp.zeros_like(base))
    return jnp.clip(image + strength * enhancer.strength * change, 0, 1)
