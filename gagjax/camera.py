"""Cameras: pinhole with column-vector world-to-camera matrices and OpenCV axes, and the way from a track's camera."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float

from gagjax.pytree import pytree, static
from gagjax.typing import AnyArray

FOCAL = 12.0  # GAGAvatar's focal length, in half image widths
SIZE = 512


@pytree
class Camera:
    """A pinhole camera, or a batch of them along leading axes.

    Args:
        viewmat: World to camera for column vectors, (4, 4); x right, y down, z forward.
        K: Intrinsics in pixels, (3, 3), without skew; pixel centres lie at half numbers.
        width: Picture width in pixels.
        height: Picture height in pixels.
    """

    viewmat: Float[AnyArray, "*#batch 4 4"]
    K: Float[AnyArray, "*#batch 3 3"]
    width: int = static(default=SIZE)
    height: int = static(default=SIZE)


def from_track(transform: Float[AnyArray, "*#batch 3 4"], size: int = SIZE, focal: float = FOCAL) -> Camera:
    """The camera of a track.

    A track holds `[R | t]` for row vectors, `X_camera = X_world @ R + t`, with x left, y up, z forward (PyTorch3D). In
    column form with OpenCV axes that is `diag(-1, -1, 1) [R^T | t]`.

    Args:
        transform: `[R | t]`, (..., 3, 4).
        size: Width and height of the square picture in pixels.
        focal: Focal length in half image widths.

    Example:
        >>> import numpy as np
        >>> camera = from_track(np.eye(3, 4, dtype=np.float32))
        >>> float(camera.K[0, 0])
        3072.0
    """
    transform = jnp.asarray(transform)
    flip = jnp.asarray([-1.0, -1.0, 1.0], transform.dtype)[:, None]
    upper = flip * jnp.concatenate([jnp.swapaxes(transform[..., :3], -1, -2), transform[..., 3:]], -1)
    last = jnp.broadcast_to(jnp.asarray([0.0, 0.0, 0.0, 1.0], upper.dtype), (*upper.shape[:-2], 1, 4))
    half = size / 2
    intrinsics = jnp.asarray([[focal * half, 0, half], [0, focal * half, half], [0, 0, 1]], upper.dtype)
    return Camera(
        jnp.concatenate([upper, last], -2),
        jnp.broadcast_to(intrinsics, (*upper.shape[:-2], 3, 3)),
        size,
        size,
    )


def project(points: Float[AnyArray, "*#batch N 3"], camera: Camera) -> Float[Array, "*#batch N 2"]:
    """Pixel positions of world points; meaningless for points that are not in front of the camera.

    Args:
        points: World points, (..., N, 3).
        camera: A camera, or a batch with the same leading axes.

    Returns:
        x, y in pixels, the centre of the first pixel at (0.5, 0.5).
    """
    seen = jnp.einsum("...ij,...nj->...ni", camera.viewmat[..., :3, :3], points) + camera.viewmat[..., None, :3, 3]
    depth = jnp.where(jnp.abs(seen[..., 2:]) > 1e-9, seen[..., 2:], 1e-9)
    focal = jnp.stack([camera.K[..., 0, 0], camera.K[..., 1, 1]], -1)[..., None, :]
    return seen[..., :2] / depth * focal + camera.K[..., None, :2, 2]
