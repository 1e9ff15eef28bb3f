"""Which triangle is seen in each pixel, and where in it."""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np
from jaxtyping import Float, Int

from gagjax.avatars.avatar import UNITS
from gagjax.camera import Camera


class Seen(NamedTuple):
    """What a camera sees of a mesh, pixel by pixel.

    Attributes:
        triangles: The nearest triangle, -1 where there is none, (H, W).
        bary: Barycentric place in it, perspective correct, (H, W, 3).
        depth: World units, inf where there is none, (H, W).
    """

    triangles: Int[np.ndarray, "H W"]
    bary: Float[np.ndarray, "H W 3"]
    depth: Float[np.ndarray, "H W"]


def into_camera(points: Float[np.ndarray, "N 3"], camera: Camera) -> Float[np.ndarray, "N 3"]:
    """Points of the head in metres, in camera axes and world units."""
    view = np.asarray(camera.viewmat, np.float64)
    return np.asarray(points, np.float64) * UNITS @ view[:3, :3].T + view[:3, 3]


def onto_picture(points: Float[np.ndarray, "N 3"], camera: Camera) -> Float[np.ndarray, "N 2"]:
    """Pixels of points in camera axes."""
    k = np.asarray(camera.K, np.float64)
    return points[..., :2] / points[..., 2:] * [k[0, 0], k[1, 1]] + k[:2, 2]


def seen(vertices: Float[np.ndarray, "V 3"], faces: Int[np.ndarray, "F 3"], camera: Camera) -> Seen:
    """The nearest triangle of every pixel, whichever way it faces.

    Args:
        vertices: Posed mesh, metres.
        faces: Its triangles.
        camera: Who looks.
    """
    points = into_camera(vertices, camera)
    plane = onto_picture(points, camera)
    height, width = camera.height, camera.width
    triangles = np.full((height, width), -1, np.int32)
    bary = np.zeros((height, width, 3), np.float32)
    depth = np.full((height, width), np.inf)
    _fill(plane, points[:, 2], np.asarray(faces, np.int32), triangles, bary, depth)
    return Seen(triangles, bary, depth.astype(np.float32))


@numba.njit(cache=True)  # type: ignore[untyped-decorator]
def _fill(plane, z, faces, triangles, bary, depth):  # type: ignore[no-untyped-def]  # pragma: no cover
    height, width = triangles.shape
    for t in range(len(faces)):
        a, b, c = faces[t]
        if z[a] <= 0.2 or z[b] <= 0.2 or z[c] <= 0.2:
            continue
        ax, ay, bx, by, cx, cy = plane[a, 0], plane[a, 1], plane[b, 0], plane[b, 1], plane[c, 0], plane[c, 1]
        area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
        if abs(area) < 1e-12:
            continue
        low_x, high_x = max(0, int(np.ceil(min(ax, bx, cx) - 0.5))), min(width - 1, int(max(ax, bx, cx) - 0.5))
        low_y, high_y = max(0, int(np.ceil(min(ay, by, cy) - 0.5))), min(height - 1, int(max(ay, by, cy) - 0.5))
        for i in range(low_y, high_y + 1):
            for j in range(low_x, high_x + 1):
                x, y = j + 0.5, i + 0.5
                u = ((bx - x) * (cy - y) - (by - y) * (cx - x)) / area
                v = ((cx - x) * (ay - y) - (cy - y) * (ax - x)) / area
                w = 1.0 - u - v
                if u < -1e-9 or v < -1e-9 or w < -1e-9:
                    continue
                inverse = u / z[a] + v / z[b] + w / z[c]
                if 1.0 / inverse < depth[i, j]:
                    depth[i, j] = 1.0 / inverse
                    triangles[i, j] = t
                    bary[i, j, 0] = u / z[a] / inverse
                    bary[i, j, 1] = v / z[b] / inverse
                    bary[i, j, 2] = w / z[c] / inverse
