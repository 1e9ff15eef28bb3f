"""`rasterize`: semantics, choice of backend, batching."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from gagjax.camera import Camera
from gagjax.errors import SplattingError
from gagjax.splatting import backends
from gagjax.splatting.gaussians import Gaussians
from gagjax.typing import AnyArray, Tree


def rasterize(
    gaussians: Gaussians,
    camera: Camera,
    *,
    backend: str = "auto",
    background: Float[AnyArray, "C"] | None = None,
) -> tuple[Float[Array, "*#batch H W C"], Float[Array, "*#batch H W"]]:
    """Rasterize Gaussians: features blended front to back, and alpha.

    Semantics, on every backend:

    * Projection is EWA splatting: the projected covariance is J W S W^T J^T + 0.3 I in square pixels; the Jacobian J is
      evaluated no farther from the image centre than 1.3 half fields of view.
    * Gaussians at depth 0.2 or less, with a covariance that is degenerate after dilation, or with any value that is not
      finite are not drawn, and have zero gradients.
    * The centre of pixel (row i, column j) is at (j + 0.5, i + 0.5).
    * alpha = min(0.99, opacity * exp(-d^T conic d / 2)), opacity at most 1; an alpha under 1/255 is skipped. There is
      no other cut-off: the result does not depend on tiles.
    * Front to back by depth of the centre, ties by index: feature += T alpha f, T *= 1 - alpha. A Gaussian that would
      reduce T below 1e-4 is not blended and terminates its pixel.
    * Features have any number of channels and are not clamped; T times the background is added; alpha is 1 - T.

    Differentiable once in reverse mode in means, covariances, opacities, features, background and the camera's matrices,
    under `jit`, `grad`, `vmap` and `scan`. Skipping, capping, ordering and stopping have no gradient.

    Args:
        gaussians: One set, or a batch with leading axes.
        camera: One camera, or a batch with leading axes; batches of both must broadcast.
        backend: "cpu"; "gsplat" (CUDA, registered by `import bridge`; never falls back); any other registered with
            `backends.register`; or "auto": gsplat if it loads and JAX runs on a GPU, see `backend_report`.
        background: (C,); zero if None.

    Returns:
        Features (..., H, W, C) and alpha (..., H, W), in the dtype of the means.

    Raises:
        SplattingError: If the shapes do not fit, or the backend is unknown or cannot run here: the message says what is
            missing.

    Example:
        >>> import numpy as np
        >>> from gagjax.camera import from_track
        >>> one = Gaussians(np.float32([[0, 0, 10]]), 0.01 * np.eye(3, dtype=np.float32)[None], np.ones(1), np.ones((1, 3)))
        >>> picture, alpha = rasterize(one, from_track(np.eye(3, 4, dtype=np.float32), size=64), backend="cpu")
        >>> picture.shape, round(float(alpha[32, 32]), 2)
        ((64, 64, 3), 0.98)
    """
    _check(gaussians, camera, background)
    draw = backends.choose(backend).rasterize
    gaussians, camera = jax.tree.map(jnp.asarray, gaussians), jax.tree.map(jnp.asarray, camera)
    # A select, not a clip: at exactly 1 the full gradient passes.
    capped = jnp.where(gaussians.opacities > 1, 1, gaussians.opacities)
    gaussians = dataclasses.replace(gaussians, opacities=capped)
    colour = jnp.zeros(gaussians.features.shape[-1], gaussians.features.dtype) if background is None else background
    batch = jnp.broadcast_shapes(gaussians.means.shape[:-2], camera.viewmat.shape[:-2])
    if not batch:
        return draw(gaussians, camera, jnp.asarray(colour))
    flat_gaussians, flat_camera = (
        _flatten(tree, batch, axes) for tree, axes in ((gaussians, _GAUSSIAN_AXES), (camera, _CAMERA_AXES))
    )
    pictures, alphas = jax.lax.map(
        lambda pair: draw(pair[0], pair[1], jnp.asarray(colour)), (flat_gaussians, flat_camera)
    )
    return pictures.reshape(*batch, *pictures.shape[1:]), alphas.reshape(*batch, *alphas.shape[1:])


def backend_report() -> str:
    """Which backend "auto" selects here, and why the others are not selected."""
    return backends.report()


_GAUSSIAN_AXES = {"means": 2, "covariances": 3, "opacities": 1, "features": 2}
_CAMERA_AXES = {"viewmat": 2, "K": 2}


def _flatten(tree: Tree, batch: tuple[int, ...], axes: dict[str, int]) -> Any:
    """Broadcast and flatten all leading axes into one."""

    def one(value: AnyArray, own: int) -> Any:
        return jnp.broadcast_to(value, (*batch, *value.shape[value.ndim - own :])).reshape(
            -1, *value.shape[value.ndim - own :]
        )

    return dataclasses.replace(tree, **{name: one(getattr(tree, name), own) for name, own in axes.items()})


def _check(gaussians: Gaussians, camera: Camera, background: AnyArray | None) -> None:
    n = gaussians.means.shape[-2:-1]
    shapes = {
        "means": (gaussians.means.shape[-2:], (*n, 3)),
        "covariances": (gaussians.covariances.shape[-3:], (*n, 3, 3)),
        "opacities": (gaussians.opacities.shape[-1:], n),
        "features": (gaussians.features.shape[-2:-1], n),
        "viewmat": (camera.viewmat.shape[-2:], (4, 4)),
        "K": (camera.K.shape[-2:], (3, 3)),
    }
    for name, (found, expected) in shapes.items():
        if tuple(found) != tuple(expected):
            raise SplattingError(f"{name} ends in shape {tuple(found)}, expected {tuple(expected)}")
    channels = gaussians.features.shape[-1]
    if background is not None and jnp.shape(background) != (channels,):
        raise SplattingError(f"background has shape {jnp.shape(background)}, expected ({channels},)")
    if camera.width < 1 or camera.height < 1:
        raise SplattingError(f"a picture of {camera.width} x {camera.height} pixels has no pixel")
