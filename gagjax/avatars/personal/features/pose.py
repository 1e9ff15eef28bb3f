"""Features in a map, added to those on the Gaussians: an optimisable tensor and a pose encoder.

    feature_i = own_i + bilinear(F + E(P), uv_i)

F is an optimisable feature tensor, P the position map of the posed mesh, E the pose encoder, whose output is added from
the second stage on (with the frame code: `avatar.dynamic`). Neighbours on the map share what they learn, and wrinkles
may depend on the mesh around them, not only on the whole expression. Two norms keep features small: the mean of F^2,
and the mean of E(P)^2, the prior of the pose features.

Source: Hu et al., GaussianAvatar, CVPR 2024, and its published training code: the pose encoder's map is added to the
feature tensor; weights 1 on the mean of F^2 and 10 on that of the encoder's map. Theirs are 128 texels, 64 channels, a
decoder for every texel; here the map is smaller and Gaussians sample it.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, ClassVar

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from gagjax.avatars.personal.appearance import own
from gagjax.avatars.personal.features import encoder
from gagjax.avatars.personal.features.layout import Layout, rasterised
from gagjax.avatars.personal.parts.base import Part, Scene, Shown, View
from gagjax.flame.model import FlameModel
from gagjax.pytree import pytree, static
from gagjax.typing import AnyArray, Tree

if TYPE_CHECKING:
    from gagjax.avatars.parameters import Parameters


@pytree
class PoseFeatures(Part):
    """The feature tensor and the pose encoder.

    Args:
        layout: The map.
        encode: Whether the pose encoder is used beside the tensor.
        norm: Weight of the mean squared feature tensor.
        pose_norm: Weight of the mean squared map of the encoder.
    """

    name: ClassVar[str] = "uv"
    rate: ClassVar[float] = 2e-3
    lasting: ClassVar[bool] = True
    layout: Layout
    encode: bool = static(default=True)
    norm: float = static(default=1.0)
    pose_norm: float = static(default=10.0)

    @classmethod
    def of(cls, model: FlameModel, size: int = 64, *, encode: bool = True) -> PoseFeatures:
        """The part for a person's head.

        Args:
            model: The person's head (`canonical.person`).
            size: Texels along each side, a multiple of 4.
            encode: Whether the pose encoder is used.
        """
        return cls(rasterised(model, size), encode=encode)

    def start(self, scene: Scene) -> dict[str, Any]:
        size, channels = self.layout.size, scene.avatar.points["feature"].shape[1]
        tensor = 0.01 * np.random.default_rng(scene.seed).normal(size=(size, size, channels))
        weights = {"tensor": jnp.asarray(tensor, jnp.float32)}
        return weights | {"encoder": encoder.create(channels, scene.seed)} if self.encode else weights

    def encoded(self, weights: Tree, avatar: Tree, parameters: Parameters) -> Float[Array, "S S C"]:
        """The pose encoder's map of a frame."""
        posed = own(parameters).vertices(avatar.model)
        return encoder.apply(weights["encoder"], self.layout.positions(avatar.model, posed))

    def avatar(self, weights: Tree, avatar: Tree, parameters: Parameters, view: View | None) -> Any:
        values = weights["tensor"]
        if self.encode:
            values = values + avatar.dynamic * self.encoded(weights, avatar, parameters)
        places = avatar.canonical.on(avatar.model, avatar.model.v_template)
        feature = avatar.points["feature"] + self.layout.sampled(values, places)
        return dataclasses.replace(avatar, points={**avatar.points, "feature": feature})

    def loss(self, weights: Tree, shown: Shown) -> Float[AnyArray, ""]:
        if not self.encode:
            return jnp.zeros(())
        return self.pose_norm * (self.encoded(weights, shown.avatar, shown.parameters) ** 2).mean()

    def prior(self, weights: Tree, avatar: Tree) -> Float[AnyArray, ""]:
        return self.norm * (weights["tensor"] ** 2).mean()
