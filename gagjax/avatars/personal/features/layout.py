"""A map around the head: azimuth and elevation about its middle, and the surface under each texel.

    u = 1/2 + atan2(x, z) / 2 pi,    v = 1/2 + asin(y / r) / pi

of a point of the head at rest, relative to the middle of its bounding box. FLAME's own texture coordinates are a
separate file with a licence of its own; this map needs none and suits every head. Where several layers lie behind one
another (mouth, eyelids), the outermost is in the map. The seam is at the back of the head.
"""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from gagjax import flame
from gagjax.flame.model import FlameModel
from gagjax.pytree import pytree
from gagjax.typing import AnyArray


def place(points: Float[AnyArray, "N 3"], middle: Float[AnyArray, "3"]) -> Float[Array, "N 2"]:
    """u, v in [0, 1] of points at rest.

    Args:
        points: Metres.
        middle: The middle of the head, metres.

    Example:
        >>> place(np.array([[0.0, 0.0, 0.1], [0.1, 0.0, 0.0]]), np.zeros(3)).tolist()
        [[0.5, 0.5], [0.75, 0.5]]
    """
    x, y, z = jnp.unstack(jnp.asarray(points) - jnp.asarray(middle), axis=-1)
    flat = jnp.sqrt(x * x + z * z + 1e-12)
    return jnp.stack([0.5 + jnp.arctan2(x, z) / (2 * jnp.pi), 0.5 + jnp.arctan2(y, flat) / jnp.pi], -1)


@pytree
class Layout:
    """The surface under each texel of a square map.

    Args:
        triangles: Triangle under each texel, (S, S); row 0 is the lowest elevation.
        corners: Barycentric coordinates in it, (S, S, 3); 0 where there is no surface.
        middle: The middle of the head at rest, metres, (3,).
    """

    triangles: AnyArray
    corners: Float[AnyArray, "S S 3"]
    middle: Float[AnyArray, "3"]

    @property
    def size(self) -> int:
        """Texels along each side."""
        return self.corners.shape[0]

    def positions(self, model: FlameModel, vertices: Float[AnyArray, "V 3"]) -> Float[Array, "S S 3"]:
        """The posed mesh in the map: its displacement from rest under each texel, centimetres; 0 without surface."""
        moved = (vertices - model.v_template) * 100
        flat = flame.on_surface(moved, model.faces, self.triangles.reshape(-1), self.corners.reshape(-1, 3))
        return flat.reshape(*self.corners.shape)

    def sampled(self, values: Float[AnyArray, "S S C"], points: Float[AnyArray, "N 3"]) -> Float[Array, "N C"]:
        """A map's values at points at rest, bilinear; the map goes on around the head, and ends at the poles."""
        size = self.size
        at = place(points, self.middle) * size - 0.5
        low = jnp.floor(at)
        share = at - low
        column, row = low[:, 0].astype(jnp.int32), low[:, 1].astype(jnp.int32)
        values = jnp.asarray(values)

        def texel(right: int, up: int) -> Array:
            return values[jnp.clip(row + up, 0, size - 1), (column + right) % size]

        a, b = share[:, :1], share[:, 1:]
        lower = (1 - a) * texel(0, 0) + a * texel(1, 0)
        return (1 - b) * lower + b * ((1 - a) * texel(0, 1) + a * texel(1, 1))


def rasterised(model: FlameModel, size: int) -> Layout:
    """The layout of a head at rest: every triangle drawn into the map, the outermost on top.

    Args:
        model: The person's head.
        size: Texels along each side.
    """
    v, f = np.asarray(model.v_template, np.float64), np.asarray(model.faces)
    middle = (v.min(0) + v.max(0)) / 2
    corners = np.asarray(place(v, middle), np.float64)[f] * size - 0.5
    # Triangles across the seam are drawn once, with u going on beyond the right edge.
    across = np.ptp(corners[..., 0], axis=1) > size / 2
    corners[across, :, 0] += size * (corners[across, :, 0] < size / 2)
    radius = np.linalg.norm(v - middle, axis=1)[f]
    triangles = np.zeros((size, size), np.int32)
    weights = np.zeros((size, size, 3), np.float32)
    outermost = np.full((size, size), -np.inf)
    low, high = np.ceil(corners.min(1)).astype(int), np.floor(corners.max(1)).astype(int)
    for t in np.flatnonzero((high >= low).all(1)):
        columns, rows = (np.arange(low[t, k], high[t, k] + 1) for k in (0, 1))
        x, y = np.meshgrid(columns, rows)
        a, b, c = corners[t]
        area = (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])
        if abs(area) < 1e-12:
            continue
        second = ((x - a[0]) * (c[1] - a[1]) - (y - a[1]) * (c[0] - a[0])) / area
        third = ((b[0] - a[0]) * (y - a[1]) - (b[1] - a[1]) * (x - a[0])) / area
        shares = np.stack([1 - second - third, second, third], -1)
        inside = (shares >= -1e-9).all(-1) & (y >= 0) & (y < size)
        if not inside.any():
            continue
        row, column, shares = y[inside], x[inside] % size, shares[inside]
        depth = shares @ radius[t]
        nearer = depth > outermost[row, column]
        row, column = row[nearer], column[nearer]
        outermost[row, column] = depth[nearer]
        triangles[row, column], weights[row, column] = t, shares[nearer]
    return Layout(triangles, weights, middle.astype(np.float32))
