"""Cut detection on the images, since landmarks move little if a new face replaces the old one in place."""

from __future__ import annotations

import dataclasses

import numpy as np
from jaxtyping import UInt8
from PIL import Image

SIZE = 24


@dataclasses.dataclass
class CutFinder:
    """Detects the cuts of a video, frame by frame.

    A frame begins a shot if its thumbnail differs much from the previous one, both absolutely and relative to recent
    changes between frames (a pan, a shaking camera, flicker).

    Args:
        least: Minimum mean absolute difference of thumbnails at a cut, for values in [0, 1].
        factor: Minimum ratio of a cut's difference to the recent median.
        memory: Number of recent differences to keep.

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
        """Whether a shot begins with this frame."""
        small = Image.fromarray(picture).resize((SIZE, SIZE), Image.Resampling.BOX, reducing_gap=2.0)
        now = np.asarray(small, np.float32) / 255
        before, self.before = self.before, now
        if before is None:
            return False
        # A pure change of brightness (a flash, a fade) is not a cut: compare after compensating a gain.
        gain = float((before * now).sum() / max((before**2).sum(), 1e-6))
        change = min(float(np.abs(now - before).mean()), float(np.abs(now - gain * before).mean()) * 1.5)
        usual = float(np.median(self.recent)) if self.recent else 0.0
        found = change > max(self.least, self.factor * usual)
        self.recent = () if found else (*self.recent[-self.memory + 1 :], change)
        return found
