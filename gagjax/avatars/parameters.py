"""Parameters: what one frame of a track says to an avatar."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float

from gagjax import flame
from gagjax.camera import Camera
from gagjax.flame.model import FlameModel
from gagjax.pytree import pytree
from gagjax.typing import AnyArray


@pytree
class Parameters:
    """One frame: expression, pose, identity and who looks.

    Args:
        expression: FLAME expression coefficients, (100,).
        pose: Global rotation and jaw rotation, axis-angle, radians, (6,).
        eyes: Left and right eye rotation, (6,).
        neck: Neck rotation, (3,).
        shape: FLAME shape coefficients, (S,); an avatar of one person has its own and does not look at these.
        camera: Who looks, or None for a camera in front of the face.
    """

    expression: Float[AnyArray, "100"]
    pose: Float[AnyArray, "6"]
    eyes: Float[AnyArray, "6"]
    neck: Float[AnyArray, "3"]
    shape: Float[AnyArray, "S"]
    camera: Camera | None = None

    @classmethod
    def neutral(cls, camera: Camera | None = None) -> Parameters:
        """The head at rest."""
        return cls(jnp.zeros(100), jnp.zeros(6), jnp.zeros(6), jnp.zeros(3), jnp.zeros(0), camera)

    @classmethod
    def of(
        cls,
        expression: Float[AnyArray, "100"],
        jaw: Float[AnyArray, "3"],
        eyes: Float[AnyArray, "6"],
        neck: Float[AnyArray, "3"] | None = None,
        shape: Float[AnyArray, "S"] | None = None,
        camera: Camera | None = None,
    ) -> Parameters:
        """A frame of a track whose head pose is folded into its camera (`head_pose.folded`).

        Args:
            expression: FLAME expression coefficients, (100,).
            jaw: Jaw rotation, axis-angle, radians, (3,).
            eyes: Left and right eye rotation, (6,).
            neck: Neck rotation, (3,); None is straight.
            shape: FLAME shape coefficients, (S,); None for an avatar that has its own, or the mean head.
            camera: Who looks, or None for a camera in front of the face.

        Example:
            >>> Parameters.of(jnp.zeros(100), jnp.array([0.2, 0, 0]), jnp.zeros(6)).pose.tolist()[:4]
            [0.0, 0.0, 0.0, 0.20000000298023224]
        """
        pose = jnp.concatenate([jnp.zeros(3), jnp.asarray(jaw)])
        neck = jnp.zeros(3) if neck is None else neck
        return cls(expression, pose, eyes, neck, jnp.zeros(0) if shape is None else shape, camera)

    def vertices(self, model: FlameModel) -> Float[Array, "V 3"]:
        """The posed mesh of a model, metres."""
        return flame.vertices(model, self.shape, self.expression, self.pose, self.eyes, self.neck)
