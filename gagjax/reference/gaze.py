"""The original's gaze correction: angles of a direction, added to the eye codes.

Known to be wrong (see `gagjax.reference.FAULTS`); the corrected form is `gagjax.gaze`.
"""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from gagjax.numerics import safe_sqrt
from gagjax.pytree import pytree, static
from gagjax.reference import Variant, check_variant
from gagjax.reference.memoryless import Memoryless
from gagjax.track import Channels
from gagjax.typing import AnyArray, Scalar

STRENGTH = 0.7
LIMIT = 0.5  # radians; the code variant only


def rotation(target: Float[AnyArray, "*#batch 3"]) -> Float[Array, "*#batch 6"]:
    """Eye rotations of a gaze direction: (pitch, yaw, 0) for the left eye, (pitch, -yaw, 0) for the right.

    Args:
        target: Directions in head axes, (..., 3), of any length; zero counts as straight ahead.

    Returns:
        Left then right eye, (..., 6), radians; pitch is asin(y) and yaw is atan2(x, z) of the unit direction.
    """
    x, y, z = jnp.moveaxis(jnp.asarray(target), -1, 0)
    flat = x * x + z * z
    level = flat > 0
    # asin(y / length) as an arc tangent: the same angle, with a finite derivative at the poles as well.
    length = safe_sqrt(flat)
    pitch = jnp.where(level | (y != 0), jnp.arctan2(y, jnp.where(level | (y != 0), length, 1)), 0)
    yaw = jnp.where(level, jnp.arctan2(x, jnp.where(level, z, 1)), 0)
    zero = jnp.zeros_like(pitch)
    return jnp.stack([pitch, yaw, zero, pitch, -yaw, zero], axis=-1)


def correct(
    eyes: Float[AnyArray, "*#batch 6"],
    target: Float[AnyArray, "*#batch 3"],
    strength: Scalar = STRENGTH,
    variant: Variant = "document",
) -> Float[AnyArray, "*#batch 6"]:
    """The eye codes plus `strength` times the target's rotation; the code variant clips them to +-0.5."""
    check_variant(variant)
    moved = eyes + strength * rotation(target)
    return jnp.clip(moved, -LIMIT, LIMIT) if variant == "code" else moved


def estimate(landmarks: Float[AnyArray, "*#batch 68 3"]) -> Float[Array, "*#batch 3"]:
    """The original's gaze estimate: from the midpoint of two landmark groups to the mean of all, normalised."""
    landmarks = jnp.asarray(landmarks)
    between = (landmarks[..., 33:39, :].mean(-2) + landmarks[..., 39:45, :].mean(-2)) / 2
    direction = landmarks.mean(-2) - between
    square = jnp.sum(direction**2, -1, keepdims=True)
    return direction / jnp.sqrt(jnp.maximum(square, 1e-24))


@pytree
class ReferenceGaze(Memoryless):
    """The original's gaze stage.

    Args:
        target: Gaze directions in head axes, (3,) for the clip or (T, 3) per frame. None, the default, is the camera:
            the direction from the head's origin to the camera centre in each frame. (The original had no default
            target and then changed nothing.)
        strength: Fraction of the target's rotation that is added.
        variant: "code" clips to +-0.5 radians.
    """

    target: Float[AnyArray, "3"] | Float[AnyArray, "T 3"] | None = None
    strength: Scalar = STRENGTH
    variant: Variant = static(default="document")

    def apply_frame(self, x: Channels, frame: Int[AnyArray, ""]) -> Channels:
        if self.target is None:
            # Row vectors, X_camera = X R + t: the camera centre is -t R^T.
            target = -jnp.matmul(x.transform[:, :3], x.transform[:, 3], precision="highest")
        else:
            target = jnp.asarray(self.target)
            if target.ndim == 2:
                target = target[jnp.minimum(frame, target.shape[0] - 1)]
        return x._replace(eyes=correct(x.eyes, target, self.strength, self.variant))
