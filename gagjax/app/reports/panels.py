"""Labelled frames side by side."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import UInt8

from gagjax.typing import AnyArray

_GAP = 4
_PAPER, _INK, _ALARM = (18, 20, 24), (236, 238, 242), (255, 122, 89)


def beside(
    frames: Sequence[Any], labels: Sequence[str], notes: Sequence[str] | None = None
) -> UInt8[np.ndarray, "H W 3"]:
    """Frames in a row, labelled.

    Args:
        frames: (H, W, 3) each, uint8 or floats in [0, 1]; of equal height.
        labels: A label for each.
        notes: A remark for each, shown to the right of the label in another colour; "" for none.

    Returns:
        The row, uint8; width and height are even, as H.264 requires.
    """
    notes = notes or [""] * len(frames)
    columns: list[np.ndarray] = []
    for frame, label, note in zip(frames, labels, notes, strict=True):
        pixels = as_bytes(frame)
        columns += [
            np.concatenate([_bar(pixels.shape[1], pixels.shape[0], label, note), pixels]),
            _gap(pixels.shape[0]),
        ]
    row = np.concatenate(columns[:-1], axis=1)
    return np.pad(row, ((0, row.shape[0] % 2), (0, row.shape[1] % 2), (0, 0)), mode="edge")


def tiled(frames: Sequence[Any]) -> UInt8[np.ndarray, "H W 3"]:
    """Arrange frames of one size in a grid, row by row; the last row is padded with grey."""
    columns = math.ceil(math.sqrt(len(frames)))
    grey = np.full_like(frames[0], 128)
    padded = [*frames, *[grey] * (-len(frames) % columns)]
    rows = [np.concatenate(padded[k : k + columns], axis=1) for k in range(0, len(padded), columns)]
    return np.concatenate(rows)


def split(before: AnyArray, after: AnyArray, share: float = 0.5) -> UInt8[np.ndarray, "H W 3"]:
    """One frame with `before` left of a dividing line and `after` right of it.

    Args:
        before: (H, W, 3), uint8 or floats in [0, 1].
        after: The same shape.
        share: Position of the line, as a fraction of the width.
    """
    left, out = as_bytes(before), as_bytes(after).copy()
    width = out.shape[1]
    at, half = round(share * width), max(1, width // 512)
    out[:, :at] = left[:, :at]
    out[:, max(0, at - half) : at + half] = _INK
    return out


def as_bytes(frame: AnyArray) -> UInt8[np.ndarray, "..."]:
    """A frame as uint8; floats are clipped to [0, 1]."""
    frame = np.asarray(frame)
    if frame.dtype == np.uint8:
        return frame
    return np.clip(np.round(frame * 255), 0, 255).astype(np.uint8)


def resized(frame: AnyArray, height: int) -> UInt8[np.ndarray, "H W 3"]:
    """Resize a frame to a height, keeping its aspect ratio."""
    from PIL import Image

    pixels = as_bytes(frame)
    width = max(1, round(pixels.shape[1] * height / pixels.shape[0]))
    if pixels.shape[:2] == (height, width):
        return pixels
    return np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.LANCZOS))


def _bar_height(height: int) -> int:
    return max(12, round(height / 13) // 2 * 2)


def _gap(height: int) -> np.ndarray:
    return np.full((height + _bar_height(height), _GAP, 3), _PAPER, np.uint8)


@functools.lru_cache(maxsize=64)
def _bar(width: int, height: int, label: str, note: str) -> np.ndarray:
    from PIL import Image, ImageDraw, ImageFont

    tall = _bar_height(height)
    image = Image.new("RGB", (width, tall), _PAPER)
    draw = ImageDraw.Draw(image)
    font: Any = ImageFont.load_default(size=tall * 0.62)
    # Shrink a long label before cutting it.
    while draw.textlength(label + "  " + note, font=font) > width - 8 and font.size > 6:
        font = ImageFont.load_default(size=font.size - 1)
    draw.text((tall * 0.3, tall / 2), label, fill=_INK, font=font, anchor="lm")
    if note:
        draw.text((width - tall * 0.3, tall / 2), note, fill=_ALARM, font=font, anchor="rm")
    return np.asarray(image)
