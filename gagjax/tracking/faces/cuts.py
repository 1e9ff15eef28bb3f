"""Cuts, found on the pictures themselves: a new face in the old one's place moves no landmark far."""

from __future__ import annotations

import dataclasses

import numpy as np
from jaxtyping import UInt8
from PIL import Image

SIZE = 24


@dataclasses.dataclass
class CutFinder:
    """Tells, picture by picture, where a film cuts.

    A picture begins a shot where its thumbnail is far from the one before, both absolutely and against what changes
    from picture to picture lately (a pan, a shaking camera, flicker).

    Args:
        least: Mean absolute difference of thumbnails, of values in [0, 1], below which nothing is a cut.
        factor: How many times the recent median difference a cut is.
        memory: How many differences are remembered.

    Example:
        >>> finder = CutFinder()
        >>> black, white = np.zeros((40, 40, 3), np.uint8), np.full((40, 40, 3), 255, np.uint8)
        >>> [finder(picture) for picture in (black, black, white, white)]
        [False, False, True, False]
    """

    least: float = 0.08
    factor: float = 5.0
    memory: int = 12
    before: np.ndarray | None = None
    recent: tuple[float, ...] = ()

    def __call__(self, picture: UInt8[np.ndarray, "H W 3"]) -> bool:
        """Whether a shot begins with this picture."""
        small = Image.fromarray(picture).resize((SIZE, SIZE), Image.Resampling.BOX, reducing_gap=2.0)
        now = np.asarray(small, np.float32) / 255
        before, self.before = self.before, now
        if before is None:
            return False
        # A change of brightness alone (a flash, fading) is no cut: compare what is left after a gain.
        gain = float((before * now).sum() / max((before**2).sum(), 1e-6))
        change = min(float(np.abs(now - before).mean()), float(np.abs(now - gain * before).mean()) * 1.5)
        usual = float(np.median(self.recent)) if self.recent else 0.0
        found = change > max(self.least, self.factor * usual)
        self.recent = () if found else (*self.recent[-self.memory + 1 :], change)
        return found
