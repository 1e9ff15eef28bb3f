"""What a track holds and how much it jitters, as text."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from gagjax.track import Track


def jitter(track: Track) -> dict[str, tuple[float, str]]:
    """How much each channel that moves jitters: the mean length of its change of speed, for each frame squared.

    Rotations are measured on the sphere, in degrees; frames that the tracker lost, and their neighbours, are left out.

    Returns:
        Name to value and unit; {} for fewer than three frames.
    """
    valid = np.asarray(track.valid)
    seen = valid[2:] & valid[1:-1] & valid[:-2]
    if not seen.any():
        return {}
    transform = np.asarray(track.transform, np.float64)
    found: dict[str, tuple[float, str]] = {
        "head rotation": (_of_rotations(transform[:, :, :3], seen), "deg"),
        "head position": (_of_vectors(transform[:, :, 3], seen), "units"),
        "expression": (_of_vectors(track.expression, seen), ""),
        "jaw": (np.degrees(_of_vectors(track.jaw, seen)), "deg"),
        "eyes": (np.degrees(_of_vectors(track.eyes, seen)), "deg"),
    }
    if track.neck is not None:
        found["neck"] = (np.degrees(_of_vectors(track.neck, seen)), "deg")
    for name, value in track.extra.items():
        if name in track.rotations:
            turning = _of_rotations(np.asarray(value, np.float64), seen)
            # The rotation that a camera was made of says nothing new.
            if not np.isclose(turning, found["head rotation"][0], rtol=1e-3):
                found[name] = (turning, "deg")
        else:
            found[name] = (_of_vectors(value, seen), "")
    # A channel that never moves has nothing to say.
    return {name: entry for name, entry in found.items() if entry[0] > 1e-9}


def table(before: Track, after: Track) -> str:
    """Jitter before and after, a line for each channel; for channels that moved before."""
    old, new = jitter(before), jitter(after)
    rows = [("jitter per frame²", "before", "after", "change")]
    for name, (value, unit) in old.items():
        now = new.get(name, (0.0, unit))[0]
        label = f"{name} ({unit})" if unit else name
        rows.append((label, f"{value:.4f}", f"{now:.4f}", f"{100 * (now / value - 1):+.0f} %"))
    if len(rows) == 1:
        return "nothing moves in this track"
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(
            [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        )
        for row in rows
    )


def gaps(track: Track) -> str:
    """Which frames are missing, as text: "12-14, 40"; "" for none."""
    missing = np.flatnonzero(~np.asarray(track.valid))
    if missing.size == 0:
        return ""
    runs = np.split(missing, np.flatnonzero(np.diff(missing) > 1) + 1)
    texts = [str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs]
    return ", ".join(texts[:8]) + (f" and {len(texts) - 8} more" if len(texts) > 8 else "")


def describe(track: Track) -> Iterator[tuple[str, str]]:
    """A track as pairs of a word and what it says."""
    rate = f"{track.fps} fps" if track.fps.denominator == 1 else f"{track.fps} = {float(track.fps):.3f} fps"
    yield "frames", f"{len(track)} at {rate}, {track.seconds:.2f} s"
    missing = int((~np.asarray(track.valid)).sum())
    yield "missing", f"{missing} frames: {gaps(track)}" if missing else "none"
    if track.names is not None:
        yield "names", track.names[0] if len(track) == 1 else f"{track.names[0]} ... {track.names[-1]}"
    channels = {
        name: value for name, value in track.channels._asdict().items() if name != "extra" and value is not None
    }
    yield "channels", ", ".join(f"{name} {_shape(value)}" for name, value in (channels | dict(track.extra)).items())
    if track.shape is not None:
        one = track.shape.ndim == 1
        yield "shape", "one for the clip" if one else "one for each frame"
    still = [name for name, value in channels.items() if not np.any(np.asarray(value))]
    if still:
        yield "all zero", ", ".join(still)
    for name, (value, unit) in jitter(track).items():
        yield f"jitter, {name}", f"{value:.4f} {unit or 'units'} per frame²"


def _shape(value: Any) -> str:
    return "×".join(map(str, np.shape(value)[1:]))


def _of_vectors(value: Any, seen: np.ndarray) -> float:
    flat = np.asarray(value, np.float64).reshape(len(value), -1)
    return float(np.linalg.norm(np.diff(flat, 2, axis=0), axis=1)[seen].mean())


def _of_rotations(rotation: np.ndarray, seen: np.ndarray) -> float:
    from scipy.spatial.transform import Rotation

    # From frame to frame, in the world's axes: R_next R_now^T.
    steps = Rotation.from_matrix(rotation[1:] @ rotation[:-1].transpose(0, 2, 1)).as_rotvec()
    return float(np.degrees(np.linalg.norm(np.diff(steps, axis=0), axis=1)[seen].mean()))
