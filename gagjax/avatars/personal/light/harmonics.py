"""Light of low order: what reaches a surface is a quadratic of its normal, nine numbers per colour.

    colour = albedo (1 + sum_k c_k Y_k(n)),    k = 1..8

with n the surface's normal in the first camera's axes (x left, y up, z forward): the light stands still beside the
camera while the head turns. Y are the real spherical harmonics of degree 1 and 2, scaled to a largest value of 1. The
constant term is fixed at 1: brighter light and brighter skin are the same picture, and a prior on the squares of the
others leaves to the light only what varies with the normal. Displayed values are multiplied, not linear ones.

Source: Ramamoorthi and Hanrahan, An efficient representation for irradiance environment maps, SIGGRAPH 2001: nine
coefficients give the irradiance of a diffuse surface within a few per cent.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, ClassVar

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from gagjax import flame
from gagjax.avatars.personal.appearance import own
from gagjax.avatars.personal.parts.base import Part, Scene, View
from gagjax.pytree import pytree, static
from gagjax.typing import AnyArray, Tree

if TYPE_CHECKING:
    from gagjax.avatars.parameters import Parameters
    from gagjax.splatting.gaussians import Gaussians


def basis(normals: Float[AnyArray, "N 3"]) -> Float[Array, "N 8"]:
    """The harmonics of degree 1 and 2 at unit vectors, each with a largest absolute value of 1.

    Example:
        >>> basis(np.array([[0.0, 0.0, 1.0]])).tolist()
        [[0.0, 0.0, 1.0, 0.0, 0.0, 1.0, 0.0, 0.0]]
    """
    x, y, z = jnp.unstack(jnp.asarray(normals), axis=-1)
    return jnp.stack([x, y, z, 2 * x * y, 2 * y * z, 0.5 * (3 * z * z - 1), 2 * x * z, x * x - y * y], -1)


@pytree
class HarmonicLight(Part):
    """Learned light of one clip.

    Args:
        weight: Weight of the prior on the squared coefficients.
    """

    name: ClassVar[str] = "light"
    rate: ClassVar[float] = 1e-2
    lasting: ClassVar[bool] = True
    weight: float = static(default=1e-3)

    def start(self, scene: Scene) -> dict[str, Any]:
        return {"coefficients": jnp.zeros((8, 3))}

    def gaussians(
        self, weights: Tree, gaussians: Gaussians, avatar: Tree, parameters: Parameters, view: View | None
    ) -> Gaussians:
        posed = own(parameters).vertices(avatar.model)
        normals = avatar.canonical.on(avatar.model, flame.normals(avatar.model, posed))
        seen = normals @ turn_of(parameters, view)
        light = jnp.maximum(1 + basis(seen) @ weights["coefficients"], 0.05)
        features = gaussians.features
        lit = jnp.concatenate([features[:, :3] * light, features[:, 3:]], 1)
        return dataclasses.replace(gaussians, features=lit)

    def prior(self, weights: Tree, avatar: Tree) -> Float[AnyArray, ""]:
        return self.weight * (weights["coefficients"] ** 2).sum()


def turn_of(parameters: Parameters, view: View | None) -> Float[AnyArray, "3 3"]:
    """From the head's axes to those of the first camera, for row vectors; outside a fit of the camera that looks."""
    if view is not None:
        return view.reference[:, :3]
    if parameters.camera is None:
        return jnp.asarray(np.diag([-1.0, 1.0, -1.0]).astype(np.float32))
    return parameters.camera.viewmat[:3, :3].T @ jnp.diag(jnp.asarray([-1.0, -1.0, 1.0]))
