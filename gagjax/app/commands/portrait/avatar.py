"""`gagjax avatar`: one photo in, an avatar that looks like the person out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from gagjax.errors import InputError


@dataclass
class Avatar:
    """Build an avatar of the person in a photo, without a network: the photo's pixels become Gaussians on a head.

    The front view is the photo; sides that it does not show are mirrored or filled in. Good for turns of about 30
    degrees. Needs the tracker's models that `gagjax models` fetches once. From a film, the best frame is taken.

    examples:
      gagjax avatar portrait.jpg -o avatar/
      gagjax reenact --avatar avatar/ -d clip/ -o result.mp4 --enhanced
      gagjax view clip/ --avatar avatar/
    """

    photo: tyro.conf.Positional[Path]
    """A picture of one upright face, or a film of it."""
    out: Annotated[Path, tyro.conf.arg(aliases=["-o"])]
    """The folder to write: the avatar, its background, and avatar.ply for splat viewers."""
    flame: Path | None = None
    """A FLAME file; the built-in head otherwise."""
    size: int = 512
    """Pixels of the head's crop: every pixel of the person becomes a Gaussian."""
    force: bool = False
    """Replace an avatar that is there."""

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
