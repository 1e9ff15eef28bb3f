"""MeshAvatar: Gaussians bound to a FLAME mesh, with colours by light or by view."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Float, Int

from gagjax import flame
from gagjax.avatars.binding import Binding
from gagjax.avatars.builtin import shading
from gagjax.avatars.parameters import Parameters
from gagjax.avatars.spherical_harmonics import colours
from gagjax.camera import UNITS_PER_METRE as UNITS
from gagjax.camera import Camera
from gagjax.flame.model import FlameModel
from gagjax.pytree import pytree
from gagjax.splatting.gaussians import Gaussians
from gagjax.typing import AnyArray


@pytree
class Surface:
    """What light needs to know of each Gaussian.

    Args:
        occlusion: 1 in the open, 0 where no light comes, (N,).
        material: Index into `shading.MATERIALS`, (N,).
        corners: Barycentric weights of its place in its triangle, (N, 3): where its normal is taken.
    """

    occlusion: Float[AnyArray, "N"]
    material: Int[AnyArray, "N"]
    corners: Float[AnyArray, "N 3"]


@pytree
class MeshAvatar:
    """An avatar of Gaussians bound to the triangles of a FLAME mesh.

    Args:
        model: The mesh.
        binding: Place and width of the Gaussians on it.
        opacities: (N,), in [0, 1].
        appearance: Albedo in [0, 1], (N, 1, 3), where `surface` is given; else spherical harmonics, (N, K, 3) with K
            1, 4, 9 or 16, in the convention of 3D Gaussian splatting.
        surface: What shading needs, or None for an avatar whose colours are not lit.
    """

    model: FlameModel
    binding: Binding
    opacities: Float[AnyArray, "N"]
    appearance: Float[AnyArray, "N K 3"]
    surface: Surface | None = None

    def __len__(self) -> int:
        return len(self.binding)

    @jax.jit
    def gaussians(self, parameters: Parameters | Float[AnyArray, "V 3"], camera: Camera | None = None) -> Gaussians:
        """The Gaussians of a frame.

        Args:
            parameters: The frame; or its posed vertices in metres, where they are at hand (`flame.vertices`).
            camera: Who looks, with vertices: lamps stand with the camera, and harmonics depend on the direction of
                view. Without one, a camera in front of the face.

        Returns:
            Means and covariances in world units, `UNITS` to a metre; colours in three channels.
        """
        if isinstance(parameters, Parameters):
            vertices, camera = parameters.vertices(self.model), parameters.camera if camera is None else camera
        else:
            vertices = jnp.asarray(parameters)
        means, covariances, strands = self.binding.place_covariances(vertices, self.model.faces)
        turn = jnp.asarray(shading.FRONT) if camera is None else camera.viewmat[:3, :3]
        if self.surface is None:
            seen_from = (
                jnp.asarray([0.0, 0.0, 10.0]) if camera is None else -camera.viewmat[:3, :3].T @ camera.viewmat[:3, 3]
            )
            features = colours(self.appearance, means * UNITS - seen_from)
        else:
            normals = flame.normals(self.model, vertices)
            corners = normals[self.model.faces[self.binding.triangles]]
            normal = _unit((corners * self.surface.corners[..., None]).sum(1))
            features = shading.shade(
                self.appearance[:, 0],
                self.surface.occlusion,
                self.surface.material,
                normal,
                _unit(strands),
                turn,
            )
        return Gaussians(means * UNITS, covariances * UNITS**2, self.opacities, features)


def _unit(x: Float[AnyArray, "N 3"]) -> Float[AnyArray, "N 3"]:
    return x * jax.lax.rsqrt((x**2).sum(-1, keepdims=True) + 1e-16)
