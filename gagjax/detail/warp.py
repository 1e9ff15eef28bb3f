"""Warping of maps by known flow."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from gagjax.typing import AnyArray


def warp(plane: Float[AnyArray, "H W"], flow: Float[AnyArray, "H W 2"]) -> Float[Array, "H W"]:
    """Warp a plane by a flow, with bilinear interpolation and repeated edges.

    Args:
        plane: The plane to warp, (H, W).
        flow: Backward flow in pixels, (H, W, 2), (x, y): source position minus target position.
    """
    height, width = plane.shape
    y, x = jnp.meshgrid(jnp.arange(height), jnp.arange(width), indexing="ij")
    return jax.scipy.ndimage.map_coordinates(plane, [y + flow[..., 1], x + flow[..., 0]], order=1, mode="nearest")
