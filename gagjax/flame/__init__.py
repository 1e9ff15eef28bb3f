"""The FLAME head layer in JAX: vertices, joints, landmarks and normals; file loaders; a built-in head."""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import Any

from gagjax.flame.aperture import lid_aperture, lip_aperture
from gagjax.flame.contour import dynamic_landmarks, yaw_of
from gagjax.flame.loader import load, save
from gagjax.flame.model import FlameModel, eye_centres, joints, landmarks, normals, on_surface, vertices
from gagjax.flame.subset import at_landmarks, restrict

__all__ = [
    "CONTROLS",
    "FlameModel",
    "at_landmarks",
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
    "synthetic",
    "vertices",
    "yaw_of",
]


def _head(name: str) -> Any:
    # The built-in head takes a moment to import, and few callers need it.
    return getattr(importlib.import_module(f"{__name__}.synthetic"), name)


class _Package(ModuleType):
    """This package with `synthetic` the function, although a subpackage of that name makes it.

    Importing a subpackage sets it as an attribute of its parent; a property without effect on setting keeps ours.
    """

    @property
    def synthetic(self) -> Any:
        return _head("synthetic")

    @synthetic.setter
    def synthetic(self, value: Any) -> None:
        pass

    @property
    def CONTROLS(self) -> dict[str, int]:
        return _head("CONTROLS")


sys.modules[__name__].__class__ = _Package
