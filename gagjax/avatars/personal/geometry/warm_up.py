"""Scale warm-up: Gaussians start narrow and reach their width over the first steps.

    width(t) = width min(t / T, 1)

so that positions settle before wide Gaussians can cover the error with blur.

Source: Hu et al., GaussianAvatar, CVPR 2024: its published training code multiplies the predicted widths by t / 1000 in
the first 1000 steps of stage one. Here T is a fraction of the fit, and the factor does not start below `least`.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, ClassVar

import jax.numpy as jnp

from gagjax.avatars.personal.parts.base import Part, View
from gagjax.pytree import pytree, static
from gagjax.typing import Tree

if TYPE_CHECKING:
    from gagjax.avatars.parameters import Parameters
    from gagjax.splatting.gaussians import Gaussians


@pytree
class ScaleWarmUp(Part):
    """Widths that grow over the first steps.

    Args:
        until: Fraction of the steps after which the widths are whole.
        least: Smallest factor.
    """

    name: ClassVar[str] = "warm-up"
    until: float = static(default=0.1)
    least: float = static(default=0.1)

    def gaussians(
        self, weights: Tree, gaussians: Gaussians, avatar: Tree, parameters: Parameters, view: View | None
    ) -> Gaussians:
        if view is None:
            return gaussians
        factor = jnp.clip(view.share / self.until, self.least, 1.0)
        return dataclasses.replace(gaussians, covariances=gaussians.covariances * factor**2)
