"""Gaussians on the mesh whose position, colour and width depend on the frame.

Canonical Gaussians lie on the surface of the posed mesh and follow skinning and blend shapes. A decoder with a skip
connection maps each Gaussian's feature and a pose feature to an offset, a colour and an isotropic width; opacity is
fixed.

Source: Hu et al., GaussianAvatar: Towards realistic human avatar modeling from a single video via animatable 3D
Gaussians, CVPR 2024; there for bodies, here for heads.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from gagjax import flame
from gagjax.avatars.avatar import UNITS
from gagjax.avatars.builtin.shading import FRONT
from gagjax.avatars.parameters import Parameters
from gagjax.avatars.personal import networks
from gagjax.avatars.personal.canonical import Canonical, spread, widened
from gagjax.avatars.personal.starts.start import Start
from gagjax.flame.model import FlameModel
from gagjax.pytree import pytree, static
from gagjax.splatting.gaussians import Gaussians
from gagjax.typing import AnyArray, Scalar

FEATURES, WIDTH, OUTPUTS = 16, 48, 7  # outputs: offset 3, colour 3, width 1
LOCAL, SHARED = 6, 100 + 6 + 6 + 3 + 9
OPACITY = 0.9
#: Offsets are stored in centimetres, so that one learning rate suits offsets, colours and widths.
CENTIMETRE = 0.01


@pytree
class AppearanceAvatar:
    """A person's avatar with appearance that depends on pose and expression.

    Args:
        model: The person's head model, without shape coefficients.
        canonical: Placement of the Gaussians on the mesh.
        points: Per-Gaussian parameters: `feature` (N, 16), `offset` (N, 3) in centimetres at rest, `colour` (N, 3) as
            logits, `scale` (N,) as the logarithm of metres.
        network: Weights of the decoder.
        dynamic: Weight of the frame code in the decoder's input: 0 in the first stage of training, then 1.
        size: Size in pixels of the images it was fitted to, 0 before fitting; see `canonical.widened`.
    """

    model: FlameModel
    canonical: Canonical
    points: Mapping[str, Float[AnyArray, "N ..."]]
    network: dict[str, Any]
    dynamic: float | Scalar = 1.0
    size: int = static(default=0)

    def __len__(self) -> int:
        return len(self.canonical)

    def gaussians(self, parameters: Parameters) -> Gaussians:
        """The Gaussians of a frame, in world units, colours in [0, 1]."""
        model, canonical = self.model, self.canonical
        posed = own(parameters).vertices(model)
        surface = canonical.on(model, posed)
        turn = jnp.asarray(FRONT) if parameters.camera is None else parameters.camera.viewmat[:3, :3]
        moved = (surface - canonical.on(model, model.v_template)) / CENTIMETRE
        normals = canonical.on(model, flame.normals(model, posed)) @ turn.T
        local = self.dynamic * jnp.concatenate([moved, normals], -1)
        code = self.dynamic * describe(parameters, turn)
        out = networks.apply(self.network, jnp.concatenate([self.points["feature"], local], -1), code)
        offset = (self.points["offset"] + out[:, :3]) * CENTIMETRE
        deformation = canonical.deformation(model, posed)
        means = surface + (deformation * offset[:, None, :]).sum(-1)
        # Isotropic at rest; stretched by the surface.
        root = deformation * jnp.exp(jnp.clip(self.points["scale"] + 0.3 * out[:, 6], -9.0, -3.5))[:, None, None]
        covariances = (root[:, :, None, :] * root[:, None, :, :]).sum(-1)
        return Gaussians(
            means * UNITS,
            widened(covariances * UNITS**2, parameters.camera, self.size),
            jnp.full(len(self), OPACITY),
            jax.nn.sigmoid(self.points["colour"] + out[:, 3:6]),
        )


def create(model: FlameModel, count: int, seed: int = 0, start: Start | None = None) -> AppearanceAvatar:
    """An avatar before fitting.

    Args:
        model: The person's head (`canonical.person`).
        count: Maximum number of Gaussians.
        seed: Seed of features and initial weights.
        start: Placed and coloured Gaussians (`starts.begin`); None for grey ones all over the mesh.
    """
    start = Start(*spread(model, count)) if start is None else start
    n = len(start.canonical)
    feature = 0.1 * np.random.default_rng(seed).normal(size=(n, FEATURES)).astype(np.float32)
    points = {
        "feature": jnp.asarray(feature),
        "offset": jnp.asarray(start.centimetres()),
        "colour": jnp.asarray(start.logits()),
        "scale": jnp.log(jnp.asarray(start.width)),
    }
    return AppearanceAvatar(
        model, start.canonical, points, networks.create(FEATURES + LOCAL, SHARED, WIDTH, OUTPUTS, seed), jnp.float32(1)
    )


def structure(count: int) -> dict[str, Any]:
    """Shapes of the arrays of an avatar with `count` Gaussians, as required in a file."""

    def array(*shape: int) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct((count, *shape), jnp.float32)

    return {
        "points": {"feature": array(FEATURES), "offset": array(3), "colour": array(3), "scale": array()},
        "network": networks.shapes(FEATURES + LOCAL, SHARED, WIDTH, OUTPUTS),
    }


Avatar = AppearanceAvatar


def own(parameters: Parameters) -> Parameters:
    """The parameters without the driver's shape, since a personal avatar has its own."""
    return dataclasses.replace(parameters, shape=jnp.zeros(0))


def describe(parameters: Parameters, turn: Float[AnyArray, "3 3"]) -> Float[Array, "124"]:
    """The decoder's frame code: expression, jaw, eyes, neck and the head's orientation to the viewer."""
    return jnp.concatenate(
        [
            0.3 * parameters.expression,
            parameters.pose,
            parameters.eyes,
            parameters.neck,
            (turn - jnp.asarray(FRONT)).reshape(-1),
        ]
    )
