"""The CUDA backend: gsplat's rasterizer, called on JAX's own buffers through `bridge.torch_function`."""

from __future__ import annotations

import dataclasses
import functools
import importlib.metadata
import importlib.util
import shutil
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from gagjax.camera import Camera
from gagjax.splatting.gaussians import Gaussians
from gagjax.splatting.projection import DILATION, NEAR
from gagjax.typing import AnyArray

if TYPE_CHECKING:
    import torch


@functools.cache
def why_not() -> str | None:
    """Why gsplat cannot run here and how to fix that; None if it can. Loads the extension once."""
    if importlib.util.find_spec("torch") is None:
        return "PyTorch is not installed; pip install 'gagjax[gsplat]' with a CUDA build of torch"
    import torch

    if not torch.cuda.is_available():
        built = torch.version.cuda
        return (
            f"no CUDA device is visible to PyTorch {torch.__version__} (built for CUDA {built})"
            if built
            else f"PyTorch {torch.__version__} is a CPU build; install one for CUDA"
        )
    if jax.default_backend() != "gpu":
        return "JAX runs on the CPU; pip install 'gagjax[cuda13]' (or cuda12) to match torch's CUDA"
    if importlib.util.find_spec("gsplat") is None:
        return "gsplat is not installed; pip install 'gagjax[gsplat]'"
    try:
        from gsplat.cuda._backend import _C
    except Exception as error:  # a failed build can raise anything from ImportError to RuntimeError, with its log
        return f"gsplat's CUDA extension does not load: {error}"
    if _C is None:
        missing = [tool for tool in ("nvcc", "ninja") if shutil.which(tool) is None]
        cure = f"; {' and '.join(missing)} not found on the PATH" if missing else ""
        return f"gsplat's CUDA extension was not built{cure}. It is compiled at first use with nvcc of torch's CUDA version"
    return None


def loads() -> bool:
    """Whether gsplat runs here."""
    return why_not() is None


def alpha_cap() -> float:
    """The largest alpha of the installed gsplat: 0.999 up to release 1.5.3, 0.99 from 1.6."""
    major, minor = (int(part) for part in importlib.metadata.version("gsplat").split(".")[:2])
    return 0.99 if (major, minor) >= (1, 6) else 0.999


def without_k(camera: Camera) -> Camera:
    """The same camera with a constant K; K's effect moves into the view matrix, which all rasterizers differentiate.

    With K0 the value of K, points K0^-1 K (R x + t) projected by K0 are those projected by K; covariances follow, since
    the Jacobian at K0 times K0^-1 K is the Jacobian at K. The values do not change, since K0 equals K.
    """
    k0 = jax.lax.stop_gradient(camera.K)
    # The difference is zero, so the matrix is exactly the identity.
    change = jnp.linalg.solve(k0, camera.K - k0)
    view = camera.viewmat + jnp.pad(change @ camera.viewmat[:3], ((0, 1), (0, 0)))
    return dataclasses.replace(camera, viewmat=view, K=k0)


def rasterize_gsplat(
    gaussians: Gaussians, camera: Camera, background: Float[AnyArray, "C"]
) -> tuple[Float[Array, "H W C"], Float[Array, "H W"]]:
    """Rasterize one set for one camera with gsplat.

    Covariances are passed, never quaternions, which gsplat would normalise. Releases up to 1.5.3 cap alpha at 0.999
    instead of 0.99 (see `alpha_cap`): for Gaussians of opacity over 0.99, images differ by at most 0.01. The opacity is
    not lowered to imitate the cap, since that would dim the flanks too. gsplat has no gradient in K: it is computed
    through the view matrix, see `without_k`.
    """
    camera = without_k(camera)
    width, height = camera.width, camera.height

    def draw(
        means: torch.Tensor,
        covariances: torch.Tensor,
        opacities: torch.Tensor,
        features: torch.Tensor,
        viewmat: torch.Tensor,
        k: torch.Tensor,
        colour: torch.Tensor,
        out: list[torch.Tensor] | None,
    ) -> Any:
        import torch
        from gsplat import rasterization

        picture, alpha, _ = rasterization(
            means=means,
            quats=None,
            scales=None,
            covars=covariances,
            opacities=opacities,
            colors=features,
            viewmats=viewmat[None],
            Ks=k[None],
            width=width,
            height=height,
            near_plane=NEAR,
            eps2d=DILATION,
            radius_clip=0.0,
            packed=False,
            rasterize_mode="classic",
            backgrounds=None,
        )
        picture, alpha = picture[0], alpha[0]
        if out is None:
            return picture + (1 - alpha) * colour, alpha[..., 0]
        # The background is laid behind into JAX's own memory: no copy of the picture is made.
        torch.addcmul(picture, 1 - alpha, colour, out=out[0])
        torch.mul(alpha[..., 0], 1, out=out[1])
        return out[0], out[1]

    finite = (
        jnp.isfinite(gaussians.means).all(-1)
        & jnp.isfinite(gaussians.covariances).all((-1, -2))
        & jnp.isfinite(gaussians.opacities)
        & jnp.isfinite(gaussians.features).all(-1)
    )
    # gsplat reads the upper triangle alone: made even first, both triangles get their half of the gradient, as on the CPU.
    symmetric = 0.5 * (gaussians.covariances + jnp.swapaxes(gaussians.covariances, -1, -2))
    channels = gaussians.features.shape[-1]
    shapes = (
        jax.ShapeDtypeStruct((height, width, channels), jnp.float32),
        jax.ShapeDtypeStruct((height, width), jnp.float32),
    )
    from bridge.autodiff import torch_function  # needs torch; this module does not

    call = torch_function(draw, output=shapes, in_place=True)
    return call(
        jnp.where(finite[:, None], gaussians.means, 0).astype(jnp.float32),
        jnp.where(finite[:, None, None], symmetric, jnp.eye(3)).astype(jnp.float32),
        jnp.where(finite, gaussians.opacities, 0).astype(jnp.float32),
        jnp.where(finite[:, None], gaussians.features, 0).astype(jnp.float32),
        camera.viewmat.astype(jnp.float32),
        camera.K.astype(jnp.float32),
        background.astype(jnp.float32),
    )


class GsplatBackend:
    """gsplat as a backend of `gagjax.splatting.rasterize`."""

    def unavailable(self) -> str | None:
        return why_not()

    def preferred(self) -> bool:
        return jax.default_backend() == "gpu" and loads()

    def rasterize(
        self, gaussians: Gaussians, camera: Camera, background: Float[AnyArray, "C"]
    ) -> tuple[Float[Array, "H W C"], Float[Array, "H W"]]:
        return rasterize_gsplat(gaussians, camera, background)
