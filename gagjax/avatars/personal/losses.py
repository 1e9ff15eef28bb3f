"""Losses of a fit: photometric error and regularisers."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from gagjax.metrics.image import ssim
from gagjax.typing import AnyArray


def photometric(
    drawn: Float[AnyArray, "H W 3"], truth: Float[AnyArray, "H W 3"], share: float = 0.2
) -> Float[Array, ""]:
    """(1 - share) L1 + share (1 - SSIM), as in 3D Gaussian splatting.

    Args:
        drawn: The rendered image.
        truth: The target image.
        share: Weight of SSIM.

    Source: Kerbl et al., 3D Gaussian Splatting for Real-Time Radiance Field Rendering, ACM TOG 2023.
    """
    return (1 - share) * jnp.abs(drawn - truth).mean() + share * (1 - ssim(drawn[None], truth[None])[0])


def silhouette(coverage: Float[AnyArray, "H W"], mask: Float[AnyArray, "H W"]) -> Float[Array, ""]:
    """Mean absolute difference between coverage and the person's mask."""
    return jnp.abs(coverage - mask).mean()


def offset(offsets: Float[AnyArray, "N 3"]) -> Float[Array, ""]:
    """Mean squared offset from the mesh, in the unit of the offsets squared."""
    return (offsets**2).sum(-1).mean()


def laplacian(values: Float[AnyArray, "N 3"], neighbours: Int[AnyArray, "N K"]) -> Float[Array, ""]:
    """Mean squared difference between each row and the mean of its neighbours."""
    return ((values - values[neighbours].mean(1)) ** 2).sum(-1).mean()


def scale(logarithms: Float[AnyArray, "N ..."], largest: float = 0.008) -> Float[Array, ""]:
    """Penalty on widths above a maximum: mean squared excess of the logarithm.

    Args:
        logarithms: Logarithms of widths in metres.
        largest: Maximum width, metres.
    """
    return (jnp.maximum(logarithms - jnp.log(largest), 0) ** 2).mean()


def landmark(points: Float[AnyArray, "L 3"], tracked: Float[AnyArray, "L 3"]) -> Float[Array, ""]:
    """Mean squared distance in the camera frame between landmarks and tracked landmarks, square centimetres.

    Depth is weighted by one hundredth: a single camera hardly observes it.

    Args:
        points: Landmarks in the camera frame, metres, depth last.
        tracked: Tracked landmarks, in the same frame.
    """
    weight = jnp.asarray([1.0, 1.0, 0.01])
    return (((points - tracked) * 100) ** 2 * weight).sum(-1).mean()
