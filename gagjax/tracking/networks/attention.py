"""The three custom operators of MediaPipe's attention mesh: crop a region and map its points back.

The mesh network first estimates all points roughly, then crops lips and eyes from its own feature maps, upright and at
a fixed size, and refines their points in the crops.

Source: Grishchenko, Ablavatski, Kartynnik, Raveendran, Grundmann, "Attention Mesh: High-fidelity Face Mesh Prediction in
Real-time", 2020; the operators' behaviour is that of MediaPipe's CPU kernels of the same names.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from gagjax.typing import AnyArray

_PRECISION = jax.lax.Precision.HIGHEST


def region_matrix(points: Float[AnyArray, "B L D"], options: Mapping[str, Any]) -> Float[Array, "B 4 4"]:
    """The map from crop pixels to image pixels for the box around some points, rotated to align two of them.

    Args:
        points: Points in pixels of the image; x and y are used.
        options: `subset_idxs` (the points), `left_rotation_idx` and `right_rotation_idx` (the crop's x axis),
            `output_width` and `output_height` of the crop, `scale_x` and `scale_y` (margin around the points).

    Returns:
        Homogeneous matrices; only x and y are mapped.
    """
    plane = points[..., :2]
    across = plane[:, options["right_rotation_idx"]] - plane[:, options["left_rotation_idx"]]
    right = across / jnp.sqrt((across**2).sum(-1, keepdims=True) + 1e-12)
    turn = jnp.stack([right, jnp.stack([-right[:, 1], right[:, 0]], -1)], 1)  # rows: the crop's axes
    upright = jnp.einsum("bnc,bkc->bnk", plane[:, jnp.asarray(options["subset_idxs"])], turn, precision=_PRECISION)
    low, high = upright.min(1), upright.max(1)
    centre = jnp.einsum("bk,bkc->bc", (low + high) / 2, turn, precision=_PRECISION)
    size = jnp.array([options["output_width"], options["output_height"]], points.dtype)
    scale = (high - low) * jnp.array([options["scale_x"], options["scale_y"]], points.dtype) / size
    linear = jnp.transpose(turn, (0, 2, 1)) * scale[:, None]
    shift = centre - jnp.einsum("bij,j->bi", linear, size / 2, precision=_PRECISION)
    matrix = jnp.zeros((points.shape[0], 4, 4), points.dtype)
    matrix = matrix.at[:, :2, :2].set(linear).at[:, :2, 3].set(shift)
    return matrix.at[:, 2, 2].set(1).at[:, 3, 3].set(1)


def crop(
    features: Float[AnyArray, "B H W C"], matrix: Float[AnyArray, "B 4 4"], options: Mapping[str, Any]
) -> Float[Array, "B h w C"]:
    """Crop a feature map with bilinear interpolation; zero outside the map.

    Args:
        features: The feature map.
        matrix: Map from crop pixels to feature map pixels.
        options: `output_width` and `output_height`.

    Returns:
        The crop.
    """
    height, width = options["output_height"], options["output_width"]
    y, x = jnp.meshgrid(jnp.arange(height) + 0.5, jnp.arange(width) + 0.5, indexing="ij")
    grid = jnp.stack([x, y], -1)
    place = jnp.einsum("bij,hwj->bhwi", matrix[:, :2, :2], grid, precision=_PRECISION)
    place = place + matrix[:, None, None, :2, 3] - 0.5
    limit = jnp.array([features.shape[2] - 1, features.shape[1] - 1])
    inside = ((place >= 0) & (place <= limit)).all(-1)
    low = jnp.floor(place)
    features = jnp.asarray(features)
    part = place - low
    low = low.astype(jnp.int32)
    batch = jnp.arange(features.shape[0])[:, None, None]

    def at(dx: int, dy: int) -> Array:
        column, row = (jnp.clip(low[..., k] + (dx, dy)[k], 0, limit[k]) for k in (0, 1))
        return features[batch, row, column]

    px, py = part[..., :1], part[..., 1:]
    y = (1 - py) * ((1 - px) * at(0, 0) + px * at(1, 0)) + py * ((1 - px) * at(0, 1) + px * at(1, 1))
    return jnp.where(inside[..., None], y, 0.0)


def placed(points: Float[AnyArray, "B N D"], matrix: Float[AnyArray, "B 4 4"]) -> Float[Array, "B N 2"]:
    """Map points from a crop to image pixels; coordinates beyond x and y are dropped."""
    plane = jnp.einsum("bij,bnj->bni", matrix[:, :2, :2], points[..., :2], precision=_PRECISION)
    return plane + matrix[:, None, :2, 3]
