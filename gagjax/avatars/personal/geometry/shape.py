"""The head's shape, fitted to the film: identity coefficients and offsets of the vertices.

    v_rest = v_template + B beta + d

B are the head's identity columns, beta their coefficients beyond those of the track, d an offset of every vertex. The
prior holds beta near 0 (units of the basis are standard deviations) and d small and smooth:
|beta|^2, |d|^2, and |L d|^2 with L the difference to the mean of the neighbouring vertices.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, ClassVar

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from gagjax.avatars.personal.parts.base import Part, Scene, View
from gagjax.pytree import pytree, static
from gagjax.typing import AnyArray, Tree

if TYPE_CHECKING:
    from gagjax.avatars.parameters import Parameters
    from gagjax.flame.model import FlameModel

#: Vertex offsets are stored in centimetres.
CENTIMETRE = 0.01


@pytree
class ShapeFit(Part):
    """A learned shape.

    Args:
        basis: Identity columns, (V, 3, S), metres per unit; S = 0 for offsets alone.
        edges: Both ends of every edge of the mesh, (E, 2).
        vertices: Whether the vertices get offsets.
        coefficients: Weight of the squared coefficients.
        small: Weight of the mean squared offset, per square centimetre.
        smooth: Weight of the mean squared Laplacian of the offsets.
    """

    name: ClassVar[str] = "shape"
    rate: ClassVar[float] = 1e-2
    since: ClassVar[float] = 0.05
    lasting: ClassVar[bool] = True
    basis: Float[AnyArray, "V 3 S"]
    edges: Int[AnyArray, "E 2"]
    vertices: bool = static(default=True)
    coefficients: float = static(default=1e-5)
    small: float = static(default=1e-2)
    smooth: float = static(default=1.0)

    @classmethod
    def of(cls, head: FlameModel, count: int = 50, *, vertices: bool = True) -> ShapeFit:
        """The part for a head.

        Args:
            head: The head model with its identity columns (before `canonical.person`).
            count: Maximum number of coefficients.
            vertices: Whether the vertices get offsets too.
        """
        f = np.asarray(head.faces)
        pairs = np.sort(np.concatenate([f[:, [0, 1]], f[:, [1, 2]], f[:, [2, 0]]]), axis=1)
        basis = np.asarray(head.shapedirs, np.float32)[..., : min(head.shapes, count)]
        return cls(basis, np.unique(pairs, axis=0).astype(np.int32), vertices=vertices)

    def start(self, scene: Scene) -> dict[str, Any]:
        count = len(self.basis)
        rows = {"offset": jnp.zeros((count, 3))} if self.vertices else {}
        return {"coefficients": jnp.zeros(self.basis.shape[-1]), **rows}

    def moved(self, weights: Tree) -> Float[Array, "V 3"]:
        """The change of every vertex at rest, metres."""
        change = jnp.einsum("vck,k->vc", jnp.asarray(self.basis), weights["coefficients"], precision="highest")
        return change + CENTIMETRE * weights["offset"] if self.vertices else change

    def avatar(self, weights: Tree, avatar: Tree, parameters: Parameters, view: View | None) -> Any:
        model = dataclasses.replace(avatar.model, v_template=avatar.model.v_template + self.moved(weights))
        return dataclasses.replace(avatar, model=model)

    def prior(self, weights: Tree, avatar: Tree) -> Float[AnyArray, ""]:
        total = self.coefficients * (weights["coefficients"] ** 2).sum()
        if not self.vertices:
            return total
        offset = weights["offset"]
        a, b = self.edges[:, 0], self.edges[:, 1]
        pull = jnp.zeros_like(offset).at[a].add(offset[b] - offset[a]).at[b].add(offset[a] - offset[b])
        degree = jnp.zeros(len(offset)).at[a].add(1.0).at[b].add(1.0)
        rough = pull / jnp.maximum(degree, 1.0)[:, None]
        return total + self.small * (offset**2).sum(-1).mean() + self.smooth * (rough**2).sum(-1).mean()
