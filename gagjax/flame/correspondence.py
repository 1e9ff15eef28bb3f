"""Where points of one head lie on another: nearest points on meshes, and places that landmarks tie together."""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from gagjax.errors import InputError
from gagjax.flame.model import FlameModel, landmarks

_CHIN = 8  # of iBUG's jaw line only the chin is one place on the skin


class Places(NamedTuple):
    """Where vertices of one head lie on another.

    Attributes:
        vertices: The vertices that have a place there, (N,).
        faces: Its triangle on the other head, (N,).
        bary: Barycentric weights in it, (N, 3).
        scale: Size of this head over that of the other.
    """

    vertices: Int[np.ndarray, "N"]
    faces: Int[np.ndarray, "N"]
    bary: Float[np.ndarray, "N 3"]
    scale: float

    def carried(
        self, field: Float[np.ndarray, "V 3 *rest"], faces: Int[np.ndarray, "F 3"]
    ) -> Float[np.ndarray, "N 3 *rest"]:
        """A displacement of the other head's vertices at these places, in the size of this head."""
        corners = field[faces[self.faces]]
        return self.scale * np.einsum("nk,nk...->n...", self.bary, corners)


def places_on(model: FlameModel, other: FlameModel) -> Places:
    """Where the skin of a head lies on another head, whatever their meshes.

    Args:
        model: The head, with 68 landmarks.
        other: The other head, with the same landmarks.

    Returns:
        Places of the vertices of the face and scalp; lips stay on their own side of the mouth.

    Raises:
        InputError: If one has fewer landmarks.
    """
    from scipy.interpolate import RBFInterpolator

    for each in (model, other):
        if np.shape(each.landmark_faces)[0] < 68:
            raise InputError(
                f"has {np.shape(each.landmark_faces)[0]} landmarks; matching heads needs the 68 iBUG landmarks",
                field="landmark_faces",
                fix="Put landmark_embedding.pkl beside the model, or use FLAME_with_eye.pt",
            )
    use = np.r_[_CHIN, 17:68]
    own, theirs = (np.asarray(landmarks(each, each.v_template), np.float64)[use] for each in (model, other))
    scale = _spread(own) / _spread(theirs)
    warp = RBFInterpolator(own, theirs - own / scale, kernel="thin_plate_spline", smoothing=1e-5)
    skin = np.unique(np.asarray(model.faces)[outer_skin(model)])
    near = own.min(0) - 0.06 * scale, own.max(0) + 0.06 * scale
    template = np.asarray(model.v_template, np.float64)
    skin = skin[((template[skin] > near[0]) & (template[skin] < near[1])).all(1)]
    points = template[skin] / scale + warp(template[skin])
    lower = _of_jaw(model)[skin]
    there, faces = np.asarray(other.v_template, np.float64), np.asarray(other.faces)
    allowed, low = outer_skin(other), _of_jaw(other)[faces].mean(1) > 0.5
    face, bary = np.zeros(len(skin), int), np.zeros((len(skin), 3))
    for mine, side in ((lower, low), (~lower, ~low)):
        if mine.any():
            face[mine], bary[mine], _ = closest(points[mine], there, faces, allowed & side)
    return Places(skin, face, bary, float(scale))


def _of_jaw(model: FlameModel) -> Bool[np.ndarray, "V"]:
    return np.asarray(model.weights)[:, 2] > 0.5


def _spread(points: Float[np.ndarray, "L 3"]) -> float:
    return float(np.sqrt(((points - points.mean(0)) ** 2).sum(1).mean()))


def vertex_weights(model: FlameModel) -> Float[np.ndarray, "V"]:
    """A third of the area of the triangles at each vertex, square metres."""
    faces, vertices = np.asarray(model.faces), np.asarray(model.v_template, np.float64)
    a, b, c = (vertices[faces[:, k]] for k in range(3))
    area = np.linalg.norm(np.cross(b - a, c - a), axis=1) / 6
    return np.bincount(faces.ravel(), np.repeat(area, 3), len(vertices))


