"""A stand-in for gsplat on a CPU: `rasterization` with gsplat 1.5.3's documented signature, for tests of what calls it.

Projection is written here in torch, from the formulas, so that its gradients are torch's own; pixels are composited by
the numba kernels of the CPU rasterizer. What only a CUDA build can do is refused. `installed` puts it where `import
gsplat` finds it, and under the name "gsplat" among the rasterizer's backends.
"""

from __future__ import annotations

import contextlib
import importlib.machinery
import sys
import types
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gagjax.splatting import backends, cpu

VERSION = "1.6.0"  # the release that caps alpha at 0.99, as the kernels here do


def rasterization(
    means: Tensor,
    quats: Tensor | None,
    scales: Tensor | None,
    opacities: Tensor,
    colors: Tensor,
    viewmats: Tensor,
    Ks: Tensor,
    width: int,
    height: int,
    near_plane: float = 0.01,
    far_plane: float = 1e10,
    radius_clip: float = 0.0,
    eps2d: float = 0.3,
    sh_degree: int | None = None,
    packed: bool = True,
    tile_size: int = 16,
    backgrounds: Tensor | None = None,
    render_mode: str = "RGB",
    sparse_grad: bool = False,
    absgrad: bool = False,
    rasterize_mode: str = "classic",
    channel_chunk: int = 32,
    distributed: bool = False,
    camera_model: str = "pinhole",
    segmented: bool = False,
    covars: Tensor | None = None,
    with_ut: bool = False,
    with_eval3d: bool = False,
) -> tuple[Tensor, Tensor, dict[str, Any]]:
    """Draw (N, D) colours for C cameras: pictures (C, H, W, D), alphas (C, H, W, 1), and an empty dictionary."""
    count, cameras = len(means), len(viewmats)
    for name, tensor, shape in (
        ("means", means, (count, 3)),
        ("opacities", opacities, (count,)),
        ("colors", colors, (count, colors.shape[-1])),
        ("viewmats", viewmats, (cameras, 4, 4)),
        ("Ks", Ks, (cameras, 3, 3)),
    ):
        assert tuple(tensor.shape) == shape, f"{name}: {tuple(tensor.shape)}"
        assert tensor.dtype == torch.float32, f"{name}: {tensor.dtype}"
    refused = (sh_degree, sparse_grad, absgrad, distributed, segmented, with_ut, with_eval3d, radius_clip)
    assert not any(refused), "not in the stand-in"
    assert (render_mode, rasterize_mode, camera_model) == ("RGB", "classic", "pinhole"), "not in the stand-in"
    if covars is None:
        assert quats is not None and scales is not None
        covars = _covariances(quats, scales)
    else:
        assert tuple(covars.shape) == (count, 3, 3), f"covars: {tuple(covars.shape)}"
        # As gsplat: the upper triangle alone is read, and gets the whole gradient.
        xx, xy, xz, yy, yz, zz = (covars[:, i, j] for i, j in ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2)))
        covars = torch.stack([torch.stack(row, -1) for row in ((xx, xy, xz), (xy, yy, yz), (xz, yz, zz))], -2)
    pictures, alphas = [], []
    for i in range(cameras):
        flat = _project(means, covars, viewmats[i], Ks[i], width, height, near_plane, far_plane, eps2d)
        colour = colors.new_zeros(colors.shape[-1]) if backgrounds is None else backgrounds[i]
        picture, light = _Composite.apply(width, height, *flat[:2], opacities * flat[3], colors, colour, flat[2])
        pictures.append(picture)
        alphas.append((1 - light)[..., None])
    return torch.stack(pictures), torch.stack(alphas), {}


def _covariances(quats: Tensor, scales: Tensor) -> Tensor:
    """Of normalised quaternions, as gsplat takes them."""
    w, x, y, z = torch.nn.functional.normalize(quats, dim=-1).unbind(-1)
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    half = torch.stack([torch.stack(row, -1) for row in rows], -2) * scales[:, None, :]
    return half @ half.transpose(-1, -2)


