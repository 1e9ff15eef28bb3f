"""The GAGAvatar network in PyTorch, key for key with its official checkpoint, and the avatar that it drives.

Encode once, drive many: `GAGAvatar.encode` turns a portrait into an `Identity` (its Gaussians, which can be saved),
`Avatar` puts a head model beside it, and every frame is then only 5023 moved points, one rasterization and one decode.
Nothing is ever downloaded: all that inference needs is in the checkpoint.

Source: Chu & Harada, "Generalizable and Animatable Gaussian Head Avatar", NeurIPS 2024.
"""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any

_MODULES = (
    "avatar",
    "checkpoint",
    "config",
    "decoder",
    "dpt",
    "handover",
    "heads",
    "identity",
    "lifting",
    "losses",
    "model",
    "portraits",
    "vit",
)
_NAMES = {
    "Avatar": "avatar",
    "Config": "config",
    "GAGAvatar": "model",
    "Identity": "identity",
}
__all__ = [*_MODULES, *_NAMES]


def __getattr__(name: str) -> Any:
    if name not in _NAMES and name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if importlib.util.find_spec("torch") is None:
        raise ImportError("GAGAvatar runs on PyTorch, which is not installed: pip install 'gagjax[torch]'")
    if name in _NAMES:
        return getattr(importlib.import_module(f"{__name__}.{_NAMES[name]}"), name)
    return importlib.import_module(f"{__name__}.{name}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
