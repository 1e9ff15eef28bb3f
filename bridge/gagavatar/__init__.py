"""The GAGAvatar network in PyTorch, with the keys of its official checkpoint, and the avatar based on it.

Encode once, drive many: `GAGAvatar.encode` turns a portrait into an `Identity` (its Gaussians, which can be saved),
`Avatar` combines it with a head model, and every frame then needs only 5023 moved points, one rasterization and one
decoding. Nothing is ever downloaded: inference needs only the checkpoint.

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
    "fine_tuning",
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