def _project(
    means: Tensor,
    covars: Tensor,
    viewmat: Tensor,
    k: Tensor,
    width: int,
    height: int,
    near: float,
    far: float,
    eps2d: float,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Centres (N, 2), conics (N, 3), depths (N,) and a 0/1 mask (N,) of what is in front. No gradient reaches K."""
    k = k.detach()
    seen = means @ viewmat[:3, :3].T + viewmat[:3, 3]
    drawn = (seen[:, 2] > near) & (seen[:, 2] < far)
    z = torch.where(drawn, seen[:, 2], torch.ones_like(seen[:, 2]))
    fx, fy, cx, cy = k[0, 0], k[1, 1], k[0, 2], k[1, 2]
    # The slope is held within 1.3 half fields of view, measured from the middle of the picture.
    x_middle, y_middle = (0.5 * width - cx) / fx, (0.5 * height - cy) / fy
    x_reach, y_reach = 0.65 * width / fx, 0.65 * height / fy
    u = torch.minimum(torch.maximum(seen[:, 0] / z, x_middle - x_reach), x_middle + x_reach)
    v = torch.minimum(torch.maximum(seen[:, 1] / z, y_middle - y_reach), y_middle + y_reach)
    none = torch.zeros_like(z)
    jacobian = torch.stack(
        [torch.stack([fx / z, none, -fx * u / z], -1), torch.stack([none, fy / z, -fy * v / z], -1)], 1
    )
    to_pixels = jacobian @ viewmat[:3, :3]
    flat = to_pixels @ covars @ to_pixels.transpose(-1, -2)
    xx, xy, yy = flat[:, 0, 0] + eps2d, flat[:, 0, 1], flat[:, 1, 1] + eps2d
    determinant = xx * yy - xy * xy
    drawn = drawn & (determinant > 0)
    inverse = torch.where(drawn, 1 / torch.where(drawn, determinant, torch.ones_like(determinant)), none)
    conics = torch.stack([yy * inverse, -xy * inverse, xx * inverse], -1)
    centres = torch.stack([fx * seen[:, 0] / z + cx, fy * seen[:, 1] / z + cy], -1)
    return centres, conics, torch.where(drawn, z, none).detach(), drawn.to(z.dtype)


class _Composite(torch.autograd.Function):
    """The numba kernels as a torch function; no JAX, which may not be called inside JAX's callbacks."""

    @staticmethod
    def forward(ctx: Any, width: int, height: int, *arguments: Tensor) -> Any:
        ctx.size = width, height
        ctx.save_for_backward(*arguments)
        arrays = _arrays(arguments)
        outputs = np.empty((height, width, arrays[3].shape[1]), np.float32), np.empty((height, width), np.float32)
        cpu._forward(outputs, *arrays)
        return tuple(torch.from_numpy(value) for value in outputs)

    @staticmethod
    def backward(ctx: Any, *cotangents: Tensor) -> Any:
        arrays = _arrays(ctx.saved_tensors)
        outputs = [np.empty_like(value) for value in arrays[:5]]
        cpu._backward(outputs, *arrays, *_arrays(cotangents))
        return None, None, *(torch.from_numpy(value) for value in outputs), None


def _arrays(tensors: Any) -> list[np.ndarray]:
    return [np.ascontiguousarray(tensor.detach().numpy()) for tensor in tensors]


class Backend:
    """The adapter of `bridge.gsplat`, without its question whether a card is there."""

    def unavailable(self) -> str | None:
        return None

    def preferred(self) -> bool:
        return True

    def rasterize(self, gaussians: Any, camera: Any, background: Any) -> Any:
        from bridge.gsplat import rasterize_gsplat

        return rasterize_gsplat(gaussians, camera, background)


@contextlib.contextmanager
def installed() -> Iterator[None]:
    """While it lasts, `import gsplat` gives the stand-in, and the backend "gsplat" runs and is preferred."""
    import bridge  # noqa: F401 - registers the real one, which the stand-in replaces

    module = types.ModuleType("gsplat")
    module.__spec__ = importlib.machinery.ModuleSpec("gsplat", None)
    module.__version__ = VERSION  # type: ignore[attr-defined]
    module.rasterization = rasterization  # type: ignore[attr-defined]
    before, registered = sys.modules.get("gsplat"), dict(backends._BACKENDS)
    sys.modules["gsplat"] = module
    backends.register("gsplat", Backend())
    try:
        yield
    finally:
        backends._BACKENDS.clear()
        backends._BACKENDS.update(registered)
        if before is None:
            del sys.modules["gsplat"]
        else:
            sys.modules["gsplat"] = before
