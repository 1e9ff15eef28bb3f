"""`gagjax avatar`: build an avatar of a person from one photo."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from gagjax.errors import InputError


@dataclass
class Avatar:
    """Build an avatar of the person in a photo, without a network: the photo's pixels become Gaussians on a head.

    The front view reproduces the photo; sides not visible in it are mirrored or filled in. Suitable for head turns of
    about 30 degrees. Needs the tracking models that `gagjax models` fetches once. From a video, the best frame is used.

    examples:
      gagjax avatar portrait.jpg -o avatar/
      gagjax reenact --avatar avatar/ -d clip/ -o result.mp4 --enhanced
      gagjax view clip/ --avatar avatar/
    """

    photo: tyro.conf.Positional[Path]
    """A photo of one upright face, or a video of it."""
    out: Annotated[Path, tyro.conf.arg(aliases=["-o"])]
    """Output folder: the avatar, its background, and avatar.ply for splat viewers."""
    flame: Path | None = None
    """A FLAME file; the built-in head by default."""
    size: int = 512
    """Size of the head crop, pixels; each pixel of the person becomes a Gaussian."""
    force: bool = False
    """Replace an existing avatar."""

    def run(self) -> int:
        if not 128 <= self.size <= 1024:
            raise InputError(f"is {self.size}", field="--size", fix="Use 128 to 1024 pixels")
        from gagjax.app.workflows.avatar import make
        from gagjax.avatars.portrait import files
        from gagjax.io import atomic

        atomic.check(self.out / files.JSON, self.force)
        made = make(self.photo, flame=self.flame, size=self.size)
        files.save(self.out, made.avatar, made.background, made.head, builtin=self.flame is None, force=self.force)
        where = f", frame {made.frame}" if made.frame else ""
        print(f"{self.out}: {len(made.avatar)} Gaussians, built from one picture ({self.photo}{where}), no network")
        return 0
