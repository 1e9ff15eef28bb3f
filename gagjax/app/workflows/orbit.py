"""A camera that orbits the head of a track."""

from __future__ import annotations

import dataclasses

import numpy as np

from gagjax.track import Track
from gagjax.typing import AnyArray


def orbit(track: Track, degrees: float, *, seconds: float = 4.0) -> Track:
    """Swing the camera of a track from side to side around the head.

    Args:
        track: The performance.
        degrees: Amplitude to either side, degrees.
        seconds: Period of one swing.
    """
    time = np.arange(len(track)) / float(track.fps)
    angle = np.radians(degrees) * np.sin(2 * np.pi * time / seconds)
    cosine, sine, zero, one = np.cos(angle), np.sin(angle), np.zeros_like(angle), np.ones_like(angle)
    turn = np.stack([np.stack(row, -1) for row in ((cosine, zero, -sine), (zero, one, zero), (sine, zero, cosine))], -2)
    transform = np.array(track.transform, np.float32)
    # Points are row vectors, X R + t, so the turn about the head's own vertical axis is applied first.
    transform[..., :3] = turn @ transform[..., :3]
    return dataclasses.replace(track, transform=transform)


def held(track: Track, seconds: float) -> Track:
    """Hold the first frame of a track for some seconds."""
    count = max(2, round(seconds * float(track.fps)))

    def first(x: AnyArray) -> np.ndarray:
        return np.repeat(np.asarray(x)[:1], count, 0)

    return dataclasses.replace(
        track,
        expression=first(track.expression),
        jaw=first(track.jaw),
        eyes=first(track.eyes),
        transform=first(track.transform),
        neck=None if track.neck is None else first(track.neck),
        shape=None if track.shape is None else (track.shape if np.ndim(track.shape) == 1 else first(track.shape)),
        extra={name: first(x) for name, x in track.extra.items()},
        valid=np.ones(count, bool),
        names=None,
    )
