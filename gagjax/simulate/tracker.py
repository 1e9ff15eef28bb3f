"""Simulated errors of a monocular head tracker: noise, outliers, lost frames."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from gagjax.errors import InputError
from gagjax.track import Track
from gagjax.typing import Values


@dataclasses.dataclass(frozen=True)
class TrackerNoise:
    """Standard deviations of a tracker's error, white and coloured noise together.

    The defaults are those of a per-frame fit to one camera at an ordinary resolution. Trackers with a learned, smooth
    motion space (LivePortrait) stay below a fifth of them.

    Args:
        expression: For each coefficient that moves (unit prior variance).
        jaw: Radians.
        eyes: Radians.
        rotation: Radians, about each axis.
        translation: GAGAvatar units: left, up, forward. Depth has the largest error.
        coloured: Fraction of the variance that drifts (a first-order process) instead of being independent per frame.
        memory: Time constant of the drift, seconds.
        outlier: Size of an outlier in standard deviations.
    """

    expression: float = 0.06
    jaw: float = 0.015
    eyes: float = 0.02
    rotation: float = 0.008
    translation: tuple[float, float, float] = (0.012, 0.012, 0.05)
    coloured: float = 0.3
    memory: float = 0.2
    outlier: float = 10.0


def observe(
    track: Track,
    seed: int = 0,
    *,
    noise: TrackerNoise | None = None,
    scale: float = 1.0,
    outliers: float = 0.02,
    dropped: float = 0.05,
    missing: str = "hold",
) -> Track:
    """A track as a head tracker would estimate it.

    Args:
        track: Ground truth.
        seed: Each seed gives a different run of the tracker.
        noise: Levels of each field; None uses the defaults of `TrackerNoise`.
        scale: Multiplies all levels; 0 leaves only outliers and lost frames.
        outliers: Fraction of frames that are grossly wrong, isolated and in all fields at once.
        dropped: Fraction of frames that are lost, in bursts of one to four. The first frame is never lost.
        missing: Value of a lost frame: "hold", the last tracked frame, as trackers write, or "nan".

    Returns:
        The noisy track, `valid` False for lost frames, `source` "simulated tracker".

    Raises:
        InputError: If `missing` is neither, or a fraction is not between 0 and 1.

    Example:
        >>> from gagjax.simulate import driver
        >>> seen = observe(driver(200), seed=1)
        >>> int((~seen.valid).sum())
        10
    """
    if missing not in ("hold", "nan"):
        raise InputError(f"is {missing!r}", field="missing", fix='Use "hold" or "nan"')
    for name, share in (("outliers", outliers), ("dropped", dropped)):
        if not 0 <= share < 1:
            raise InputError(f"is {share}, not a share of the frames", field=name, fix="Use 0 up to below 1")
    level = noise or TrackerNoise()
    frames, dt = len(track), float(1 / track.fps)
    generator = np.random.default_rng(seed)
    fields, choices = generator.spawn(2)
    wrong = _scattered(choices, frames, outliers)
    lost = _bursts(choices, frames, dropped, avoid=wrong)

    def error(columns: int, deviation: Values | Sequence[float]) -> np.ndarray:
        unit = _noise(fields, frames, columns, level, dt) * scale
        # Outliers lie on a shell, not near zero: wrong estimates, not just noisier ones.
        way = fields.normal(size=(frames, columns))
        far = level.outlier * np.sign(way) * (0.6 + 0.4 * fields.uniform(size=way.shape))
        return np.where(wrong[:, None], far, unit) * np.asarray(deviation)

    expression = np.asarray(track.expression, np.float64)
    # Columns that never move get no noise: a tracker that emits 50 coefficients leaves the others at zero.
    moving = np.ptp(expression, axis=0) > 0
    transform = np.asarray(track.transform, np.float64)
    turn = Rotation.from_rotvec(error(3, level.rotation)).as_matrix()
    changes: dict[str, Any] = {
        "expression": expression + error(expression.shape[1], level.expression) * moving,
        "jaw": np.asarray(track.jaw) + error(3, level.jaw),
        "eyes": np.asarray(track.eyes) + error(6, level.eyes),
        "transform": np.concatenate(
            [turn @ transform[:, :, :3], (transform[:, :, 3] + error(3, level.translation))[:, :, None]], 2
        ),
    }
    if track.neck is not None:
        changes["neck"] = np.asarray(track.neck) + error(3, level.rotation)
    # The last tracked frame, for each frame.
    last = np.maximum.accumulate(np.where(lost, 0, np.arange(frames)))
    for name, value in changes.items():
        value = value[last]
        if missing == "nan":
            value[lost] = np.nan
        changes[name] = value
    return dataclasses.replace(track, **changes, valid=np.asarray(track.valid) & ~lost, source="simulated tracker")


def _noise(generator: np.random.Generator, frames: int, columns: int, level: TrackerNoise, dt: float) -> np.ndarray:
    """Noise of unit variance: a white and a first-order part."""
    white = generator.normal(size=(frames, columns))
    kept = np.exp(-dt / level.memory)
    drive = generator.normal(size=(frames, columns)) * np.sqrt(1 - kept**2)
    drift = np.empty_like(drive)
    now = generator.normal(size=columns)
    for i in range(frames):
        now = kept * now + drive[i]
        drift[i] = now
    return np.sqrt(1 - level.coloured) * white + np.sqrt(level.coloured) * drift


def _scattered(generator: np.random.Generator, frames: int, share: float) -> np.ndarray:
    """Isolated frames, none of them the first or adjacent to another."""
    chosen = np.zeros(frames, bool)
    for i in generator.permutation(np.arange(1, frames)):
        if chosen.sum() >= round(share * frames):
            break
        chosen[i] = not chosen[max(i - 1, 0) : i + 2].any()
    return chosen


def _bursts(generator: np.random.Generator, frames: int, share: float, avoid: np.ndarray) -> np.ndarray:
    """Runs of one to four frames, a fraction `share` of all, excluding the first frame and `avoid`."""
    wanted, lost = round(share * frames), np.zeros(frames, bool)
    for start in generator.permutation(np.arange(1, frames)):
        length = min(int(generator.integers(1, 5)), wanted - int(lost.sum()))
        if length < 1:
            break
        around = slice(max(start - 1, 1), start + length + 1)
        if start + length <= frames and not (lost | avoid)[around].any():
            lost[start : start + length] = True
    return lost
