"""Gaussians tied to the triangles of a mesh."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from gagjax.pytree import pytree, static
from gagjax.typing import AnyArray


@pytree
class Binding:
    """Where each Gaussian lies in the frame of its triangle, and how wide it is there.

    The frame of a triangle is a matrix whose columns are axes in space, with an origin:

    * "affine": two edges from the first corner, and the normal times the root of twice the area. The frame shears with
      the triangle, so a closing lid squeezes its Gaussians and leaves no gaps.
    * "similarity": an orthonormal frame times one length, about the triangle's centre, as GaussianAvatars does (Qian et
      al., CVPR 2024, section 3.2).

    Args:
        triangles: Triangle of each Gaussian, (N,).
        offsets: Centres in the triangle's frame, (N, 3).
        factors: Roots of the covariances in that frame, (N, 3, 3): the covariance in space is A F F^T A^T.
        frame: "affine" or "similarity".
    """

    triangles: Int[AnyArray, "N"]
    offsets: Float[AnyArray, "N 3"]
    factors: Float[AnyArray, "N 3 3"]
    frame: str = static(default="affine")

    def __len__(self) -> int:
        return self.triangles.shape[0]

    def place(
        self, vertices: Float[AnyArray, "V 3"], faces: Int[AnyArray, "F 3"]
    ) -> tuple[Float[AnyArray, "N 3"], Float[AnyArray, "N 3 3"]]:
        """Centres and covariance roots in space, in the unit of the vertices.

        Args:
            vertices: Posed vertices.
            faces: Triangles of the mesh.
        """
        means, roots = self._entries(vertices, faces)
        return means, jnp.stack([jnp.stack(row, -1) for row in roots], -2)

    def place_covariances(
        self, vertices: Float[AnyArray, "V 3"], faces: Int[AnyArray, "F 3"]
    ) -> tuple[Float[AnyArray, "N 3"], Float[AnyArray, "N 3 3"], Float[AnyArray, "N 3"]]:
        """Centres, covariances and the first columns of their roots; arguments and units as in `place`."""
        means, roots = self._entries(vertices, faces)
        return means, _squared(roots), jnp.stack([row[0] for row in roots], -1)

    def _entries(self, vertices: AnyArray, faces: AnyArray) -> tuple[Array, list[list[Array]]]:
        """Centres, and every entry of the roots as an array of its own: XLA vectorises those, not 3x3 blocks."""
        origins, axes = frames(vertices, faces, self.frame)
        table = jnp.concatenate([origins, axes.reshape(-1, 9)], 1)[self.triangles]  # one gather
        frame = [[table[:, 3 + 3 * i + k] for k in range(3)] for i in range(3)]
        means = jnp.stack([table[:, i] + sum(frame[i][k] * self.offsets[:, k] for k in range(3)) for i in range(3)], -1)
        roots = [[sum(frame[i][k] * self.factors[:, k, j] for k in range(3)) for j in range(3)] for i in range(3)]
        return means, roots  # type: ignore[return-value]


def frames(
    vertices: Float[AnyArray, "V 3"], faces: Int[AnyArray, "F 3"], kind: str = "affine"
) -> tuple[Float[AnyArray, "F 3"], Float[AnyArray, "F 3 3"]]:
    """Origin and axes (as columns) of every triangle's frame; see `Binding`."""
    a, b, c = (vertices[faces[:, k]] for k in range(3))
    first, second = b - a, c - a
    cross = jnp.cross(first, second)
    # A triangle squeezed to a line has no normal; the floor keeps its gradient finite. Lengths are metres.
    area = jnp.sqrt((cross**2).sum(-1, keepdims=True) + 1e-20)
    normal = cross / area
    if kind == "affine":
        return a, jnp.stack([first, second, normal * jnp.sqrt(area)], -1)
    length = jnp.sqrt((first**2).sum(-1, keepdims=True) + 1e-20)
    along = first / length
    across = jnp.cross(along, normal)
    height = jnp.abs((across * second).sum(-1, keepdims=True))
    scale = (length + height) / 2
    return (a + b + c) / 3, jnp.stack([along, normal, across], -1) * scale[..., None]


def _squared(roots: list[list[Array]]) -> Float[Array, "N 3 3"]:
    """R R^T, symmetric to the bit."""
    upper = {(i, j): sum(roots[i][k] * roots[j][k] for k in range(3)) for i in range(3) for j in range(i, 3)}
    return jnp.stack(
        [jnp.stack([jnp.asarray(upper[min(i, j), max(i, j)]) for j in range(3)], -1) for i in range(3)], -2
    )
