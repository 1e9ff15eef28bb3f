"""`gagjax ablate`: the effect of each enhancement, alone and combined."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from gagjax.errors import InputError


@dataclass
class Ablate:
    """Measure the effect of each enhancement against ground truth: none, each alone, all, and the original ones.

    The driver "builtin" is a simulated performance on the built-in head, with rendered frames. A track file is taken as
    ground truth, and noise proportional to its own motion is added to it; a video is tracked first, and its track is kept
    beside the output. Results are means over clips and seeds with
    95 % bootstrap intervals, printed as a table and written as CSV and as a self-contained HTML report.

    examples:
      gagjax ablate builtin -o ablation/
      gagjax ablate a.pkl b.pkl --seeds 8 -o ablation/
    """

    drivers: tyro.conf.Positional[tuple[str, ...]]
    """`builtin`, or track files, or videos."""
    out: Annotated[Path, tyro.conf.arg(aliases=["-o"])] = Path("ablation")
    """Output folder."""
    seeds: int = 3
    """Noise realisations per clip; for `builtin`, performances."""
    frames: int = 75
    """Length of a built-in performance, frames."""
    size: int = 128
    """Frame size for the built-in driver, pixels."""
    force_retrack: Annotated[bool, tyro.conf.arg(aliases=["-f"])] = False
    """Track videos again even if their tracks exist beside the output."""
    force: bool = False
    """Replace existing files in the folder."""

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
        from gagjax.app.workflows.track import is_film, tracked_first
        from gagjax.io import atomic

        atomic.check(self.out, self.force, folder=True)
        drivers = [
            str(tracked_first(Path(each), self.out, again=self.force_retrack)) if is_film(Path(each)) else each
            for each in self.drivers
        ]
        clips = ablate.clips_of(drivers, self.seeds, self.frames)
        with atomic.output(self.out, self.force, folder=True) as folder:
            text = ablate.run(clips, folder, self.size)
        print(text)
        print(f"\n{self.out}: report.html, ablation.csv")
        return 0
