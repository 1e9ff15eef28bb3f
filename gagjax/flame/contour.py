"""Landmarks with a dynamic contour that follows the visible jaw line as the head turns."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float

from gagjax.errors import InputError
from gagjax.flame.model import FlameModel, landmarks
from gagjax.typing import AnyArray, Scalar

STEPS = 39  # the tables hold one contour per degree of yaw, up to this on either side


def yaw_of(rotation: Float[AnyArray, "*#batch 3 3"]) -> Float[Array, "*#batch"]:
    """Yaw of a head rotation (global times neck), radians, with the sign of the contour tables."""
    level = jnp.sqrt(rotation[..., 0, 0] ** 2 + rotation[..., 1, 0] ** 2 + 1e-12)
    return jnp.arctan2(-rotation[..., 2, 0], level)


def dynamic_landmarks(
    model: FlameModel, vertices: Float[AnyArray, "*#batch V 3"], yaw: Scalar | Float[AnyArray, "*#batch"]
) -> Float[Array, "*#batch L 3"]:
    """The landmarks, with points 0 to 16 on the jaw line visible at a given yaw.

    Args:
        model: A model with contour tables.
        vertices: Posed vertices, (..., V, 3).
        yaw: Head yaw relative to the camera, radians (`yaw_of`); clamped at 39 degrees.

    Returns:
        Landmarks in the order of `landmarks`, (..., L, 3).

    Raises:
        InputError: If the model has no contour tables or fewer than 68 landmarks.
    """
    if model.contour_faces is None or model.contour_bary is None or len(model.landmark_faces) < 68:
        raise InputError(
            "has no jaw-line tables for 68 landmarks",
            field="model",
            fix="Load FLAME_with_eye.pt, or pass landmarks= with the dynamic embedding, or use landmarks()",
        )
    # Rows 0 to 39 are 0 to 39 degrees of negative yaw, 40 to 78 those of positive yaw from 1 degree on.
    degrees = jnp.clip(jnp.round(-jnp.rad2deg(jnp.asarray(yaw))), -STEPS, STEPS).astype(int)
    row = jnp.where(degrees < 0, STEPS - degrees, degrees)
    corners = model.faces[model.contour_faces[row]]
    batch = jnp.broadcast_shapes(row.shape, vertices.shape[:-2])
    flat = jnp.broadcast_to(corners.reshape(*row.shape, -1, 1), (*batch, corners.shape[-2] * 3, 1))
    points = jnp.take_along_axis(jnp.broadcast_to(vertices, (*batch, *vertices.shape[-2:])), flat, axis=-2)
    points = points.reshape(*batch, -1, 3, 3)
    edge = (points * model.contour_bary[row][..., None]).sum(-2)
    # Through `landmarks` itself: another program may fuse the sum of products and round differently.
    fixed = landmarks(model, vertices)[..., 17:, :]
    return jnp.concatenate([edge, jnp.broadcast_to(fixed, (*batch, *fixed.shape[-2:]))], -2)
