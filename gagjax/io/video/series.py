"""Outputs without audio: a GIF, or a folder of PNG images."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import av
import numpy as np
from jaxtyping import UInt8
from PIL import Image

from gagjax.io import atomic

_HUNDREDTH = Fraction(1, 100)  # GIF's clock
_NAME = re.compile(r"\d{6}\.png")


def write_gif(path: Path, frames: Iterable[tuple[UInt8[np.ndarray, "H W 3"], Fraction]], *, force: bool) -> int:
    """Write a GIF: each frame has its own dithered palette of 256 colours and is timed to a hundredth of a second.

    Args:
        path: The output.
        frames: (H, W, 3) images, each with its presentation time in seconds.
        force: Replace an existing output.

    Returns:
        The number of frames written; a frame in the same hundredth as its successor is dropped.
    """
    count = 0
    with atomic.output(path, force) as temporary, av.open(str(temporary.resolve()), "w", format="gif") as output:
        stream = None
        for pixels, tick in _on_clock(frames):
            if stream is None:
                stream = output.add_stream("gif", rate=100)
                stream.height, stream.width = pixels.shape[:2]
                stream.pix_fmt = "pal8"
                stream.codec_context.time_base = _HUNDREDTH
            frame = av.VideoFrame.from_ndarray(cast(Any, _palettized(pixels)), "pal8")  # PyAV's stubs lack pairs
            frame.pts, frame.time_base = tick, _HUNDREDTH
            output.mux(stream.encode(frame))
            count += 1
        if stream is not None:
            output.mux(stream.encode())
    return count


def write_pictures(folder: Path, frames: Iterable[UInt8[np.ndarray, "H W 3"]], *, force: bool) -> int:
    """Write a folder of PNG images, 000000.png onwards.

    Args:
        folder: The output. In an existing folder, images of an earlier run are replaced and other files kept.
        frames: (H, W, 3) each.
        force: Write into an existing folder.

    Returns:
        The number of images written.
    """
    count = 0
    with atomic.output(folder, force, folder=True) as temporary:
        for pixels in frames:
            Image.fromarray(pixels).save(temporary / f"{count:06d}.png")
            count += 1
    for old in folder.iterdir():
        if _NAME.fullmatch(old.name) and int(old.stem) >= count:
            old.unlink()
    return count


def _on_clock(
    frames: Iterable[tuple[UInt8[np.ndarray, "H W 3"], Fraction]],
) -> Iterator[tuple[UInt8[np.ndarray, "H W 3"], int]]:
    """Frames at whole hundredths of a second, the last one where several coincide."""
    waiting = None
    for pixels, seconds in frames:
        tick = round(seconds / _HUNDREDTH)
        if waiting is not None and tick > waiting[1]:
            yield waiting
        waiting = (pixels, tick if waiting is None else max(tick, waiting[1]))
    if waiting is not None:
        yield waiting


def _palettized(pixels: UInt8[np.ndarray, "H W 3"]) -> tuple[np.ndarray, np.ndarray]:
    """Indices (H, W) and colours (256, 4), alpha first."""
    image = Image.fromarray(pixels).quantize(256, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    dithered = Image.fromarray(pixels).quantize(palette=image, dither=Image.Dither.FLOYDSTEINBERG)
    colours = np.zeros((256, 4), np.uint8)
    colours[:, 0] = 255
    known = np.asarray(dithered.getpalette() or [], np.uint8).reshape(-1, 3)[:256]
    colours[: len(known), 1:] = known
    return np.ascontiguousarray(dithered), colours
