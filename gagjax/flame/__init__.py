"""The FLAME head layer in JAX: vertices, joints, landmarks and normals; file loaders; a built-in head."""

from typing import TYPE_CHECKING

from gagjax.process import deferred

if TYPE_CHECKING:
    from gagjax.flame.builtin_head import CONTROLS, builtin
    from gagjax.flame.contour import dynamic_landmarks, yaw_of
    from gagjax.flame.eye_aspect_ratio import lid_aperture, lip_aperture
    from gagjax.flame.loader import load, save
    from gagjax.flame.model import FlameModel, eye_centres, joints, landmarks, normals, on_surface, vertices
    from gagjax.flame.subset import at_landmarks, restrict
else:
    __getattr__, __dir__ = deferred.names(
        __name__,
        {
            "builtin_head": ("CONTROLS", "builtin"),
            "contour": ("dynamic_landmarks", "yaw_of"),
            "eye_aspect_ratio": ("lid_aperture", "lip_aperture"),
            "loader": ("load", "save"),
            "model": ("FlameModel", "eye_centres", "joints", "landmarks", "normals", "on_surface", "vertices"),
            "subset": ("at_landmarks", "restrict"),
        },
    )

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
