"""`gagjax draw`: what a track says, drawn over its frames."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from gagjax.errors import InputError


@dataclass
class Draw:
    """Draw a track over its frames: the mesh, the landmarks, where each eye looks, and the eyes' masks.

    To see whether a track lies on the face before you use it. Frames are looked for in this order: --over; the frames that
    the tracker keeps beside the track (img_lmdb); none, and then the drawing is on plain grey. A film or a photo is tracked
    first, as by `gagjax track`.

      mesh       wires of the fitted head, blue
      landmarks  68 points of the head, green, and the tracker's own where the file has them, white
      gaze       a ray from each eye: the subject's left yellow, the right cyan; a dot is a gaze into the lens
      masks      the part of each eye that the detail stage sharpens, in the same colours

    A red frame is one that the tracker lost. A ray that drifts off the face, or a mesh that slides, is the track's error.

    examples:
      gagjax draw film.mp4 -o look.mp4
      gagjax draw clip/ -o look.mp4 --show gaze masks
      gagjax draw film.npz --over film.mp4 -o look.mp4
      gagjax draw portrait.jpg -o look.png
    """

    source: tyro.conf.Positional[Path]
    """A track, or a film or photo to track."""
    out: Annotated[Path, tyro.conf.arg(aliases=["-o"])]
    """Output: a video, .png for a single frame, or a folder of pictures."""
    over: Path | None = None
    """The film that the track is of, whole frames; the track must hold its camera (VHAP's, LAM's, gagjax's .npz)."""
    show: tuple[Literal["mesh", "landmarks", "gaze", "masks"], ...] = ("mesh", "landmarks", "gaze", "masks")
    """What to draw."""
    flame: Path | None = None
    """The FLAME file of the track; the built-in head by default."""
    size: int = 512
    """Width and height where there are no frames, pixels."""
    side_by_side: bool = False
    """Show the frames without the drawing beside it."""
    fps: str | None = None
    """Frame rate to assume if the file has none; 25 by default."""
    force: bool = False
    """Replace an existing output."""

    def run(self) -> int:
        if not self.show:
            raise InputError("names nothing", field="--show", fix="Use mesh, landmarks, gaze, masks")
        if not 64 <= self.size <= 2048:
            raise InputError(f"is {self.size}", field="--size", fix="Use 64 to 2048 pixels")
        from gagjax.app.workflows.motion import draw

        print(draw.run(self))
        return 0
