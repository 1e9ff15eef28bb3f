"""Marching tetrahedra: the zero surface of a signed distance field on a grid, differentiable in its values.

The surface crosses an edge of the grid where the signs of its ends differ, at the place where the distance, taken as
linear, is zero: for ends a and b with distances p and q,

    x = (a q - b p) / (q - p).

A tetrahedron with one end apart from three has one triangle, with two and two it has two. The triangles of neighbours
share their corners, so the surface is closed wherever it does not leave the grid. Which edges are crossed is not
differentiable; where they are crossed is, in the distances and in the places of the grid's vertices.

All shapes are fixed by a capacity, so a surface that changes with every step of a fit compiles once.

Source: Shen et al., Deep Marching Tetrahedra: a Hybrid Representation for High-Resolution 3D Shape Synthesis, NeurIPS 2021,
section 3.
"""

from __future__ import annotations

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from gagjax.errors import InputError
from gagjax.pytree import pytree, static
from gagjax.typing import AnyArray

#: The six edges of a tetrahedron as pairs of its corners.
EDGES = ((0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3))


@pytree
class Grid:
    """Tetrahedra that fill a box: six in each cell, all around the same diagonal, so that neighbours share faces.

    Args:
        vertices: Places, (M, 3), metres.
        tetrahedra: Corners of each, positively oriented, (K, 4).
        edges: Every edge once, (E, 2), the lower vertex first.
        tetrahedron_edges: The six edges of each tetrahedron, (K, 6), in the order of `EDGES`.
        step: Width of a cell, metres.
    """

    vertices: Float[AnyArray, "M 3"]
    tetrahedra: Int[AnyArray, "K 4"]
    edges: Int[AnyArray, "E 2"]
    tetrahedron_edges: Int[AnyArray, "K 6"]
    step: float = static(default=0.01)


@pytree
class Surface:
    """A triangle mesh in arrays of fixed size; rows beyond the counts are padding.

    Args:
        vertices: One for each crossed edge, (capacity, 3), metres.
        edges: The crossed edge of each, (capacity,); padding repeats the last edge of the grid.
        faces: Triangles, outward by the right-hand rule, (2 * capacity, 3); padding is 0, 0, 0.
        used: Which vertices are no padding, (capacity,).
        used_faces: Which faces are no padding, (2 * capacity,).
    """

    vertices: Float[Array, "N 3"]
    edges: Int[Array, "N"]
    faces: Int[Array, "F 3"]
    used: Bool[Array, "N"]
    used_faces: Bool[Array, "F"]


def box(low: Float[np.ndarray, "3"], high: Float[np.ndarray, "3"], step: float) -> Grid:
    """A grid over a box.

    Args:
        low: Lowest corner, metres.
        high: Highest corner, metres.
        step: Width of a cell, metres; the box is enlarged to whole cells.

    Returns:
        The grid, on the host.

    Raises:
        InputError: If the box is empty or would take more than two million cells.

    Example:
        >>> import numpy as np
        >>> grid = box(np.zeros(3), np.ones(3), 0.5)
        >>> len(grid.vertices), len(grid.tetrahedra), len(grid.edges)
        (27, 48, 98)
    """
    low, high = np.asarray(low, np.float64), np.asarray(high, np.float64)
    if not (np.isfinite(low).all() and np.isfinite(high).all() and step > 0 and (high > low).all()):
        raise InputError(f"from {low} to {high} is no box", field="grid")
    cells = np.ceil((high - low) / step - 1e-9).astype(int)
    if cells.prod() > 2_000_000:
        raise InputError(f"has {cells.prod():,} cells", field="grid", fix="Use a larger step")
    count = cells + 1
    places = np.stack(np.meshgrid(*(np.arange(n) for n in count), indexing="ij"), -1).reshape(-1, 3)

    def index(at: np.ndarray) -> np.ndarray:
        return (at[..., 0] * count[1] + at[..., 1]) * count[2] + at[..., 2]

    corner = np.stack(np.meshgrid(*(np.arange(n) for n in cells), indexing="ij"), -1).reshape(-1, 1, 3)
    tetrahedra = []
    for order in itertools.permutations(range(3)):
        walk = np.cumsum([np.zeros(3, int), *np.eye(3, dtype=int)[list(order)]], axis=0)
        if np.linalg.det(np.eye(3)[list(order)]) < 0:
            walk = walk[[1, 0, 2, 3]]
        tetrahedra.append(index(corner + walk))
    tets = np.concatenate(tetrahedra)
    pairs = np.sort(tets[:, np.array(EDGES)], axis=2).reshape(-1, 2)
    code, inverse = np.unique(pairs[:, 0] * int(count.prod()) + pairs[:, 1], return_inverse=True)
    edges = np.stack(np.divmod(code, int(count.prod())), 1)
    return Grid(
        (low + step * places).astype(np.float32),
        tets.astype(np.int32),
        edges.astype(np.int32),
        inverse.reshape(-1, 6).astype(np.int32),
        float(step),
    )


