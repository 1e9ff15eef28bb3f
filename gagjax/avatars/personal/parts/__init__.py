"""What can be added to a fit: parts, each with weights of its own, a place in the drawing and a loss."""

from gagjax.avatars.personal.parts.base import Part, Scene, Shown, View
from gagjax.avatars.personal.parts.dressed import DressedAvatar

__all__ = ["DressedAvatar", "Part", "Scene", "Shown", "View"]
