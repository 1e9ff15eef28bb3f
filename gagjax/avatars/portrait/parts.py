"""The parts of a head that a portrait treats differently, for any head in FLAME's format."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.spatial import cKDTree

from gagjax import flame
from gagjax.flame.model import FlameModel

_COLLAR = 1.3  # below the chin, in distances between the eyes

SKIN, RIM, EYE, INSIDE, TEETH, TONGUE = range(6)


class Parts(NamedTuple):
    """Parts of a head.

    Attributes:
        of: Part of every triangle, (F,).
        eye: 0 for triangles of the left eyeball, 1 for those of the right one, -1 for others, (F,).
        face: Vertices around facial features, from which the photo's light is estimated, (V,).
        follow: How far each vertex moves with the head: 1 on the head, less down the neck, (V,).
        scalp: Possible hair cover of each vertex, 0 on the face, (V,).
    """

    of: Int[np.ndarray, "F"]
    eye: Int[np.ndarray, "F"]
    face: Bool[np.ndarray, "V"]
    follow: Float[np.ndarray, "V"]
    scalp: Float[np.ndarray, "V"]


def parts_of(model: FlameModel) -> Parts:
    """The parts of a head, from its landmarks and skinning and, for the built-in head, its part labels."""
    v, f = np.asarray(model.v_template, np.float64), np.asarray(model.faces)
    turning = np.asarray(model.weights)[:, 3:5]
    eye = np.where(turning.max(1) > 0.5, turning.argmax(1), -1)
    eye = np.where((eye[f] >= 0).all(1), eye[f].max(1), -1)
    of = _builtin_parts(f)
    if of is None:
        of = np.full(len(f), SKIN)
    of = np.where(eye >= 0, EYE, of)
    marks = np.asarray(flame.landmarks(model, model.v_template), np.float64)[:68]
    left, right = marks[42:48].mean(0), marks[36:42].mean(0)
    size = np.linalg.norm(left - right)  # the unit of the other lengths of a head
    middle = (left + right) / 2
    chin = marks[8]
    away = cKDTree(marks[17:]).query(v)[0]
    face = (away < 0.42 * size) & (v[:, 1] > chin[1] - 0.05 * size) & (turning.max(1) < 0.5)
    follow = followed(model, v[:, 1])
    up, back = (v[:, 1] - middle[1]) / size, (middle[2] - v[:, 2]) / size
    line = 0.95 - 0.9 * smoothstep(0.35, 1.0, back)
    scalp = smoothstep(line - 0.1, line + 0.25, up) * (turning.max(1) < 0.5)
    scalp = np.maximum(scalp, smoothstep(1.3, 1.7, back) * smoothstep(-1.0, -0.3, up))
    return Parts(of, eye, face, follow, scalp)


def followed(model: FlameModel, heights: Float[np.ndarray, "N"]) -> Float[np.ndarray, "N"]:
    """How far points move with the head, by their height: 1 down to the chin, 0 from the collar on.

    Args:
        model: A head.
        heights: In head axes at rest, metres.
    """
    marks = np.asarray(flame.landmarks(model, model.v_template), np.float64)[:68]
    size = np.linalg.norm(marks[42:48].mean(0) - marks[36:42].mean(0))
    return smoothstep(marks[8, 1] - _COLLAR * size, marks[8, 1] - 0.15 * size, heights)


def smoothstep(low: np.ndarray | float, high: np.ndarray | float, x: np.ndarray) -> np.ndarray:
    """0 below, 1 above, smooth between."""
    t = np.clip((x - low) / (np.asarray(high) - np.asarray(low)), 0, 1)
    return t * t * (3 - 2 * t)


def _builtin_parts(faces: np.ndarray) -> np.ndarray | None:
    from gagjax.flame.builtin_head import neutral_mesh
    from gagjax.flame.builtin_head.mesh import PARTS

    mesh = neutral_mesh()
    if mesh.faces.shape != faces.shape or not np.array_equal(mesh.faces, faces):
        return None
    codes = {"lid_rim": RIM, "mouth_bag": INSIDE, "tongue": TONGUE, "teeth_upper": TEETH, "teeth_lower": TEETH}
    table = np.array([codes.get(name, SKIN) for name in PARTS])
    return np.asarray(table[mesh.part[mesh.faces].max(1)])
