"""Z-buffer: the visible triangle in each pixel with barycentric coordinates."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from gagjax.avatars.avatar import UNITS
from gagjax.avatars.portrait.kernel import fill
from gagjax.camera import Camera


class Seen(NamedTuple):
    """Per-pixel visibility of a mesh.

    Attributes:
        triangles: The nearest triangle, -1 where there is none, (H, W).
        bary: Perspective-correct barycentric coordinates in it, (H, W, 3).
        depth: World units, inf where there is none, (H, W).
    """

    triangles: Int[np.ndarray, "H W"]
    bary: Float[np.ndarray, "H W 3"]
    depth: Float[np.ndarray, "H W"]


def into_camera(points: Float[np.ndarray, "N 3"], camera: Camera) -> Float[np.ndarray, "N 3"]:
    """Transform head points in metres to camera axes and world units."""
    view = np.asarray(camera.viewmat, np.float64)
    return np.asarray(points, np.float64) * UNITS @ view[:3, :3].T + view[:3, 3]


def onto_picture(points: Float[np.ndarray, "N 3"], camera: Camera) -> Float[np.ndarray, "N 2"]:
    """Project points in camera axes to pixels."""
    k = np.asarray(camera.K, np.float64)
    return points[..., :2] / points[..., 2:] * [k[0, 0], k[1, 1]] + k[:2, 2]


def seen(vertices: Float[np.ndarray, "V 3"], faces: Int[np.ndarray, "F 3"], camera: Camera) -> Seen:
    """The nearest triangle of every pixel, regardless of facing.

    Args:
        vertices: Posed mesh, metres.
        faces: Its triangles.
        camera: The viewing camera.
    """
    points = into_camera(vertices, camera)
    plane = onto_picture(points, camera)
    height, width = camera.height, camera.width
    triangles = np.full((height, width), -1, np.int32)
    bary = np.zeros((height, width, 3), np.float32)
    depth = np.full((height, width), np.inf)
    fill(plane, points[:, 2], np.asarray(faces, np.int32), triangles, bary, depth)
    return Seen(triangles, bary, depth.astype(np.float32))
