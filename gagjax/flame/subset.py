"""Restrict a model to the few vertices that a caller needs, with the same joints: exact, and far cheaper."""

from __future__ import annotations

import dataclasses

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int

from gagjax.flame.model import JOINTS, FlameModel
from gagjax.typing import AnyArray


def restrict(model: FlameModel, keep: Int[AnyArray, "N"]) -> FlameModel:
    """A model with a subset of the vertices, posed exactly as by the whole model.

    The five joints are appended as vertices, and each joint is regressed from its own vertex, so that shape and
    expression move the joints as before although the original vertices are gone.

    Args:
        model: The whole model.
        keep: Indices of the vertices to keep, (N,).

    Returns:
        A model with N + 5 vertices, the first N of them `keep`; no triangles, landmarks, masks or colours.
    """
    keep = jnp.asarray(keep)
    count, joints = len(keep), len(JOINTS)

    def joined(values: AnyArray, at_joints: AnyArray) -> Array:
        return jnp.concatenate([values[keep], at_joints])

    def regress(values: AnyArray) -> Array:
        return jnp.tensordot(model.J_regressor, values, 1, precision="highest")

    return FlameModel(
        v_template=joined(model.v_template, regress(model.v_template)),
        shapedirs=joined(model.shapedirs, regress(model.shapedirs)),
        posedirs=joined(model.posedirs, jnp.zeros((joints, 3, 36))),
        J_regressor=jnp.eye(joints, count + joints, count),
        weights=joined(model.weights, jnp.eye(joints)),
        faces=np.zeros((0, 3), np.int32),
        landmark_faces=np.zeros(0, np.int32),
        landmark_bary=np.zeros((0, 3)),
        parents=model.parents,
    )


def at_landmarks(model: FlameModel) -> FlameModel:
    """The model restricted to its static landmarks: `landmarks(small, vertices(small, ...))` is that of the whole."""
    corners = np.asarray(model.faces)[np.asarray(model.landmark_faces)]
    keep, numbers = np.unique(corners, return_inverse=True)
    return dataclasses.replace(
        restrict(model, keep),
        faces=numbers.reshape(-1, 3),
        landmark_faces=np.arange(len(corners)),
        landmark_bary=model.landmark_bary,
    )
