"""`gagjax transfer`: one person's expression on another's face."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from gagjax.errors import InputError


@dataclass
class Transfer:
    """Put the expression of one person on the identity of another: both may be a photo, a film or a track.

    The source gives expression and jaw, relative to its own neutral face; the target gives the shape of its head, its
    neutral face, and how its lids and lips close. A single picture has no neutral of its own: there FLAME's is taken.
    Films and photos are tracked first; the networks come with `gagjax models`.

    The result is a track of the target, for every command and format, or its mesh (.glb, or a folder of .obj with
    --meshes). To see it on the target's own photo: gagjax reenact -i PHOTO -d result.npz -o result.mp4.

    examples:
      gagjax transfer actor.mp4 portrait.jpg -o acted.npz
      gagjax transfer smile.jpg portrait.jpg -o smiling.glb
      gagjax transfer clip/ other_clip/ -o acted/ --gain 1.2 --pose target
    """

    source: tyro.conf.Positional[Path]
    """Whose expression: a track, a film or a photo."""
    target: tyro.conf.Positional[Path]
    """Whose face: a track, a film or a photo."""
    out: Annotated[Path, tyro.conf.arg(aliases=["-o"])]
    """Output: .npz, .pkl or a folder (a track); .glb, or a folder with --meshes (meshes)."""
    gain: float = 1.0
    """Amplitude of the expression; 1 keeps the source's."""
    pose: Literal["source", "target"] = "source"
    """Whose head pose and camera; the target's first frame is held where it is a photo or the shorter one."""
    eyes: Literal["source", "target"] = "source"
    """Whose gaze."""
    closure: bool = True
    """Let the target's lids and lips close when the source's do, though the two faces differ."""
    absolute: bool = False
    """Copy the expression as it is, without taking the source's neutral face away."""
    meshes: bool = False
    """Write a folder of .obj, one a frame, instead of a track."""
    flame: Path | None = None
    """The FLAME file of both; the built-in head by default."""
    fps: str | None = None
    """Frame rate to assume if the source has none; 25 by default."""
    force_retrack: Annotated[bool, tyro.conf.arg(aliases=["-f"])] = False
    """Track films and photos again even if their tracks are beside the output."""
    force: bool = False
    """Replace an existing output."""

    def run(self) -> int:
        if not 0 <= self.gain <= 5:
            raise InputError(f"is {self.gain:g}", field="--gain", fix="Use 0 to 5")
        from gagjax.app.workflows.motion import transfer

        for line in transfer.run(self):
            print(line)
        return 0
