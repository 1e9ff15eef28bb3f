"""The FLAME head layer in JAX: vertices, joints, landmarks and normals; file loaders; a built-in head."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from gagjax.flame.contour import dynamic_landmarks, yaw_of
from gagjax.flame.eye_aspect_ratio import lid_aperture, lip_aperture
from gagjax.flame.loader import load, save
from gagjax.flame.model import FlameModel, eye_centres, joints, landmarks, normals, on_surface, vertices
from gagjax.flame.subset import at_landmarks, restrict

if TYPE_CHECKING:
    from gagjax.flame.builtin_head import CONTROLS, builtin

__all__ = [
    "CONTROLS",
    "FlameModel",
    "at_landmarks",
    "builtin",
    "dynamic_landmarks",
    "eye_centres",
    "joints",
    "landmarks",
    "lid_aperture",
    "lip_aperture",
    "load",
    "normals",
    "on_surface",
    "restrict",
    "save",
    "vertices",
    "yaw_of",
]


def __getattr__(name: str) -> Any:
    # The built-in head is slow to import, and few callers need it.
    if name in ("CONTROLS", "builtin"):
        return getattr(importlib.import_module("gagjax.flame.builtin_head"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
