"""Positions of the plane's Gaussians, and covariances.

Cameras are `[R | t]` for row vectors, `X_camera = X_world @ R + t`, axes x left, y up, z forward; focal length 12 in
half-image units. Lengths are GAGAvatar units (FLAME metres times 5).
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from gagjax.camera import FOCAL
from gagjax.camera import UNITS_PER_METRE as SCALE  # noqa: F401  of the vertices, for `handover`


def plane(
    transforms: Float[Tensor, "B 3 4"], size: int
) -> tuple[Float[Tensor, "B {size}*{size} 3"], Float[Tensor, "B 3"]]:
    """The plane through the world's origin that faces a camera, one point per feature.

    Args:
        transforms: Cameras `[R | t]`, (B, 3, 4).
        size: Points along one side. The corner points project to the image corners.

    Returns:
        The points row by row, (B, size * size, 3), and the unit viewing directions, (B, 3).
    """
    rotation, translation = transforms[..., :3], transforms[..., 3]
    centre = -(rotation @ translation[..., None])[..., 0]
    direction = rotation[..., 2]
    steps = torch.linspace(1, -1, size, dtype=transforms.dtype, device=transforms.device)
    y, x = torch.meshgrid(steps, steps, indexing="ij")
    rays = torch.stack([x / FOCAL, y / FOCAL, torch.ones_like(x)], -1).reshape(-1, 3)
    distance = (centre * direction).sum(-1).abs()
    points = centre[:, None] + distance[:, None, None] * (rays @ rotation.transpose(-1, -2))
    return points, direction


def lift(
    points: Float[Tensor, "B N 3"], directions: Float[Tensor, "B 3"], positions: Float[Tensor, "B N 1"], sign: int
) -> Float[Tensor, "B N 3"]:
    """Plane points moved along the viewing direction: away from the camera for sign +1, towards it for -1."""
    return points + sign * positions * directions[:, None]


def covariances(scales: Float[Tensor, "... 3"], quaternions: Float[Tensor, "... 4"]) -> Float[Tensor, "... 3 3"]:
    """Covariance R diag(s^2) R^T with R from the quaternion *without normalisation*.

    A rasterizer that normalises quaternions would rotate the vertex Gaussians, whose quaternions are tiny, arbitrarily;
    with the plain formula they are almost axis-aligned, as in training.

    Args:
        scales: Standard deviations, (..., 3).
        quaternions: w, x, y, z, (..., 4).
    """
    w, x, y, z = quaternions.unbind(-1)
    rotation = torch.stack(
        [
            1 - 2 * (y * y + z * z),
            2 * (x * y - w * z),
            2 * (x * z + w * y),
            2 * (x * y + w * z),
            1 - 2 * (x * x + z * z),
            2 * (y * z - w * x),
            2 * (x * z - w * y),
            2 * (y * z + w * x),
            1 - 2 * (x * x + y * y),
        ],
        -1,
    ).unflatten(-1, (3, 3))
    root = rotation * scales[..., None, :]
    return root @ root.transpose(-1, -2)