@functools.cache
def builtin_arrays() -> tuple[Float[np.ndarray, "V 3"], Int[np.ndarray, "F 3"], Float[np.ndarray, "70 3"]]:
    """Template, triangles and landmarks of the built-in mean head, (V, 3) and (70, 3) in metres, (F, 3)."""
    from gagjax import flame

    head = flame.builtin(0)
    return (
        np.asarray(head.v_template, float),
        np.asarray(head.faces),
        np.asarray(landmarks(head, head.v_template), float),
    )


def outer_skin(model: FlameModel) -> Bool[np.ndarray, "F"]:
    """The triangles of the head's skin: connected with the tip of the nose, and no eyeball."""
    import scipy.sparse as sparse
    from scipy.sparse import csgraph

    faces, weights = np.asarray(model.faces), np.asarray(model.weights)
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]]])
    count = len(weights)
    graph = sparse.coo_matrix((np.ones(len(edges)), (edges[:, 0], edges[:, 1])), (count, count))
    _, part = csgraph.connected_components(graph, directed=False)
    nose = faces[int(np.asarray(model.landmark_faces)[30])][0]
    skin = (part == part[nose]) & (weights[:, 3] + weights[:, 4] < 0.5)
    return skin[faces].all(1)


def closest(
    points: Float[np.ndarray, "N 3"],
    vertices: Float[np.ndarray, "V 3"],
    faces: Int[np.ndarray, "F 3"],
    allowed: Bool[np.ndarray, "F"],
) -> tuple[Int[np.ndarray, "N"], Float[np.ndarray, "N 3"], Float[np.ndarray, "N"]]:
    """The nearest point on a mesh to each of some points.

    Args:
        points: The points.
        vertices: The mesh.
        faces: Its triangles.
        allowed: Which triangles may be chosen.

    Returns:
        Triangle, barycentric weights and distance of each. Among the 60 triangles whose middles are nearest.
    """
    from scipy.spatial import cKDTree

    numbers = np.flatnonzero(allowed)
    corners = vertices[faces[numbers]]
    _, near = cKDTree(corners.mean(1)).query(points, k=min(60, len(numbers)))
    near = np.reshape(near, (len(points), -1))
    a, b, c = (corners[near][:, :, k] for k in range(3))
    bary = _barycentric(points[:, None], a, b, c)
    place = bary[..., :1] * a + bary[..., 1:2] * b + bary[..., 2:] * c
    distance = np.linalg.norm(place - points[:, None], axis=-1)
    best, row = distance.argmin(1), np.arange(len(points))
    return numbers[near[row, best]], bary[row, best], distance[row, best]


def _barycentric(p: np.ndarray, a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
    """Weights of the closest point of each triangle.

    Source: Ericson, "Real-Time Collision Detection", 2005, section 5.1.5: inside, else the nearest of the three edges.
    """
    ab, ac, ap = b - a, c - a, p - a
    d00, d01, d11 = (ab * ab).sum(-1), (ab * ac).sum(-1), (ac * ac).sum(-1)
    d20, d21 = (ap * ab).sum(-1), (ap * ac).sum(-1)
    area = np.maximum(d00 * d11 - d01**2, 1e-30)
    v, w = (d11 * d20 - d01 * d21) / area, (d00 * d21 - d01 * d20) / area
    inside = np.stack([1 - v - w, v, w], -1)

    def on_edge(start: np.ndarray, end: np.ndarray, slots: tuple[int, int]) -> np.ndarray:
        edge = end - start
        part = np.clip(((p - start) * edge).sum(-1) / np.maximum((edge**2).sum(-1), 1e-30), 0, 1)
        out = np.zeros((*part.shape, 3))
        out[..., slots[0]], out[..., slots[1]] = 1 - part, part
        return out

    options = np.stack([on_edge(a, b, (0, 1)), on_edge(b, c, (1, 2)), on_edge(a, c, (0, 2))])
    places = options[..., :1] * a + options[..., 1:2] * b + options[..., 2:] * c
    nearest = np.linalg.norm(places - p, axis=-1).argmin(0)
    outside = np.take_along_axis(options, nearest[None, ..., None], 0)[0]
    within = np.all(inside >= 0, axis=-1, keepdims=True)
    return np.where(within, inside, outside)
