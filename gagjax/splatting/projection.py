"""EWA projection of 3D Gaussians to the image plane, in plain JAX and differentiated by JAX."""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from gagjax.camera import Camera
from gagjax.splatting.gaussians import Gaussians

NEAR = 0.2  # Gaussians at or in front of this depth are not drawn
DILATION = 0.3  # square pixels added to the diagonal of every projected covariance
EDGE = 1.3  # the Jacobian is evaluated no farther out than this many half fields of view


class Splats(NamedTuple):
    """Projected Gaussians.

    Attributes:
        centres: (N, 2) pixels.
        conics: (N, 3): entries xx, xy, yy of the inverse of the projected covariance.
        depths: (N,) along the viewing direction.
        drawn: (N,) whether a Gaussian can be drawn.
    """

    centres: Float[Array, "N 2"]
    conics: Float[Array, "N 3"]
    depths: Float[Array, "N"]
    drawn: Bool[Array, "N"]


def splats(gaussians: Gaussians, camera: Camera) -> Splats:
    """Project Gaussians; those behind the camera, degenerate or not finite are marked and get placeholder values.

    Args:
        gaussians: One set, without batch axes.
        camera: One camera.

    Source: Zwicker et al., EWA splatting, 2001; the constants are those of Kerbl et al., 3D Gaussian Splatting, 2023.
    """
    rotation, shift = camera.viewmat[:3, :3], camera.viewmat[:3, 3]
    fx, fy, cx, cy = camera.K[0, 0], camera.K[1, 1], camera.K[0, 2], camera.K[1, 2]
    finite = (
        jnp.isfinite(gaussians.means).all(-1)
        & jnp.isfinite(gaussians.covariances).all((-1, -2))
        & jnp.isfinite(gaussians.opacities)
        & jnp.isfinite(gaussians.features).all(-1)
    )
    # Replaced before any arithmetic, so that no NaN reaches values or gradients.
    means = jnp.where(finite[:, None], gaussians.means, 0)
    world = jnp.where(finite[:, None, None], gaussians.covariances, jnp.eye(3, dtype=means.dtype))
    seen = jnp.einsum("ij,nj->ni", rotation, means, precision="highest") + shift
    in_front = seen[:, 2] > NEAR
    x, y = seen[:, 0], seen[:, 1]
    z = jnp.where(in_front, seen[:, 2], 1.0)
    # The linearisation is poor far outside the image: it is evaluated at the limit instead.
    limit_x, limit_y = EDGE * 0.5 * camera.width / fx, EDGE * 0.5 * camera.height / fy
    middle_x, middle_y = (0.5 * camera.width - cx) / fx, (0.5 * camera.height - cy) / fy
    u = jnp.clip(x / z, middle_x - limit_x, middle_x + limit_x)
    v = jnp.clip(y / z, middle_y - limit_y, middle_y + limit_y)
    zero = jnp.zeros_like(z)
    jacobian = jnp.stack([jnp.stack([fx / z, zero, -fx * u / z], -1), jnp.stack([zero, fy / z, -fy * v / z], -1)], -2)
    to_pixels = jnp.einsum("nij,jk->nik", jacobian, rotation, precision="highest")
    flat = jnp.einsum("nij,njk,nlk->nil", to_pixels, world, to_pixels, precision="highest")
    xx, yy = flat[:, 0, 0] + DILATION, flat[:, 1, 1] + DILATION
    xy = 0.5 * (flat[:, 0, 1] + flat[:, 1, 0])
    # (xx)(yy) - (xy)^2 cancels for needle-shaped Gaussians; scaling first keeps it in range.
    determinant = xx * yy - xy * xy
    drawn = finite & in_front & (determinant > 0) & (xx > 0) & (yy > 0) & jnp.isfinite(determinant)
    inverse = jnp.where(drawn, 1 / jnp.where(drawn, determinant, 1), 0)
    conics = jnp.stack([yy * inverse, -xy * inverse, xx * inverse], -1)
    centres = jnp.stack([fx * x / z + cx, fy * y / z + cy], -1)
    drawn &= jnp.isfinite(centres).all(-1)
    safe = drawn[:, None]
    return Splats(
        jnp.where(safe, centres, 0),
        jnp.where(safe, conics, jnp.asarray([1.0, 0.0, 1.0], means.dtype)),
        jnp.where(drawn, seen[:, 2], 0),
        drawn,
    )
