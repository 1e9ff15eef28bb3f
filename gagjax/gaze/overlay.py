"""Gaze overlay on frames, for inspection."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from PIL import Image, ImageDraw

from gagjax.errors import InputError
from gagjax.gaze.geometry import project
from gagjax.typing import AnyArray

COLOURS = ((255, 196, 0), (0, 200, 255))  # left eye, right eye


def draw_gaze(
    frames: AnyArray,
    centres: Float[AnyArray, "T 2 3"] | Float[AnyArray, "2 3"],
    directions: Float[AnyArray, "T 2 3"],
    transform: Float[AnyArray, "T 3 4"] | Float[AnyArray, "3 4"],
    length: float = 0.06,
) -> np.ndarray:
    """Draw a line from each eye along its gaze.

    Args:
        frames: RGB, (T, H, W, 3), uint8 or floats in [0, 1].
        centres: Eye centres in the head's world, (T, 2, 3) or (2, 3), metres.
        directions: Unit gaze directions in the same frame (`gaze_of`), (T, 2, 3).
        transform: The track's `[R | t]`, (T, 3, 4), or (3, 4) for all frames.
        length: Length of the line, metres. A gaze into the lens is a dot.

    Returns:
        New frames of the same type.

    Raises:
        InputError: If the frames are not (T, H, W, 3).
    """
    pictures = np.array(frames)
    if pictures.ndim != 4 or pictures.shape[-1] != 3:
        raise InputError(f"has shape {pictures.shape}", field="frames", fix="Pass (T, H, W, 3)")
    gazes = np.asarray(directions, np.float32)
    start = np.broadcast_to(np.asarray(centres, np.float32), gazes.shape)
    ends = np.concatenate([start + 0.013 * gazes, start + length * gazes], 1)
    places = np.asarray(project(ends, transform)[0], np.float64) * [pictures.shape[2], pictures.shape[1]]
    floats = pictures.dtype != np.uint8
    thick = max(1, pictures.shape[1] // 170)
    for t, frame in enumerate(pictures):
        whole = np.round(np.clip(frame, 0, 1) * 255).astype(np.uint8) if floats else frame
        picture = Image.fromarray(whole)
        pen = ImageDraw.Draw(picture)
        for eye in range(2):
            a, b = places[t, eye], places[t, 2 + eye]
            if not np.isfinite([a, b]).all():
                continue
            pen.line([tuple(a), tuple(b)], fill=COLOURS[eye], width=thick)
            pen.ellipse([*(b - 2 * thick), *(b + 2 * thick)], fill=COLOURS[eye])
        drawn = np.asarray(picture)
        pictures[t] = drawn.astype(pictures.dtype) / 255 if floats else drawn
    return pictures
