"""`gagjax ablate`: what each enhancement does, alone and together."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from gagjax.errors import InputError


@dataclass
class Ablate:
    """Run nothing, each enhancement alone, all of them, and the original ones, and measure each against the truth.

    The driver "builtin" performs on the built-in head, with pictures. A track file is taken for the truth; noise in
    proportion to its own motion is added to it. Figures are means over clips and seeds with 95 % bootstrap intervals.
    Prints a table and writes it as CSV and as a report that opens offline.

    examples:
      gagjax ablate builtin -o ablation/
      gagjax ablate a.pkl b.pkl --seeds 8 -o ablation/
    """

    drivers: tyro.conf.Positional[tuple[str, ...]]
    """`builtin`, or tracks."""
    out: Annotated[Path, tyro.conf.arg(aliases=["-o"])] = Path("ablation")
    """Folder to write."""
    seeds: int = 3
    """Runs of the tracker on each clip; for `builtin`, performances."""
    frames: int = 75
    """Length of a built-in performance."""
    size: int = 128
    """Picture size for the built-in driver, pixels."""
    force: bool = False
    """Replace existing files of the folder."""

    def run(self) -> int:
        if not self.drivers:
            raise InputError("names no driver", field="drivers", fix="Pass builtin, or tracks")
        if not 1 <= self.seeds <= 100:
            raise InputError(f"is {self.seeds}", field="--seeds", fix="Use 1 to 100")
        if not 20 <= self.frames <= 5000:
            raise InputError(f"is {self.frames}", field="--frames", fix="Use 20 to 5000")
        if not 64 <= self.size <= 512:
            raise InputError(f"is {self.size}", field="--size", fix="Use 64 to 512 pixels")
        from gagjax.app.workflows import ablate
        from gagjax.io import atomic

        atomic.check(self.out, self.force, folder=True)
        clips = ablate.clips_of(self.drivers, self.seeds, self.frames)
        with atomic.output(self.out, self.force, folder=True) as folder:
            text = ablate.run(clips, folder, self.size)
        print(text)
        print(f"\n{self.out}: report.html, ablation.csv")
        return 0
