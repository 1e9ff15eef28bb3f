"""`gagjax demo`: the full pipeline on built-in data, measured against ground truth."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from gagjax.errors import InputError


@dataclass
class Demo:
    """Run the full pipeline on a simulated performance with known ground truth.

    A built-in head talks, looks around, blinks and smiles; a simulated tracker adds noise, outliers and lost frames;
    the default stack enhances the result. Writes a folder with comparison.mp4 (truth, noisy, enhanced), curves.png,
    report.html, poster.png and the tracks, and prints the errors against ground truth.

    examples:
      gagjax demo
      gagjax demo -o out/ --seconds 10 --seed 4
    """

    out: Annotated[Path, tyro.conf.arg(aliases=["-o"])] = Path("out")
    """Output folder."""
    seconds: float = 6.0
    """Length of the clip, seconds."""
    size: int = 384
    """Width and height of each rendered frame, pixels."""
    seed: int = 0
    """Seed of the performance and of the tracker's noise."""
    force: bool = False
    """Replace an existing folder."""

    def run(self) -> int:
        frames = round(self.seconds * 25)
        if not 15 <= frames <= 25 * 600:
            raise InputError(f"is {self.seconds:g}", field="--seconds", fix="Use 0.6 to 600 seconds")
        if not 64 <= self.size <= 1024:
            raise InputError(f"is {self.size}", field="--size", fix="Use 64 to 1024 pixels")
        from gagjax.app.workflows import demo
        from gagjax.io import atomic

        atomic.check(self.out, self.force, folder=True)
        started = time.perf_counter()
        with atomic.output(self.out, self.force, folder=True) as folder:
            text = demo.make(folder, frames, self.size, self.seed)
        print(text)
        print(f"\ndone in {time.perf_counter() - started:.0f} s. Look at")
        steady = self.out / "steady.npz"
        for name, what in (
            ("comparison.mp4", "truth, noisy track and enhanced, side by side"),
            ("report.html", "the same with every figure explained, in one file"),
            ("curves.png", "the curves before and after, with the truth"),
            ("noisy.npz", f"the noisy track; next: gagjax enhance {self.out / 'noisy.npz'} -o {steady}"),
        ):
            print(f"  {self.out / name!s:<24}  {what}")
        return 0
