"""A hand or a cup before the mouth: the mesh network draws a mouth on it all the same, but it does not look like one.

Mouths of one person, cut out where the landmarks say, look alike whatever they say; what covers one looks like none of
them.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from jaxtyping import Bool, Float, UInt8

from gagjax.tracking import points as numbering
from gagjax.tracking.faces import regions
from gagjax.tracking.faces.regions import Region

SIZE = 12
REFERENCES = 64
LEAST = 12  # mouths from which on one can be told from what covers it
_ROOM = 0.336  # side of the cut-out over that of the face's region
#: Likeness, as a part of the clip's usual one, below which a mouth is covered; and below which it is if it is flat, too.
_UNLIKE, _ODD, _FLAT = 0.45, 0.75, 0.25
_LIPS = numbering.IBUG[48:60]


def mouth(picture: UInt8[np.ndarray, "H W 3"], points: Float[np.ndarray, "478 3"]) -> UInt8[np.ndarray, "12 12 3"]:
    """The mouth's surroundings, upright.

    Args:
        picture: RGB.
        points: Landmarks, pixels.
    """
    centre, face = points[_LIPS, :2].mean(0), regions.of_landmarks(points)
    region = Region(float(centre[0]), float(centre[1]), _ROOM * face.side, face.angle)
    return regions.cut(picture, region, SIZE)


def covered(mouths: UInt8[np.ndarray, "T 12 12 3"]) -> Bool[np.ndarray, "T"]:
    """Which of one person's mouths are covered.

    Args:
        mouths: Of a shot, as `mouth` cuts them out.

    Returns:
        True where something is before the mouth; nowhere in a shot of few frames, or that is covered for the most part.
    """
    if len(mouths) < LEAST:
        return np.zeros(len(mouths), bool)
    looks, energy = _normalized(mouths)
    chosen = np.unique(np.linspace(0, len(mouths) - 1, REFERENCES).round().astype(int))
    likeness = np.median(looks @ looks[chosen].T, 1)
    return _unlike(likeness, energy, float(np.median(likeness)), float(np.median(energy)))


@dataclasses.dataclass
class CoverWatch:
    """The same for a stream: each mouth against those before it.

    Args:
        every: Once all are there, every how manieth mouth replaces the oldest one.
        least: Mouths from which on one can be told: more than of a whole shot, whose mouths are of all kinds.

    Example:
        >>> watch = CoverWatch()
        >>> watch(np.zeros((12, 12, 3), np.uint8))
        False
    """

    every: int = 8
    least: int = 25

    def __post_init__(self) -> None:
        self._looks: list[np.ndarray] = []
        self._energy: list[float] = []
        self._count = 0

    def __call__(self, mouth: UInt8[np.ndarray, "12 12 3"]) -> bool:
        """Whether something is before this mouth; it is remembered if not."""
        looks, energy = _normalized(mouth[None])
        if len(self._looks) >= self.least:
            known = np.stack(self._looks)
            usual = float(np.median(np.median(known @ known.T, 1)))
            if _unlike(np.median(looks @ known.T, 1), energy, usual, float(np.median(self._energy)))[0]:
                return True
        self._count += 1
        if len(self._looks) < REFERENCES or self._count % self.every == 0:
            self._looks, self._energy = self._looks[-REFERENCES + 1 :], self._energy[-REFERENCES + 1 :]
            self._looks.append(looks[0])
            self._energy.append(float(energy[0]))
        return False


def _normalized(mouths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mouths as vectors of length 1, brightness and colour taken out; and how much there is in their middles."""
    values = np.asarray(mouths, np.float32)
    middle = values[:, 3:9, 2:10]
    energy = (middle - middle.mean((1, 2), keepdims=True)).std((1, 2, 3))
    values = (values - values.mean((1, 2), keepdims=True)).reshape(len(values), -1)
    return values / np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-3), energy


def _unlike(likeness: np.ndarray, energy: np.ndarray, usual: float, usual_energy: float) -> np.ndarray:
    if usual <= 0:
        return np.zeros(len(likeness), bool)
    return (likeness < _UNLIKE * usual) | ((likeness < _ODD * usual) & (energy < _FLAT * usual_energy))
