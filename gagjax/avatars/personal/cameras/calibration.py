"""Small corrections of where the cameras stand and how long their lenses are.

    X' = exp(turn_c) X + shift_c,    f' = f exp(focal_c)

in camera axes, with a prior on the squares in units of a plausible size. The first camera stays where it is: the
track's own corrections (`motion`) move the head in front of it.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, ClassVar

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from gagjax import so3
from gagjax.avatars.personal.parts.base import Part, Scene, View
from gagjax.pytree import pytree, static
from gagjax.typing import AnyArray, Tree

if TYPE_CHECKING:
    from gagjax.avatars.parameters import Parameters

#: Plausible sizes: a quarter of a degree, 2 mm (0.01 world units), one per cent of the focal length.
TURN, SHIFT, FOCAL = float(np.deg2rad(0.25)), 0.01, 0.01


@pytree
class Calibration(Part):
    """Learned corrections of every camera's pose and focal length.

    Args:
        pose: Whether poses are corrected, of all cameras but the first.
        focal: Whether focal lengths are corrected, of all cameras. With one camera a longer lens and a farther head look
            nearly alike, so that only perspective tells.
        weight: Weight of the prior.
    """

    name: ClassVar[str] = "calibration"
    rate: ClassVar[float] = 0.02
    pose: bool = static(default=True)
    focal: bool = static(default=True)
    weight: float = static(default=1e-5)

    def start(self, scene: Scene) -> dict[str, Any]:
        count = scene.cameras
        return {"turn": jnp.zeros((count, 3)), "shift": jnp.zeros((count, 3)), "focal": jnp.zeros(count)}

    def parameters(self, weights: Tree, parameters: Parameters, view: View) -> Parameters:
        camera = parameters.camera
        assert camera is not None
        c = view.camera
        viewmat, lens = camera.viewmat, camera.K
        if self.pose:
            moves = (c > 0).astype(jnp.float32)
            turn = so3.exp(moves * TURN * weights["turn"][c])
            upper = jnp.matmul(turn, viewmat[:3], precision="highest")
            upper = upper.at[:, 3].add(moves * SHIFT * weights["shift"][c])
            viewmat = jnp.concatenate([upper, viewmat[3:]])
        if self.focal:
            longer = jnp.exp(FOCAL * weights["focal"][c])
            lens = lens * jnp.ones((3, 3)).at[[0, 1], [0, 1]].set(longer)
        return dataclasses.replace(parameters, camera=dataclasses.replace(camera, viewmat=viewmat, K=lens))

    def prior(self, weights: Tree, avatar: Tree) -> Float[AnyArray, ""]:
        return self.weight * sum((weights[name] ** 2).sum() for name in ("turn", "shift", "focal"))
