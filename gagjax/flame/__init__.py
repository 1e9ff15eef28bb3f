"""The FLAME head layer in JAX: vertices, joints, landmarks and normals; file loaders; a built-in head."""

from __future__ import annotations

import importlib
from typing import Any

from gagjax.flame.model import FlameModel, eye_centres, joints, landmarks, normals, on_surface, vertices

# The built-in head takes a moment to make its arrays' code ready, and few callers read FLAME files.
_LAZY = {"CONTROLS": "head", "synthetic": "head"}
__all__ = [
    "CONTROLS",
    "FlameModel",
    "eye_centres",
    "joints",
    "landmarks",
    "normals",
    "on_surface",
    "synthetic",
    "vertices",
]


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(importlib.import_module(f"{__name__}.{_LAZY[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
