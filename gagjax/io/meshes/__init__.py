"""Meshes and Gaussians for other programs: glTF with a rig and an animation, OBJ and PLY one file a frame."""

from gagjax.io.meshes.head import Motion, motion_of, write_head
from gagjax.io.meshes.obj import write_obj
from gagjax.io.meshes.splats import write_splats

__all__ = ["Motion", "motion_of", "write_head", "write_obj", "write_splats"]
