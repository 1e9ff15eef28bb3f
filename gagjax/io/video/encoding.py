"""Encoded streams: H.264, VP9, or lossless intermediates for GIFs and images."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any, Literal, NamedTuple

import av
import numpy as np
from av.video.reformatter import ColorRange, Colorspace
from jaxtyping import UInt8
from PIL import Image

from gagjax.errors import InputError

Kind = Literal["h264", "vp9", "gif", "pictures"]
_KINDS: dict[str, Kind] = {
    ".mp4": "h264",
    ".mov": "h264",
    ".m4v": "h264",
    ".mkv": "h264",
    ".webm": "vp9",
    ".gif": "gif",
}
#: The suffixes of videos that can be written.
SUFFIXES = tuple(_KINDS)
_BT709 = 1  # FFmpeg's constant for these primaries, transfer and matrix
_DENSE = 90000  # minimum ticks per second: fine enough for any time stamp


class Coding(NamedTuple):
    """Encoding parameters.

    Attributes:
        kind: Kind of the output.
        rate: Nominal frames per second.
        crf: Constant rate factor: 0 is lossless (H.264), 18 looks like the source, 28 is small.
        aspect: Pixel aspect ratio, width over height. Stored in H.264; for others, frames are scaled to square pixels.
    """

    kind: Kind
    rate: Fraction
    crf: float = 18.0
    aspect: Fraction = Fraction(1)

    def fitted(self, pixels: UInt8[np.ndarray, "H W 3"]) -> UInt8[np.ndarray, "H W2 3"]:
        """An image as stored: scaled to square pixels if the output cannot store a pixel aspect ratio."""
        if self.kind == "h264" or self.aspect == 1:
            return pixels
        height, width = pixels.shape[:2]
        size = (max(1, round(width * self.aspect)), height)
        return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.LANCZOS))


def kind_of(path: str | Path) -> Kind:
    """The kind of output for a path; a path without suffix is a folder of PNG images.

    Raises:
        InputError: If the suffix is not supported for writing.

    Example:
        >>> kind_of("a.webm"), kind_of("frames/")
        ('vp9', 'pictures')
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix in _KINDS:
        return _KINDS[suffix]
    if not suffix or path.is_dir():
        return "pictures"
    raise InputError(
        f"is no video file name ({suffix})", file=path, fix=f"Use {', '.join(SUFFIXES)}, or a folder for PNG pictures"
    )


def muxer_options(path: Path) -> dict[str, str]:
    """Options of FFmpeg's muxers for an output."""
    # Matroska's muxer writes random identifiers, unless told to be bit-exact.
    exact = {"fflags": "+bitexact"} if path.suffix.lower() in (".mkv", ".webm") else {}
    return {"movflags": "+faststart"} if path.suffix.lower() in (".mp4", ".mov", ".m4v") else exact


def part_suffix(kind: Kind) -> str:
    """The container for parts of an output before joining: keeps time stamps exact, or nearly so."""
    return ".mp4" if kind in ("h264", "vp9") else ".mkv"


def encoder(output: Any, shape: tuple[int, ...], coding: Coding) -> Any:
    """Add a stream to an open container for images of the given shape, (H, W, 3)."""
    name = {"h264": "libx264", "vp9": "libvpx-vp9"}.get(coding.kind, "ffv1")
    stream = output.add_stream(name, rate=coding.rate)
    lossy = name != "ffv1"
    stream.height, stream.width = (shape[0] + shape[0] % 2, shape[1] + shape[1] % 2) if lossy else shape[:2]
    stream.pix_fmt = "yuv420p" if lossy else "bgr0"
    context = stream.codec_context
    if name == "libx264":
        # Without mbtree, x264 is deterministic; with it, it is not, even on one thread, and a resumed run could not be
        # told from a faulty one. The files are larger by a third, and better by 0.2 dB.
        stream.options = {"crf": str(coding.crf), "x264-params": "mbtree=0"}
    elif name == "libvpx-vp9":
        # VP9's CRF scale ends at 63, H.264's at 51. Row-based threading keeps the bytes; splitting in time would not.
        crf = round(coding.crf * 63 / 51)
        stream.options = {"crf": str(crf), "b": "0", "deadline": "good", "cpu-used": "4", "row-mt": "1"}
    if lossy:
        context.colorspace = context.color_primaries = context.color_trc = _BT709
        context.color_range = ColorRange.MPEG
        if coding.kind == "h264" and coding.aspect != 1:
            context.sample_aspect_ratio = coding.aspect.limit_denominator(255)
    ticks = max(1, -(-_DENSE // coding.rate.numerator))  # a whole number of ticks per frame at a constant rate
    context.time_base = Fraction(1, coding.rate.numerator * ticks)
    return stream


def encode(output: Any, stream: Any, pixels: UInt8[np.ndarray, "H W 3"], seconds: Fraction) -> None:
    """Encode an image at a presentation time in seconds, and write the resulting packets."""
    if stream.pix_fmt == "bgr0":
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), "rgb24").reformat(format="bgr0")
    else:
        frame = av.VideoFrame.from_ndarray(_even(pixels), "rgb24").reformat(
            format="yuv420p", dst_colorspace=Colorspace.ITU709, dst_color_range=ColorRange.MPEG
        )
    frame.time_base = stream.codec_context.time_base
    frame.pts = round(seconds / frame.time_base)
    output.mux(stream.encode(frame))


def _even(pixels: np.ndarray) -> np.ndarray:
    height, width = pixels.shape[:2]
    if height % 2 or width % 2:
        pixels = np.pad(pixels, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    return np.ascontiguousarray(pixels)
