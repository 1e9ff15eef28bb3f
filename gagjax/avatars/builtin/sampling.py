"""Placement of Gaussians on the triangles of the built-in head."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.spatial import cKDTree

# Size of a Gaussian relative to the second moments of the triangle piece that it represents: just enough for neighbours
# to blend.
_SPREAD = 1.9
_THICKNESS = 0.10


class Placed(NamedTuple):
    """Gaussians in affine triangle frames (see `Binding`), without colours.

    Attributes:
        triangles: (N,).
        offsets: (N, 3).
        factors: (N, 3, 3).
    """

    triangles: np.ndarray
    offsets: np.ndarray
    factors: np.ndarray


def axes(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """The affine frame of every triangle, (F, 3, 3), with axes as columns."""
    a, b, c = (vertices[faces[:, k]] for k in range(3))
    cross = np.cross(b - a, c - a)
    area = np.linalg.norm(cross, axis=1, keepdims=True)
    return np.stack([b - a, c - a, cross / area * np.sqrt(area)], -1)


def tiles(vertices: np.ndarray, faces: np.ndarray, spacing: np.ndarray) -> Placed:
    """Cover triangles with a lattice of Gaussians.

    Each triangle is subdivided into k^2 similar pieces, and each piece becomes a Gaussian with its second moments,
    widened. The surface is covered evenly whatever the triangles' shapes.

    Args:
        vertices: (V, 3).
        faces: (F, 3).
        spacing: Target edge length of a piece for each triangle, (F,); 0 leaves the triangle uncovered.
    """
    frame = axes(vertices, faces)
    edge = np.sqrt(np.linalg.norm(np.cross(frame[:, :, 0], frame[:, :, 1]), axis=1) * 1.15)
    cuts = np.where(spacing > 0, np.maximum(np.ceil(edge / np.maximum(spacing, 1e-6) - 0.25), 1), 0).astype(int)
    # In edge coordinates the second moments of all triangles are the same: 1/18 and -1/36.
    root = np.linalg.cholesky(np.array([[1, -0.5], [-0.5, 1]]) / 18) * _SPREAD
    triangles, offsets, factors = [], [], []
    for k in np.unique(cuts[cuts > 0]):
        i, j = (x.ravel() for x in np.meshgrid(np.arange(k), np.arange(k), indexing="ij"))
        up, down = i + j < k, i + j < k - 1
        u = np.concatenate([i[up] + 1 / 3, i[down] + 2 / 3]) / k
        v = np.concatenate([j[up] + 1 / 3, j[down] + 2 / 3]) / k
        chosen = np.flatnonzero(cuts == k)
        triangles.append(np.repeat(chosen, len(u)))
        offsets.append(np.tile(np.stack([u, v, np.zeros_like(u)], -1), (len(chosen), 1)))
        factor = np.zeros((3, 3))
        factor[:2, :2], factor[2, 2] = root / k, _THICKNESS / k
        factors.append(np.broadcast_to(factor, (len(triangles[-1]), 3, 3)))
    return Placed(np.concatenate(triangles), np.concatenate(offsets), np.concatenate(factors))


def strokes(
    vertices: np.ndarray,
    faces: np.ndarray,
    triangles: np.ndarray,
    places: np.ndarray,
    directions: np.ndarray,
    lengths: np.ndarray,
    width: np.ndarray | float,
) -> Placed:
    """Elongated Gaussians at given positions, bound to given triangles.

    Args:
        vertices: (V, 3).
        faces: (F, 3).
        triangles: The triangle that each is bound to, (N,).
        places: Centres in space, (N, 3).
        directions: Unit, (N, 3).
        lengths: Standard deviation along the direction, (N,).
        width: Standard deviation across it.
    """
    frame = axes(vertices, faces)[triangles]
    inverse = np.linalg.inv(frame)
    side = np.cross(directions, np.where(np.abs(directions[:, :1]) < 0.8, [[1.0, 0, 0]], [[0, 1.0, 0]]))
    side /= np.linalg.norm(side, axis=1, keepdims=True)
    third = np.cross(directions, side)
    width = np.broadcast_to(width, lengths.shape)[:, None]
    root = np.stack([directions * lengths[:, None], side * width, third * width], -1)
    offsets = np.einsum("nij,nj->ni", inverse, places - vertices[faces[triangles, 0]])
    return Placed(triangles, offsets, inverse @ root)


def triangle_under(vertices: np.ndarray, faces: np.ndarray, points: np.ndarray, usable: np.ndarray) -> np.ndarray:
    """The usable triangle with the nearest centroid to each point, (N,)."""
    candidates = np.flatnonzero(usable)
    return candidates[cKDTree(vertices[faces[candidates]].mean(1)).query(points)[1]]


def join(*parts: Placed) -> Placed:
    """Concatenate several sets."""
    return Placed(*(np.concatenate([getattr(p, name) for p in parts]) for name in Placed._fields))
