"""Avatars from one photo, without a network: the photo's pixels become Gaussians on the person's head mesh.

`build` constructs one from a `Sighting` (a photo with fitted head parameters); `save` and `load` store it in a folder.
"""

from __future__ import annotations

from gagjax.avatars.portrait.avatar import Layer, PortraitAvatar
from gagjax.avatars.portrait.build import build
from gagjax.avatars.portrait.sighting import Sighting

__all__ = ["Layer", "PortraitAvatar", "Sighting", "build"]
