"""Marching tetrahedra in float64, one tetrahedron at a time, by clipping: no table of cases."""

from __future__ import annotations

import itertools

import numpy as np


def surface(
    vertices: np.ndarray, tetrahedra: np.ndarray, distances: np.ndarray
) -> tuple[dict[tuple[int, int], np.ndarray], list[list[tuple[int, int]]]]:
    """Crossings by edge, and triangles as three edges each, outward.

    Two inside and two outside give a quadrilateral; it is cut along the diagonal from its first corner.
    """
    vertices, distances = np.asarray(vertices, np.float64), np.asarray(distances, np.float64)
    crossings: dict[tuple[int, int], np.ndarray] = {}
    triangles: list[list[tuple[int, int]]] = []
    for tetrahedron in tetrahedra:
        found = []
        for i, j in itertools.combinations(sorted(int(k) for k in tetrahedron), 2):
            p, q = distances[i], distances[j]
            if (p < 0) == (q < 0):
                continue
            crossings[i, j] = (vertices[i] * q - vertices[j] * p) / (q - p)
            found.append((i, j))
        if not found:
            continue
        inside = [int(k) for k in tetrahedron if distances[k] < 0]
        outside = [int(k) for k in tetrahedron if distances[k] >= 0]
        out = vertices[outside].mean(0) - vertices[inside].mean(0)
        points = np.array([crossings[edge] for edge in found])
        centre = points.mean(0)
        # In order around the centre, seen from outside.
        axis = points[0] - centre
        axis = axis / (np.linalg.norm(axis) + 1e-300)
        normal = np.cross(points[1] - points[0], points[2] - points[0])
        normal = normal / (np.linalg.norm(normal) + 1e-300)
        normal = normal if normal @ out > 0 else -normal
        other = np.cross(normal, axis)
        angle = np.arctan2((points - centre) @ other, (points - centre) @ axis)
        ring = [found[k] for k in np.argsort(angle)]
        triangles += [[ring[0], ring[k], ring[k + 1]] for k in range(1, len(ring) - 1)]
    return crossings, triangles


def area(crossings: dict[tuple[int, int], np.ndarray], triangles: list[list[tuple[int, int]]]) -> float:
    corners = np.array([[crossings[edge] for edge in triangle] for triangle in triangles])
    return float(
        np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1).sum() / 2
    )


def volume(crossings: dict[tuple[int, int], np.ndarray], triangles: list[list[tuple[int, int]]]) -> float:
    corners = np.array([[crossings[edge] for edge in triangle] for triangle in triangles])
    return float(np.linalg.det(corners).sum() / 6)
