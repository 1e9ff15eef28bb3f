"""The square in which a tracked head is shown: gagjax's tracking keeps it beside the camera that filmed the whole picture.

`tracking.crop` in our own `.npz` holds corner and side in pixels, a row a frame.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from jaxtyping import Float

from gagjax import camera
from gagjax.io.formats.origin import of
from gagjax.track import Track

CROP = "tracking.crop"


def crop_of(track: Track) -> Float[np.ndarray, "T 3"] | None:
    """The crop of every frame, by the file that the track was read from.

    Args:
        track: A track.

    Returns:
        Corner x, y and side in pixels, (T, 3), NaN where a frame has none; None where the file says nothing of crops.
    """
    origin = of(track, "gagjax")
    held = None if origin is None else origin.content["arrays"].get(CROP)
    if origin is None or held is None or held.ndim != 2 or held.shape[1] != 3 or held.dtype.kind != "f":
        return None
    frames = np.where(origin.frames < len(held), origin.frames, -1)
    found = np.where(frames[:, None] < 0, np.nan, np.asarray(held, np.float64)[np.maximum(frames, 0)])
    return np.where(found[:, 2:] > 0, found, np.nan)


def in_crop(track: Track) -> Track:
    """A tracked film as GAGAvatar's camera sees the head, cut out of the picture.

    Args:
        track: A track, as it was read from a file of `gagjax track`, or enhanced since.

    Returns:
        The track in GAGAvatar's camera; the same track where it has no crop, or no lens of its own.
    """
    crop = None if track.intrinsics is None else crop_of(track)
    if crop is None or track.intrinsics is None or not np.isfinite(crop).any():
        return track
    # A frame without a crop is shown in the nearest one before it, or the first.
    known = np.isfinite(crop).all(1)
    at = np.maximum.accumulate(np.where(known, np.arange(len(known)), -1))
    crop = crop[np.where(at < 0, np.argmax(known), at)]
    transform = camera.in_crop(np.asarray(track.transform), track.intrinsics, crop)
    return dataclasses.replace(track, transform=transform.astype(np.float32), intrinsics=None)
