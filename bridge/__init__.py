"""bridge: where JAX and PyTorch meet, and where Gaussians become pictures.

Nothing here imports torch until a torch thing is asked for: the CPU rasterizer and the built-in avatar run without it.
"""

from __future__ import annotations

import importlib
from typing import Any

_MODULES = ("autodiff", "avatars", "camera", "dlpack", "gagavatar", "perceptual", "rasterizer")
_NAMES = {
    "BridgeError": "errors",
    "Camera": "camera",
    "Gaussians": "gaussians",
    "WriteAfterHandOverError": "errors",
    "aligned_empty": "dlpack",
    "configure_memory": "dlpack",
    "images_to_jax": "dlpack",
    "images_to_torch": "dlpack",
    "jax_function": "autodiff",
    "lend": "lending",
    "rasterize": "rasterizer",
    "to_jax": "dlpack",
    "to_torch": "dlpack",
    "torch_function": "autodiff",
}
__all__ = [*_MODULES, *_NAMES]


def __getattr__(name: str) -> Any:
    if name in _NAMES:
        return getattr(importlib.import_module(f"{__name__}.{_NAMES[name]}"), name)
    if name in _MODULES:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
