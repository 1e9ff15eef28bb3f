"""LPIPS as a loss of a fit, with weights that the user brings; computed in JAX, so gradients need no other library."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Float

from gagjax.avatars.personal.parts.base import Part, Shown
from gagjax.avatars.personal.perceptual import networks
from gagjax.pytree import pytree, static
from gagjax.typing import AnyArray, Tree


@pytree
class LpipsLoss(Part):
    """LPIPS beside the photometric loss.

    Args:
        stack: The network.
        weight: Weight of the loss.
        after: Fraction of the steps before it counts: at first, pictures differ in more than looks.
        size: Pictures are reduced to this size before they are compared; 0 for never.

    Source: Hu et al., GaussianAvatar, CVPR 2024: weight 0.2, after 30 of 200 epochs in its published code.
    """

    name: ClassVar[str] = "lpips"
    stack: networks.Stack
    weight: float = static(default=0.2)
    after: float = static(default=0.15)
    size: int = static(default=0)

    @classmethod
    def load(cls, *files: str | Path) -> LpipsLoss:
        """The part with weights from files; see `networks.load`."""
        return cls(networks.load(*files))

    def loss(self, weights: Tree, shown: Shown) -> Float[AnyArray, ""]:
        drawn, truth = shown.picture, shown.truth
        if 0 < self.size < drawn.shape[0]:
            drawn, truth = (jax.image.resize(x, (self.size, self.size, 3), "linear") for x in (drawn, truth))

        def far() -> jax.Array:
            return self.stack.distance(drawn, truth)

        return self.weight * jax.lax.cond(shown.view.share >= self.after, far, lambda: jnp.zeros(()))
