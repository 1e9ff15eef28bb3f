"""From a picture to a sighting, by the tracker's networks and fit."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, UInt8

from gagjax.avatars.parameters import Parameters
from gagjax.avatars.portrait.observing.matting import refined
from gagjax.avatars.portrait.sighting import Marks, Sighting
from gagjax.camera import from_track
from gagjax.errors import InputError
from gagjax.track import Track
from gagjax.tracking import points as numbering
from gagjax.tracking.camera import Crop
from gagjax.tracking.fit.shot import Subject

SIZE = 512


class Observed(NamedTuple):
    """A picture and what the tracker found in it.

    Attributes:
        sighting: In the crop's pixels.
        crop: The square of the picture that the sighting is.
        track: The picture's track of one frame.
    """

    sighting: Sighting
    crop: Crop
    track: Track


def observe(
    picture: UInt8[np.ndarray, "H W 3"], subject: Subject, *, size: int = SIZE, path: Path | None = None
) -> Observed:
    """Find the face in a picture, fit the head to it, and cut the crop out.

    Args:
        picture: RGB.
        subject: The head model, made ready for fits.
        size: Width and height of the sighting.
        path: For messages.

    Raises:
        InputError: If no face is found, or the models are not installed.
    """
    from gagjax.tracking.clip import track_clip
    from gagjax.tracking.faces.following import Follower
    from gagjax.tracking.sources import Source

    path = path or Path("picture")
    look = Follower()(picture)
    if not np.isfinite(look.points[0, 0]):
        raise InputError("shows no face that is found", file=path, fix="Use a picture of one upright, uncovered face")
    height, width = picture.shape[:2]
    source = Source(path, "picture", width, height, 1, Fraction(25), (path,))
    clip = track_clip(subject, look.points[None], np.zeros(1, bool), source)
    crop = clip.shots[0].crop
    if crop is None:
        raise InputError("shows no face that is found", file=path)
    return Observed(sighted(picture, look.points, clip.track, 0, crop, subject, size=size), crop, clip.track)


def sighted(
    picture: UInt8[np.ndarray, "H W 3"],
    landmarks: Float[np.ndarray, "478 3"],
    track: Track,
    frame: int,
    crop: Crop,
    subject: Subject,
    *,
    size: int = SIZE,
) -> Sighting:
    """A frame of a tracked film as a sighting.

    Args:
        picture: The whole frame, RGB.
        landmarks: Its points in pixels.
        track: The film's track, in the crop's camera.
        frame: Which of its frames.
        crop: The shot's crop.
        subject: The head model that was fitted.
        size: Width and height of the sighting.
    """
    from gagjax.tracking.files import cropped
    from gagjax.tracking.matte import matte

    shape = np.zeros(0, np.float32) if track.shape is None else np.asarray(track.shape, np.float32)
    shape = shape if shape.ndim == 1 else shape[frame]
    parameters = Parameters.of(
        jnp.asarray(track.expression[frame]),
        jnp.asarray(track.jaw[frame]),
        jnp.asarray(track.eyes[frame]),
        shape=jnp.asarray(shape[: subject.model.shapes]),
        camera=from_track(jnp.asarray(track.transform[frame]), size),
    )
    plane = (np.asarray(landmarks, np.float64)[:, :2] - [crop.x, crop.y]) * size / crop.side
    embedding = subject.embedding
    photo = cropped(picture, crop, size)
    # The network sees 256 pixels whatever it is given: the crop shows it the head's outline in more of them.
    person = matte(photo)
    return Sighting(
        photo.astype(np.float32) / 255,
        refined(photo / np.float32(255), person) * _within(picture, crop, size),
        parameters,
        Marks(plane[embedding.numbers], np.asarray(embedding.faces), np.asarray(embedding.bary)),
        plane[[numbering.LEFT_PUPIL, numbering.RIGHT_PUPIL]],
    )


def _within(picture: np.ndarray, crop: Crop, size: int) -> Float[np.ndarray, "size size"]:
    """1 where a crop lies on the picture, 0 where it reaches beyond."""
    at = (np.arange(size) + 0.5) * crop.side / size
    rows, columns = crop.y + at, crop.x + at
    height, width = picture.shape[:2]
    inside = ((rows >= 0) & (rows < height))[:, None] & ((columns >= 0) & (columns < width))[None]
    return inside.astype(np.float32)
