"""The channels of a track with their units, and their jitter: the common definition for all commands."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from gagjax.conventions import rotations
from gagjax.track import Track


class Channel(NamedTuple):
    """One channel of a track.

    Attributes:
        values: (T, C); rotations as rotation vectors in degrees, relative to the first frame.
        unit: "deg", "units" (GAGAvatar's) or "" for coefficients.
        rotations: (T, 3, 3) where the channel is a rotation, else None.
    """

    values: Float[np.ndarray, "T C"]
    unit: str
    rotations: Float[np.ndarray, "T 3 3"] | None = None


def channels_of(track: Track) -> dict[str, Channel]:
    """All channels of a track by name: head rotation and position, expression, jaw, eyes, neck, and extra channels."""
    transform = np.asarray(track.transform, np.float64)
    found = {
        "head rotation": _rotation(transform[..., :3]),
        "head position": Channel(transform[..., 3], "units"),
        "expression": Channel(np.asarray(track.expression, np.float64), ""),
        "jaw": Channel(np.rad2deg(np.asarray(track.jaw, np.float64)), "deg"),
        "eyes": Channel(np.rad2deg(np.asarray(track.eyes, np.float64)), "deg"),
    }
    if track.neck is not None:
        found["neck"] = Channel(np.rad2deg(np.asarray(track.neck, np.float64)), "deg")
    for name, extra in track.extra.items():
        value = np.asarray(extra, np.float64)
        found[name] = _rotation(value) if name in track.rotations else Channel(value.reshape(len(track), -1), "")
    return found


def channel_jitter(channel: Channel, valid: Bool[np.ndarray, "T"]) -> float:
    """The mean length of a channel's second difference, per frame squared; the change of angular velocity for rotations.

    Args:
        channel: From `channels_of`.
        valid: (T,) frames that were tracked; differences that involve any other frame are excluded.

    Returns:
        In the channel's unit per frame squared; NaN without three consecutive tracked frames.
    """
    seen = valid[2:] & valid[1:-1] & valid[:-2]
    if not seen.any():
        return float("nan")
    if channel.rotations is None:
        change = np.diff(channel.values, 2, axis=0)
    else:
        # Frame-to-frame rotation in world axes: R_next R_now^T.
        step = channel.rotations[1:] @ channel.rotations[:-1].transpose(0, 2, 1)
        change = np.rad2deg(np.diff(rotations.vectors(step), axis=0))
    return float(np.linalg.norm(change, axis=1)[seen].mean())


def _rotation(value: Float[np.ndarray, "T 3 3"]) -> Channel:
    from_first = rotations.vectors(value[:1].transpose(0, 2, 1) @ value)
    return Channel(np.rad2deg(from_first), "deg", value)
