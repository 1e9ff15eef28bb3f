"""The original's detail and eye stages: pyramid bands scaled by attention and edges; an eye network blended in."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

from gagjax.detail import networks
from gagjax.detail.edges import sobel_magnitude
from gagjax.detail.pyramid import laplacian_pyramid, reconstruct
from gagjax.gaze.masks import SIGMA, eye_mask
from gagjax.pytree import pytree, static
from gagjax.reference import Variant, check_variant
from gagjax.typing import AnyArray, Scalar

GAIN = 0.3


def edge_weight(band: Float[AnyArray, "N _h _w 3"], variant: Variant) -> Float[Array, "N _h _w 1"]:
    """The edge map of the gain: the raw magnitude, or in the code variant rescaled to [0, 1] over the whole batch."""
    check_variant(variant)
    if variant == "document":
        return sobel_magnitude(band, epsilon=0.0)
    edge = sobel_magnitude(band)
    low = edge.min()
    return (edge - low) / (edge.max() - low + 1e-6)


def enhance(
    image: Float[AnyArray, "N H W 3"],
    attention: tuple[networks.Network, ...],
    strength: Scalar = 1.0,
    variant: Variant = "document",
) -> Float[Array, "N H W 3"]:
    """Multiply every band by `1 + 0.3 strength attention (1 + edge)`, clip, collapse the pyramid and clip to [0, 1].

    Args:
        image: A batch of images in [0, 1], (N, H, W, 3). The code variant couples them.
        attention: One network per level.
        strength: Scale of the gain.
        variant: Which edge map, see `edge_weight`.
    """
    bands, base = laplacian_pyramid(image, levels=len(attention))
    scaled = []
    for band, network in zip(bands, attention, strict=True):
        gain = 1 + GAIN * strength * networks.attend(network, band) * (1 + edge_weight(band, variant))
        scaled.append(jnp.clip(band * gain, -1, 1))
    return jnp.clip(reconstruct(scaled, base), 0, 1)


@pytree
class ReferenceDetail:
    """The original's detail stage. Its attention networks are untrained.

    Args:
        attention: One network per pyramid level.
        strength: Scale of the gain.
        variant: "document" or "code", see `enhance`.
    """

    attention: tuple[networks.Network, ...]
    strength: Scalar = 1.0
    variant: Variant = static(default="document")

    def init(self, first: Float[AnyArray, "H W 3"]) -> tuple[()]:
        """The state before the first frame, see `gagjax.protocols`."""
        return ()

    def apply(self, state: tuple[()], frames: AnyArray, eye_centres: AnyArray | None = None) -> tuple[tuple[()], Any]:
        """As a frame stage of a Stack, see `gagjax.protocols.FrameStage`."""
        return state, enhance(frames, self.attention, self.strength, self.variant)


@pytree
class ReferenceEyes:
    """The original's eye stage: the untrained eye network's image, blended through a Gaussian mask at the eyes.

    Args:
        network: The eye network.
        sigma: Width of the mask, as a fraction of either side.
    """

    network: networks.Network
    sigma: float = static(default=SIGMA)

    def init(self, first: Float[AnyArray, "H W 3"]) -> tuple[()]:
        """The state before the first frame, see `gagjax.protocols`."""
        return ()

    def apply(self, state: tuple[()], frames: AnyArray, eye_centres: AnyArray | None = None) -> tuple[tuple[()], Any]:
        """As a frame stage of a Stack, see `gagjax.protocols.FrameStage`."""
        mask = eye_mask(frames.shape[1], frames.shape[2], eye_centres, self.sigma)[..., None]
        return state, frames + mask * (networks.enhance_eyes(self.network, frames) - frames)
