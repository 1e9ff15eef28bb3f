"""Personal avatars: animatable Gaussian heads fitted to a tracked clip.

Two models, both started from the person's FLAME mesh: `appearance` (Gaussians on the mesh, looks that depend on the
frame) and `deformation` (a neutral head and a field that moves it). `training.AvatarFit` fits either, and the track with it;
`files` keeps them.
"""

from gagjax.avatars.personal import appearance, canonical, clip, deformation, files, training

__all__ = ["appearance", "canonical", "clip", "deformation", "files", "training"]