@functools.partial(jax.jit, static_argnames=("capacity",))
def surface(
    grid: Grid,
    distances: Float[AnyArray, "M"],
    moved: Float[AnyArray, "M 3"] | None = None,
    *,
    capacity: int = 20_000,
) -> Surface:
    """The zero surface of distances that are negative inside.

    Args:
        grid: The grid.
        distances: Signed distance at each vertex, metres.
        moved: Places of the vertices instead of the grid's own, metres.
        capacity: Largest number of crossed edges; those beyond it, and triangles at them, are left out.

    Returns:
        The surface. Its vertices have gradients in `distances` and `moved`.

    Source: Shen et al., NeurIPS 2021, section 3.
    """
    vertices = jnp.asarray(grid.vertices if moved is None else moved)
    distances = jnp.asarray(distances)
    edges, corners = jnp.asarray(grid.edges), jnp.asarray(grid.tetrahedra)
    inside = distances < 0
    crossed = inside[edges[:, 0]] != inside[edges[:, 1]]
    chosen = jnp.nonzero(crossed, size=capacity, fill_value=len(edges) - 1)[0]
    used = jnp.arange(capacity) < crossed.sum()
    ends = edges[chosen]
    p, q = distances[ends[:, 0]], distances[ends[:, 1]]
    # Padding has ends of the same sign: its quotient is kept finite, and its place has no gradient.
    gap = jnp.where(used, q - p, 1.0)
    share = jnp.where(used, -p / jnp.where(jnp.abs(gap) < 1e-12, 1e-12, gap), 0.0)
    a, b = vertices[ends[:, 0]], vertices[ends[:, 1]]
    places = a + share[:, None] * (b - a)
    # From an edge to its row.
    row = jnp.cumsum(crossed) - 1
    table = jnp.asarray(_table())
    case = (inside[corners] * jnp.asarray([1, 2, 4, 8])).sum(1)
    triangles = table[case]  # (K, 2, 3), edges of the tetrahedron, -1 for none
    there = triangles[..., 0] >= 0
    at = jnp.take_along_axis(jnp.asarray(grid.tetrahedron_edges), jnp.maximum(triangles, 0).reshape(len(corners), 6), 1)
    rows = row[at].reshape(-1, 3)
    there = there.reshape(-1) & (rows < capacity).all(1)
    wanted = jnp.nonzero(there, size=2 * capacity, fill_value=0)[0]
    kept = jnp.arange(2 * capacity) < there.sum()
    faces = jnp.where(kept[:, None], rows[wanted], 0)
    return Surface(places, chosen, faces, used, kept)


@functools.cache
def _table() -> np.ndarray:
    """Triangles of each of the 16 cases, as edges of the tetrahedron, (16, 2, 3): outward, -1 for none.

    Bit i of a case says that corner i is inside. They are derived, not typed in: corners are placed on a positively
    oriented tetrahedron, crossings at the middles of edges, and every triangle is turned away from the inside.
    """
    corner = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]], float)
    edge = {pair: number for number, pair in enumerate(EDGES)}
    middle = np.array([corner[list(pair)].mean(0) for pair in EDGES])
    table = np.full((16, 2, 3), -1)
    for case in range(1, 15):
        inside = [i for i in range(4) if case >> i & 1]
        outside = [i for i in range(4) if not case >> i & 1]

        def between(i: int, j: int) -> int:
            return edge[min(i, j), max(i, j)]

        if len(inside) == 2:
            (a, b), (c, d) = inside, outside
            loop = [between(a, c), between(a, d), between(b, d), between(b, c)]
            triangles = [[loop[0], loop[1], loop[2]], [loop[0], loop[2], loop[3]]]
        else:
            (apart,), others = (inside, outside) if len(inside) == 1 else (outside, inside)
            triangles = [[between(apart, other) for other in others]]
        outward = corner[outside].mean(0) - corner[inside].mean(0)
        for number, triangle in enumerate(triangles):
            x, y, z = middle[triangle]
            table[case, number] = triangle if np.cross(y - x, z - x) @ outward > 0 else triangle[::-1]
    return table
