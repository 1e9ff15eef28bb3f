"""`gagjax export`: a track's mesh or an avatar's Gaussians as files for other programs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from gagjax.errors import InputError


@dataclass
class Export:
    """Write a track's head as a mesh, or an avatar's Gaussians, for modelling programs and splat viewers.

    The suffix of the output selects what is written:

      .glb       the head with its rig: morph targets for the expression, joints for neck, jaw and eyes, the clip as an
                 animation, and the camera. Opens in Blender, three.js, Unreal, Unity.
      .obj       one frame's mesh; --frame selects it
      .ply       one frame's Gaussians, for SuperSplat, Brush and other splat viewers
      a folder   one file a frame: meshes with --format obj, Gaussians with --format ply

    Lengths are metres, y is up. The head moves before a camera at rest, as in the film; --head-still turns that around.
    An avatar without a track is written at rest.

    examples:
      gagjax export clip/ -o clip.glb
      gagjax export clip/ -o meshes/ --format obj --flame FLAME_with_eye.pt
      gagjax export clip/ --avatar avatar/ -o splats/ --format ply
      gagjax export avatar/ -o avatar.ply
    """

    source: tyro.conf.Positional[Path]
    """A track; or an avatar (folder or .ply), for that avatar at rest."""
    out: Annotated[Path, tyro.conf.arg(aliases=["-o"])]
    """Output: .glb, .obj, .ply, or a folder."""
    avatar: Path | None = None
    """Whose Gaussians the track drives: an avatar of `gagjax avatar` or `gagjax fit`, or GaussianAvatars' .ply; the
    built-in avatar by default."""
    flame: Path | None = None
    """The FLAME file of the track or avatar; the built-in head by default."""
    format: Literal["obj", "ply"] | None = None
    """What the files of a folder are."""
    frame: int | None = None
    """Write this frame alone, counted from 0."""
    every: int = 1
    """Write every n-th frame; the frame rate of a .glb falls with it."""
    head_still: bool = False
    """Keep the head where it is and move the camera around it."""
    fps: str | None = None
    """Frame rate to assume if the file has none; 25 by default."""
    force: bool = False
    """Replace an existing output."""

    def run(self) -> int:
        suffix = self.out.suffix.lower()
        if suffix not in ("", ".glb", ".obj", ".ply"):
            raise InputError(
                f"is of no kind that is written ({suffix})", file=self.out, fix="Use .glb, .obj, .ply or a folder"
            )
        if not suffix and self.format is None:
            raise InputError("is a folder", file=self.out, fix="Say what goes into it: --format obj or --format ply")
        if suffix and self.format is not None and suffix != f".{self.format}":
            raise InputError(f"is {self.format}, the output {suffix}", field="--format", fix="Leave it out")
        if not 1 <= self.every <= 10_000:
            raise InputError(f"is {self.every}", field="--every", fix="Use 1 or more")
        if self.frame is not None and self.frame < 0:
            raise InputError(f"is {self.frame}", field="--frame", fix="Count from 0")
        from gagjax.app.workflows.motion import export
        from gagjax.io import atomic

        atomic.check(self.out, self.force, folder=not suffix)
        kind = suffix[1:] or str(self.format)
        job = export.Job(
            self.source, self.out, kind, self.avatar, self.flame, self.frame, self.every, self.head_still, self.fps
        )
        print(export.run(job, self.force))
        return 0
