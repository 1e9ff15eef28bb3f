"""Colour correction: every camera records the head's colours through an affine map of its own.

    recorded = (1 + A_c) colour + b_c

on what the head covers; the background is each camera's own already. A and b are learned with a prior on their squares.
One map common to all cameras could as well be the head's own colours: the first camera's is fixed at the identity, or
the cameras' mean is.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import jax.numpy as jnp
from jaxtyping import Array, Float

from gagjax.avatars.personal.parts.base import Part, Scene, View
from gagjax.pytree import pytree, static
from gagjax.typing import AnyArray, Tree


@pytree
class ColourCorrection(Part):
    """A learned affine map of colours per camera.

    Args:
        anchor: What is fixed at the identity: the "first" camera or the cameras' "mean".
        weight: Weight of the prior, the mean of the squared entries of A and b over the cameras.
    """

    name: ClassVar[str] = "colour"
    rate: ClassVar[float] = 2e-3
    anchor: Literal["first", "mean"] = static(default="first")
    weight: float = static(default=1e-2)

    def start(self, scene: Scene) -> dict[str, Any]:
        return {"matrix": jnp.zeros((scene.cameras, 3, 3)), "shift": jnp.zeros((scene.cameras, 3))}

    def fixed(self, weights: Tree) -> tuple[Float[Array, "C 3 3"], Float[Array, "C 3"]]:
        """A and b of every camera, with the anchor's at 0."""
        matrix, shift = weights["matrix"], weights["shift"]
        if self.anchor == "mean":
            return matrix - matrix.mean(0), shift - shift.mean(0)
        return matrix - matrix[:1], shift - shift[:1]

    def picture(
        self, weights: Tree, picture: Float[AnyArray, "S S 3"], coverage: Float[AnyArray, "S S"], view: View
    ) -> Float[AnyArray, "S S 3"]:
        matrix, shift = (x[view.camera] for x in self.fixed(weights))
        cover = coverage[..., None]
        head = picture - (1 - cover) * view.background
        return picture + head @ matrix.T + cover * shift

    def prior(self, weights: Tree, avatar: Tree) -> Float[AnyArray, ""]:
        matrix, shift = self.fixed(weights)
        return self.weight * ((matrix**2).sum((1, 2)) + (shift**2).sum(1)).mean()
