"""The compiled loop of the z-buffer."""

from __future__ import annotations

import numba
import numpy as np


@numba.njit(cache=True)  # type: ignore[untyped-decorator]
def fill(plane, z, faces, triangles, bary, depth):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Rasterize every triangle with a depth test; see `zbuffer.seen`."""
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
