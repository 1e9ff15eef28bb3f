"""Write frames as a video (H.264 or VP9, with audio), a GIF or a folder of PNG images."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from jaxtyping import Shaped, UInt8

from gagjax.errors import InputError
from gagjax.io import atomic
from gagjax.io.pixels import as_pixels
from gagjax.io.video import encoding, series
from gagjax.io.video.encoding import Coding
from gagjax.io.video.sound import Sound
from gagjax.track import as_rate
from gagjax.typing import FrameRate


def write(
    path: str | Path,
    frames: Iterable[Shaped[np.ndarray, "H W 3"]],
    fps: FrameRate,
    *,
    audio_from: str | Path | None = None,
    times: Iterable[float | Fraction] | None = None,
    crf: float = 18,
    aspect: Fraction = Fraction(1),
    force: bool = False,
) -> int:
    """Write frames as H.264 (yuv420p, tagged BT.709) for all players, or in another format by suffix.

    Args:
        path: `.mp4`, `.mov`, `.m4v` or `.mkv` for H.264, `.webm` for VP9, `.gif`, or no suffix for a folder of PNG
            images.
        frames: (H, W, 3) each, uint8, or floats in [0, 1]; all of the same size. Videos need even sizes: for odd ones
            the last row or column is repeated.
        fps: Frame rate; see `gagjax.track.as_rate`.
        audio_from: A file whose audio is copied without re-encoding, synchronised with its first shown frame. Files
            without audio add none; GIFs and images hold none.
        times: Presentation time of each frame, in seconds from the first; for a source of variable frame rate.
        crf: Constant rate factor: 0 is lossless, 18 looks like the source, 28 is small.
        aspect: Pixel aspect ratio, width over height. Formats other than H.264 are scaled to square pixels.
        force: Replace an existing output.

    Returns:
        The number of frames written.

    Raises:
        InputError: If there are no frames, the output exists, or the container cannot hold the audio.
        ValueError: If a frame has another shape or type.
    """
    path = Path(path)
    coding = Coding(encoding.kind_of(path), as_rate(fps), crf, Fraction(aspect))
    timed = _timed(path, frames, coding, times)
    if coding.kind == "gif":
        return series.write_gif(path, timed, force=force)
    if coding.kind == "pictures":
        return series.write_pictures(path, (each for each, _ in timed), force=force)
    with contextlib.ExitStack() as stack:
        temporary = stack.enter_context(atomic.output(path, force))
        first = next(timed)
        output = stack.enter_context(av.open(str(temporary.resolve()), "w", options=encoding.muxer_options(path)))
        stream = encoding.encoder(output, first[0].shape, coding)
        sound = None if audio_from is None else stack.enter_context(Sound.opened(Path(audio_from), output, path))
        count = 0
        for pixels, seconds in itertools.chain([first], timed):
            if sound is not None:
                sound.copy_until(float(seconds))
            encoding.encode(output, stream, pixels, seconds)
            count += 1
        output.mux(stream.encode())
        if sound is not None:
            sound.copy_until(None)
    return count


def _timed(
    path: Path, frames: Iterable[Any], coding: Coding, times: Iterable[float | Fraction] | None
) -> Iterator[tuple[UInt8[np.ndarray, "H W 3"], Fraction]]:
    """Frames as stored uint8, each with its time; all of the same size, and at least one."""
    stamps = None if times is None else iter(times)
    shape = None
    for count, frame in enumerate(frames):
        pixels = as_pixels(frame)
        shape = pixels.shape if shape is None else shape
        if pixels.shape != shape:
            raise ValueError(f"frame {count} has shape {pixels.shape}, the first has {shape}")
        yield coding.fitted(pixels), count / coding.rate if stamps is None else Fraction(next(stamps))
    if shape is None:
        raise InputError("there is no frame to write", file=path)
