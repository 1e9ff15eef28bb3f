"""Avatars from one photo, without a network: the photo's pixels become Gaussians on the person's head mesh.

`build` makes one from a `Sighting` (a photo with the head's parameters in it); `save` and `load` keep it in a folder.
"""

from __future__ import annotations

from gagjax.avatars.portrait.avatar import Layer, PortraitAvatar
from gagjax.avatars.portrait.build import build
from gagjax.avatars.portrait.sighting import Sighting

__all__ = ["Layer", "PortraitAvatar", "Sighting", "build"]
