"""Gaussian avatars that follow a FLAME mesh: the built-in one, and those in GaussianAvatars' files.

An avatar is anything with `model`, a FlameModel, and `gaussians(parameters)`, which gives Gaussians in GAGAvatar's
units (five to a metre) for one frame's `Parameters`: expression, pose, eyes, neck, shape and camera. `personal` fits
avatars to a clip of one person.
"""

from __future__ import annotations

from bridge.avatars.avatar import UNITS, Avatar, MeshAvatar
from bridge.avatars.binding import Binding
from bridge.avatars.builtin import builtin
from bridge.avatars.files import load, save
from bridge.avatars.parameters import Parameters
from bridge.avatars.rendering import BACKGROUND, frames, picture, render

__all__ = [
    "BACKGROUND",
    "UNITS",
    "Avatar",
    "Binding",
    "MeshAvatar",
    "Parameters",
    "builtin",
    "frames",
    "load",
    "picture",
    "render",
    "save",
]
