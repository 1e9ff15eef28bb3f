"""What a fit minimises: the picture's error, and what keeps Gaussians where a head has them."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from gagjax.metrics.image import ssim
from gagjax.typing import AnyArray


def photometric(
    drawn: Float[AnyArray, "H W 3"], truth: Float[AnyArray, "H W 3"], share: float = 0.2
) -> Float[Array, ""]:
    """(1 - share) L1 + share (1 - SSIM), as 3D Gaussian splatting weighs them.

    Args:
        drawn: The picture.
        truth: What it should be.
        share: Weight of SSIM.

    Source: Kerbl et al., 3D Gaussian Splatting for Real-Time Radiance Field Rendering, ACM TOG 2023.
    """
    return (1 - share) * jnp.abs(drawn - truth).mean() + share * (1 - ssim(drawn[None], truth[None])[0])


def silhouette(coverage: Float[AnyArray, "H W"], mask: Float[AnyArray, "H W"]) -> Float[Array, ""]:
    """Mean absolute difference of the coverage and the person's mask."""
    return jnp.abs(coverage - mask).mean()


def offset(offsets: Float[AnyArray, "N 3"]) -> Float[Array, ""]:
    """Mean squared offset from the mesh, in the unit of the offsets squared."""
    return (offsets**2).sum(-1).mean()


def laplacian(values: Float[AnyArray, "N 3"], neighbours: Int[AnyArray, "N K"]) -> Float[Array, ""]:
    """Mean squared difference of each row and the mean of its neighbours."""
    return ((values - values[neighbours].mean(1)) ** 2).sum(-1).mean()


def scale(logarithms: Float[AnyArray, "N ..."], largest: float = 0.008) -> Float[Array, ""]:
    """How far widths go over the largest wanted one, mean of squared logarithms.

    Args:
        logarithms: Of widths in metres.
        largest: Metres.
    """
    return (jnp.maximum(logarithms - jnp.log(largest), 0) ** 2).mean()


def landmark(points: Float[AnyArray, "L 3"], tracked: Float[AnyArray, "L 3"]) -> Float[Array, ""]:
    """Mean squared distance of landmarks seen by the camera to where the tracker put them, square centimetres.

    Depth counts for a hundredth: one camera hardly sees it.

    Args:
        points: In the camera's frame, metres, depth last.
        tracked: The same.
    """
    weight = jnp.asarray([1.0, 1.0, 0.01])
    return (((points - tracked) * 100) ** 2 * weight).sum(-1).mean()
