"""Gaussian avatars that follow a FLAME mesh: the built-in one, and those in GaussianAvatars' files.

An avatar is anything with `model`, a FlameModel, and `gaussians(parameters)`, which gives Gaussians in GAGAvatar's
units (five to a metre) for one frame's `Parameters`: expression, pose, eyes, neck, shape and camera. `personal` fits
avatars to a clip of one person.
"""

from __future__ import annotations

from gagjax.avatars.avatar import UNITS, MeshAvatar
from gagjax.avatars.binding import Binding
from gagjax.avatars.builtin.avatar import builtin
from gagjax.avatars.files import load, save
from gagjax.avatars.parameters import Parameters
from gagjax.avatars.rendering import BACKGROUND, frames, picture, render
from gagjax.protocols import Avatar

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
