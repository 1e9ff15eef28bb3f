"""Personal avatars: animatable Gaussian heads fitted to a tracked clip.

Two models, both initialised from the person's FLAME mesh: `appearance` (Gaussians on the mesh, frame-dependent
appearance) and `deformation` (a neutral head and a deformation field). `training.AvatarFit` fits either jointly with
the track; `files` stores them.
"""

from gagjax.avatars.personal import appearance, canonical, clip, deformation, files, training

__all__ = ["appearance", "canonical", "clip", "deformation", "files", "training"]
