"""`gagjax track`: track a face in a video or an image."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from gagjax.errors import InputError


@dataclass
class Track:
    """Track a face in a video, an image or a folder of images: head, jaw, expression, eyes and camera.

    Needs the networks that `gagjax models` fetches once. Give the same command again to resume an interrupted run. The
    suffix of the output selects the format: .npz is gagjax's own format and keeps landmarks and cameras, a folder can
    drive the original GAGAvatar, .pt is GAGAvatar's tracked portrait of one image. The track is not smoothed; use
    `gagjax enhance` for that.

    examples:
      gagjax track film.mp4 -o film.npz --look look.mp4
      gagjax track film.mp4 -o driver/
      gagjax track portrait.jpg -o tracked.pt
    """

    source: tyro.conf.Positional[Path]
    """A video, an image, or a folder of images."""
    out: Annotated[Path, tyro.conf.arg(aliases=["-o"])]
    """Output: .npz, a folder, or .pt for an image."""
    flame: Path | None = None
    """FLAME_with_eye.pt or generic_model.pkl; the built-in head by default."""
    face: str = "largest"
    """Face to track: largest, or its index from the left (0, 1, ...)."""
    focal: float | None = None
    """Focal length in units of the longer image side, if known (35 mm film: millimetres / 36); estimated otherwise."""
    fps: str | None = None
    """Frame rate of a folder of images; 25 by default."""
    look: Path | None = None
    """Also write a video with landmarks, mesh and gaze drawn over the frames."""
    force: bool = False
    """Replace existing outputs."""

    def run(self) -> int:
        from gagjax.app.workflows.track import report, track_file

        if self.face != "largest" and not self.face.isdigit():
            raise InputError(f"is {self.face!r}", field="--face", fix="Use largest, or a number from 0")
        if self.focal is not None and not 0.2 <= self.focal <= 50:
            raise InputError(f"is {self.focal}", field="--focal", fix="Use longer picture sides: 0.5 to 10")
        clip = track_file(
            self.source,
            self.out,
            flame=self.flame,
            face=self.face if self.face == "largest" else int(self.face),
            focal=self.focal,
            fps=self.fps,
            look=self.look,
            force=self.force,
        )
        print(report(clip))
        print(f"{self.out}: {len(clip.track)} frames at {clip.track.fps} fps, {int(clip.track.valid.sum())} valid")
        return 0
