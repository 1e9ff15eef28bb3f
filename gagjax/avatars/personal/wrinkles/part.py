"""The part of a fit that learns wrinkles: displaced Gaussians, and shading by the bent normals.

Colours are multiplied by what the light gives the bent normal over what it gives the coarse one,

    (1 + Y(n') c) / (1 + Y(n) c),

with the harmonics of `light.harmonics` and a light c of the part's own, which begins as a lamp above the viewer. A flat
map therefore changes nothing. The map's layout is the same angles on every head, so one person's wrinkles fit another's
head (`transferred`), and they follow whatever track drives it.

Source: Feng et al., DECA, ACM TOG (SIGGRAPH) 2021; see `displacement`.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, ClassVar

import jax.numpy as jnp
from jaxtyping import Float

from gagjax import flame
from gagjax.avatars.personal.appearance import own
from gagjax.avatars.personal.features.layout import Layout, rasterised
from gagjax.avatars.personal.light.harmonics import basis, turn_of
from gagjax.avatars.personal.parts.base import Part, Scene, View
from gagjax.avatars.personal.parts.dressed import DressedAvatar
from gagjax.avatars.personal.wrinkles import displacement
from gagjax.flame.model import FlameModel
from gagjax.pytree import pytree, static
from gagjax.typing import AnyArray, Tree

if TYPE_CHECKING:
    from gagjax.avatars.parameters import Parameters
    from gagjax.splatting.gaussians import Gaussians

#: The first light: from above and from the viewer, in axes x left, y up, z away from the viewer.
LAMP = (0.0, 0.35, -0.35, 0.0, 0.0, 0.0, 0.0, 0.0)


@pytree
class Wrinkles(Part):
    """Learned displacement of one person.

    Args:
        layout: The map's layout on the person's head.
        count: Leading expression coefficients that the map follows.
        weight: Weight of the mean squared heights, per square millimetre.
        smooth: Weight of the mean squared differences between neighbouring texels.
    """

    name: ClassVar[str] = "wrinkles"
    rate: ClassVar[float] = 2e-2
    since: ClassVar[float] = 0.3
    lasting: ClassVar[bool] = True
    layout: Layout
    count: int = static(default=20)
    weight: float = static(default=1e-3)
    smooth: float = static(default=1e-3)

    @classmethod
    def of(cls, model: FlameModel, size: int = 64, count: int = 20) -> Wrinkles:
        """Flat wrinkles of a person's head.

        Args:
            model: The person's head.
            size: Texels along each side of the map.
            count: Leading expression coefficients that the map follows.
        """
        return cls(rasterised(model, size), count)

    def start(self, scene: Scene) -> dict[str, Any]:
        size = self.layout.size
        return {
            "static": jnp.zeros((size, size)),
            "basis": jnp.zeros((size, size, self.count + 3)),
            "light": jnp.asarray(LAMP),
        }

    def avatar(self, weights: Tree, avatar: Tree, parameters: Parameters, view: View | None) -> Any:
        model, rest = avatar.model, avatar.model.v_template
        heights = displacement.height(weights, parameters.expression, parameters.pose[3:6])
        lifted = self.layout.sampled(heights[..., None], avatar.canonical.on(model, rest))
        normals = avatar.canonical.on(model, flame.normals(model, rest))
        offset = avatar.points["offset"] + 0.1 * lifted * normals  # millimetres as centimetres
        return dataclasses.replace(avatar, points={**avatar.points, "offset": offset})

    def gaussians(
        self, weights: Tree, gaussians: Gaussians, avatar: Tree, parameters: Parameters, view: View | None
    ) -> Gaussians:
        model = avatar.model
        posed = own(parameters).vertices(model)
        flat = jnp.zeros((self.layout.size, self.layout.size))
        heights = displacement.height(weights, parameters.expression, parameters.pose[3:6])
        turn = turn_of(parameters, view)
        places = avatar.canonical.on(model, model.v_template)

        def light(of: AnyArray) -> Any:
            normals = self.layout.sampled(displacement.normal_map(self.layout, model, posed, of), places)
            return jnp.maximum(1 + basis(normals @ turn) @ weights["light"], 0.05)[:, None]

        features = gaussians.features
        lit = features[:, :3] * light(heights) / light(flat)
        return dataclasses.replace(gaussians, features=jnp.concatenate([lit, features[:, 3:]], 1))

    def prior(self, weights: Tree, avatar: Tree) -> Float[AnyArray, ""]:
        maps = jnp.concatenate([weights["static"][..., None], weights["basis"]], -1)
        u, v = displacement.slopes(maps)
        return self.weight * (maps**2).sum(-1).mean() + self.smooth * (u**2 + v**2).sum(-1).mean()


def transferred(source: DressedAvatar, target: Tree) -> DressedAvatar:
    """Another person's avatar with the wrinkles of the first.

    Args:
        source: An avatar with fitted wrinkles.
        target: The other avatar, with or without parts of its own; wrinkles that it has are replaced.

    Returns:
        The other avatar, wrinkled as the first when a track makes the same expression.

    Raises:
        StopIteration: If the first avatar has no wrinkles.
    """
    part = next(part for part in source.parts if isinstance(part, Wrinkles))
    worn = dataclasses.replace(part, layout=rasterised(target.model, part.layout.size))
    base, weights = target, {}
    parts: tuple[Part, ...] = ()
    if isinstance(target, DressedAvatar):
        base, parts, weights = target.base, target.parts, dict(target.weights)
    kept = tuple(other for other in parts if other.name != part.name)
    return DressedAvatar(base, (*kept, worn), {**weights, part.name: source.weights[part.name]})
