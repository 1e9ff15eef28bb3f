"""PortraitAvatar: Gaussians from a photo on a relightable mesh, with a layer for parts that the mesh lacks."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Float

from gagjax import flame
from gagjax.avatars.avatar import UNITS
from gagjax.avatars.binding import Binding
from gagjax.avatars.builtin.shading import FRONT
from gagjax.avatars.parameters import Parameters
from gagjax.avatars.portrait.light import GAMMA, irradiance
from gagjax.camera import Camera
from gagjax.flame.model import FlameModel
from gagjax.pytree import pytree
from gagjax.splatting.gaussians import Gaussians
from gagjax.typing import AnyArray

#: How far shoulders move with the lower end of the neck: 0.6 to 1.1 in films of talking people.
LEAN = 0.75


@pytree
class Layer:
    """Gaussians off the mesh: shoulders, clothes, hair far from the head.

    Args:
        means: Positions in the photo, in head axes, metres, (N, 3).
        factors: Square roots of the covariances, (N, 3, 3).
        opacities: (N,).
        colours: Display-encoded, (N, 3).
        follow: 1 moves with the head, 0 stays at its position in the photo, (N,).
    """

    means: Float[AnyArray, "N 3"]
    factors: Float[AnyArray, "N 3 3"]
    opacities: Float[AnyArray, "N"]
    colours: Float[AnyArray, "N 3"]
    follow: Float[AnyArray, "N"]


@pytree
class PortraitAvatar:
    """An avatar built from one photo.

    Args:
        model: The person's head model: the shape is in the template, without shape columns.
        binding: Affine binding of the Gaussians to the mesh.
        corners: Barycentric coordinates at which each is lit, (N, 3).
        opacities: (N,).
        albedo: Display-encoded colour divided by the photo's light, (N, 3); may exceed 1.
        lit: Weight of the lighting: 1 for skin, 0 for eyes and teeth, (N,).
        light: The photo's light for `irradiance`, (9, 3), fixed to the camera.
        follow: How far each vertex moves with the head, (V,): the lower end of the neck stays with the shoulders.
        pivot: Lower end of the neck, metres, (3,).
        view: The photo's world-to-camera matrix, (4, 4).
        layer: Gaussians off the mesh, or None.
        shift: Displacements added to the posed vertices, metres, (V, 3), or None; see `driving.residuals`.
    """

    model: FlameModel
    binding: Binding
    corners: Float[AnyArray, "N 3"]
    opacities: Float[AnyArray, "N"]
    albedo: Float[AnyArray, "N 3"]
    lit: Float[AnyArray, "N"]
    light: Float[AnyArray, "9 3"]
    follow: Float[AnyArray, "V"]
    pivot: Float[AnyArray, "3"]
    view: Float[AnyArray, "4 4"]
    layer: Layer | None = None
    shift: Float[AnyArray, "V 3"] | None = None

    def __len__(self) -> int:
        return len(self.binding) + (0 if self.layer is None else self.layer.means.shape[0])

    @jax.jit
    def gaussians(self, parameters: Parameters | Float[AnyArray, "V 3"], camera: Camera | None = None) -> Gaussians:
        """The Gaussians of a frame; arguments as in `MeshAvatar.gaussians`.

        Args:
            parameters: The frame, whose shape is ignored; or its posed vertices, metres.
            camera: The viewing camera, with vertices. Light and shoulders are fixed to it; without one, to the photo's.
        """
        if isinstance(parameters, Parameters):
            vertices = flame.vertices(
                self.model, jnp.zeros(0), parameters.expression, parameters.pose, parameters.eyes, parameters.neck
            )
            camera = parameters.camera if camera is None else camera
        else:
            vertices = jnp.asarray(parameters)
        if self.shift is not None:
            vertices = vertices + self.shift
        view = jnp.asarray(self.view) if camera is None else camera.viewmat
        vertices = self._held(vertices, self.follow, view)
        means, factors = self.binding.place(vertices, self.model.faces)
        # Light varies slowly: it is evaluated and encoded at the vertices, which are few.
        turn = jnp.asarray(FRONT) if camera is None else view[:3, :3]
        glow = irradiance(self.light, flame.normals(self.model, vertices) @ turn.T) ** (1 / GAMMA)
        bright = (glow[self.model.faces[self.binding.triangles]] * self.corners[..., None]).sum(1)
        colours, opacities = self.albedo * (1 + self.lit[:, None] * (bright - 1)), self.opacities
        if self.layer is not None:
            there = self._held(self.layer.means, self.layer.follow, view)
            means, factors = jnp.concatenate([means, there]), jnp.concatenate([factors, self.layer.factors])
            colours = jnp.concatenate([colours, self.layer.colours])
            opacities = jnp.concatenate([opacities, self.layer.opacities])
        covariances = (factors[:, :, None, :] * factors[:, None, :, :]).sum(-1) * UNITS**2
        return Gaussians(means * UNITS, covariances, opacities, jnp.clip(colours, 0.0, 1.0))

    def _held(
        self, points: Float[AnyArray, "N 3"], follow: Float[AnyArray, "N"], view: Float[AnyArray, "4 4"]
    ) -> Float[AnyArray, "N 3"]:
        """Points that follow the head only in part: the remainder stays as in the photo, translated but not rotated."""
        then, now = jnp.asarray(self.view), view
        pivot = self.pivot * UNITS
        moved = (now[:3, :3] - then[:3, :3]) @ pivot + now[:3, 3] - then[:3, 3]
        still = points * UNITS @ then[:3, :3].T + then[:3, 3] + LEAN * moved
        back = (still - now[:3, 3]) @ now[:3, :3] / UNITS
        return points + (1 - follow)[:, None] * (back - points)
