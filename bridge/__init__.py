"""bridge: exchange between JAX and PyTorch without silent copies.

torch is imported only when needed. The rasterizer and the avatars of gagjax are re-exported here, with gsplat
registered as a backend of the rasterizer.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from bridge.gsplat import GsplatBackend
from gagjax.splatting import backends

if TYPE_CHECKING:
    from bridge import autodiff, dlpack, gagavatar, gsplat, ownership, perceptual
    from bridge.autodiff import jax_function, torch_function
    from bridge.dlpack import aligned_empty, configure_memory, images_to_jax, images_to_torch, to_jax, to_torch
    from bridge.errors import BridgeError, MissingTorchError, WriteAfterHandOverError
    from bridge.ownership import lend
    from gagjax import avatars, camera
    from gagjax.camera import Camera
    from gagjax.splatting import Gaussians, rasterize

backends.register("gsplat", GsplatBackend())

#: Where each public name lives; a module where the value is None.
_HOMES = {
    "BridgeError": "bridge.errors",
    "Camera": "gagjax.camera",
    "Gaussians": "gagjax.splatting",
    "MissingTorchError": "bridge.errors",
    "WriteAfterHandOverError": "bridge.errors",
    "aligned_empty": "bridge.dlpack",
    "autodiff": None,
    "avatars": "gagjax",
    "camera": "gagjax",
    "configure_memory": "bridge.dlpack",
    "dlpack": None,
    "gagavatar": None,
    "gsplat": None,
    "images_to_jax": "bridge.dlpack",
    "images_to_torch": "bridge.dlpack",
    "jax_function": "bridge.autodiff",
    "lend": "bridge.ownership",
    "ownership": None,
    "perceptual": None,
    "rasterize": "gagjax.splatting",
    "to_jax": "bridge.dlpack",
    "to_torch": "bridge.dlpack",
    "torch_function": "bridge.autodiff",
}
# Listed for editors and type checkers, which do not run this file; a test checks that it equals the table above.
__all__ = [
    "BridgeError",
    "Camera",
    "Gaussians",
    "MissingTorchError",
    "WriteAfterHandOverError",
    "aligned_empty",
    "autodiff",
    "avatars",
    "camera",
    "configure_memory",
    "dlpack",
    "gagavatar",
    "gsplat",
    "images_to_jax",
    "images_to_torch",
    "jax_function",
    "lend",
    "ownership",
    "perceptual",
    "rasterize",
    "to_jax",
    "to_torch",
    "torch_function",
]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = _HOMES[name]
    if name == "perceptual":
        from bridge.errors import require_torch

        require_torch("bridge.perceptual")
    if home is None:
        return importlib.import_module(f"{__name__}.{name}")
    return getattr(importlib.import_module(home), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
