"""`gagjax fit`: an animatable Gaussian head from a tracked clip of one person."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from gagjax.errors import InputError


@dataclass
class Fit:
    """Fit a personal avatar to a clip, and correct the clip's track on the way.

    CLIP is a folder with the pictures (frames/, images/, img_lmdb/ or one video; square, one a frame of the track) and
    the track (track.npz, or what GAGAvatar_track or VHAP write). The result is a folder: the avatar, the corrected
    track, pictures of the progress. A fit that was stopped goes on where it was with the same command.

    models:
      appearance  Gaussians on the mesh; colour, place and width depend on pose and expression
      field       a neutral head, moved by a field of expression and pose

    examples:
      gagjax fit clip/ -o avatar/
      gagjax fit clip/ -o avatar/ --flame FLAME_with_eye.pt --size 256 --gaussians 12000
      gagjax reenact --avatar avatar/ -d driver.npz -o result.mp4 --enhanced
    """

    clip: tyro.conf.Positional[Path]
    """The folder with pictures and track."""
    out: Annotated[Path, tyro.conf.arg(aliases=["-o"])]
    """The folder to write."""
    flame: Path | None = None
    """The FLAME file that the track is in; without it, the built-in head."""
    head_seed: int = 0
    """Which built-in head, where no FLAME file is given."""
    model: Literal["appearance", "field"] = "appearance"
    """Which kind of avatar."""
    blend: Literal["linear", "sigmoid"] = "linear"
    """How the field's two branches share the head."""
    channels: Literal[3, 32] = 3
    """Feature channels of each of the field's Gaussians; 32 add a small network that turns them into the picture."""
    upscale: Literal[1, 2, 4] = 1
    """Render the field's features at 1/N of the picture's size and let that network upsample them."""
    size: int = 128
    """Pictures are fitted at this size, pixels."""
    gaussians: int = 8000
    """Upper limit on the number of Gaussians."""
    steps: int = 3000
    """Optimiser steps."""
    motion: bool = True
    """Correct the track as well."""
    hold_out: int = 8
    """Hold out every N-th frame for measuring; 0 fits all frames."""
    pictures: int = 500
    """Steps between pictures of the progress; 0 for none."""
    seed: int = 0
    """Seed of the initial weights and of the order of frames."""
    fps: float | None = None
    """Frame rate, where the track holds none (25 otherwise)."""
    force: bool = False
    """Replace an existing avatar."""

    def run(self) -> int:
        for name, value, least, most in (
            ("--size", self.size, 32, 1024),
            ("--gaussians", self.gaussians, 100, 200_000),
            ("--steps", self.steps, 1, 1_000_000),
            ("--hold-out", self.hold_out, 0, 1_000_000),
            ("--pictures", self.pictures, 0, 1_000_000),
            ("--head-seed", self.head_seed, 0, 2**32 - 1),
            ("--seed", self.seed, 0, 2**32 - 1),
        ):
            if not least <= value <= most:
                raise InputError(f"is {value}", field=name, fix=f"Use {least} to {most}")
        if self.model != "field" and (self.channels, self.upscale) != (3, 1):
            raise InputError("are for the field", field="--channels and --upscale", fix="Pass --model field")
        if self.size % self.upscale:
            raise InputError(f"is no multiple of {self.upscale}", field="--size", fix="Choose another, or --upscale 1")
        if self.hold_out == 1:
            raise InputError("leaves no frame to learn from", field="--hold-out", fix="Use 0, or 2 and more")
        from gagjax.app.workflows.fit import FitOptions, fit

        print(fit(FitOptions(**vars(self))))
        return 0
