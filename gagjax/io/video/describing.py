"""What a film is, and what in it will not come through as it is."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

from gagjax.errors import InputError
from gagjax.io.video import decoding
from gagjax.io.video.opening import DAMAGED

_PRIMARIES = {9: "BT.2020", 11: "DCI-P3", 12: "Display P3"}
_HDR = {"PQ": "HDR, PQ (HDR10)", "HLG": "HDR, HLG"}


@dataclasses.dataclass(frozen=True)
class VideoInfo:
    """What a video is.

    Attributes:
        path: The file or folder.
        fps: Frames per second, exact where the file says so; the average of a variable rate.
        width, height: Size of the upright picture, in pixels as they are stored.
        frames: Number of frames that are shown.
        variable: Whether frames are not evenly spaced in time (by half a frame or more).
        audio: Names of the audio codecs, one a stream.
        codec: Name of the video codec, or of the kind of pictures.
        rotation: Degrees counterclockwise by which players turn the stored picture; frames are read turned.
        mirrored: Whether players exchange left and right before they turn it; frames are read so.
        aspect: Width of a pixel over its height, upright.
        hdr: "PQ", "HLG", or "" for SDR. Frames are read mapped to BT.709.
        colour: Primaries wider than BT.709's by name, or "". Frames are read converted.
        depth: Bits a channel.
        alpha: Whether parts are seen through. Frames are read over black.
        interlaced: Whether frames are two fields.
        packets: How many packets the pictures are stored in.
        start: When the first frame is shown on the file's own clock, in seconds.
        sound: By how much the first audio stream starts after the first frame shown, in seconds (negative: before);
            None where there is none.
        kind: "video", "pictures" (a folder of them) or "database" (an LMDB of them).
        remarks: What is odd in it, a sentence each.
    """

    path: Path
    fps: Fraction
    width: int
    height: int
    frames: int
    variable: bool
    audio: tuple[str, ...]
    codec: str
    rotation: int = 0
    mirrored: bool = False
    aspect: Fraction = Fraction(1)
    hdr: str = ""
    colour: str = ""
    depth: int = 8
    alpha: bool = False
    interlaced: bool = False
    packets: int = 0
    start: Fraction = Fraction(0)
    sound: float | None = None
    kind: str = "video"
    remarks: tuple[str, ...] = ()

    @property
    def seconds(self) -> float:
        """Duration of the pictures in seconds."""
        return float(self.frames / self.fps)

    @property
    def shown_size(self) -> tuple[int, int]:
        """Width and height in square pixels, as players show it."""
        return max(1, round(self.width * self.aspect)), self.height

    @property
    def changes(self) -> tuple[str, ...]:
        """What frames are read without, a sentence each."""
        return tuple(_changes(self))


def of_film(path: Path) -> VideoInfo:
    """What a film is; goes through it once, decoding, and remembers it.

    Raises:
        InputError: If it is no film, holds no frame, or changes its size.
    """
    shown = decoding.gone_through(path)
    times = shown.times
    rate = shown.rate
    if not 1e-4 < rate < 1e5:
        raise InputError(f"declares {float(rate):.3g} frames per second", file=path, fix=DAMAGED)
    even = (abs(time - times[0] - number / rate) for number, time in enumerate(times))
    variable = len(times) > 2 and max(even) >= Fraction(1, 2) / rate
    width, height = shown.size[::-1] if shown.place.sideways else shown.size
    remarks = tuple(_remarks(shown))
    for remark in remarks:
        warnings.warn(f"{path}: {remark}", stacklevel=3)
    return VideoInfo(
        path=path,
        fps=rate,
        width=width,
        height=height,
        frames=len(times),
        variable=variable,
        audio=shown.audio,
        codec=shown.codec,
        rotation=shown.place.turns * 90,
        mirrored=shown.place.mirrored,
        aspect=1 / shown.aspect if shown.place.sideways else shown.aspect,
        hdr=shown.light.hdr,
        colour=_PRIMARIES.get(shown.light.primaries, "BT.2020" if shown.light.hdr else ""),
        depth=shown.depth,
        alpha=shown.alpha,
        interlaced=shown.interlaced,
        packets=shown.tally.packets,
        start=times[0],
        sound=None if shown.sound is None else float(shown.sound - times[0]),
        remarks=remarks,
    )


def _remarks(shown: decoding.Shown) -> Iterator[str]:
    tally, count = shown.tally, len(shown.times)
    if tally.cut:
        yield f"it is cut off after frame {count} ({tally.cut})"
    elif shown.missing:
        yield f"it is cut off: {shown.missing} bytes are missing at its end"
    if tally.before_key:
        yield (
            f"{tally.before_key} of {tally.packets} packets come before the first key frame, where nothing can be "
            "shown: the pictures start after them"
        )
    if tally.damaged:
        yield f"{tally.damaged} of {tally.packets} packets are damaged: their pictures are missing"
    if shown.resized is not None:
        yield f"its size changes at frame {shown.resized}, so its frames cannot be read as one video"


def _changes(info: VideoInfo) -> Iterator[str]:
    if info.hdr:
        yield (
            f"{_HDR[info.hdr]} is mapped to SDR (BT.709): reference white, 203 cd/m2, becomes white and brighter light "
            "is rolled off"
        )
    elif info.colour:
        yield f"{info.colour} colours are converted to BT.709"
    if info.alpha:
        yield "what is seen through is put over black"
    if info.interlaced:
        yield "the frames are interlaced and stay woven: ffmpeg -i IN -vf bwdif OUT.mkv takes the fields apart"
    if info.variable and info.kind == "video":
        yield "the frame rate varies; gagjax keeps each frame's time"


def colours_of(info: VideoInfo) -> str:
    """A video's colours in words."""
    return f"{info.depth} bit, {_HDR.get(info.hdr, 'SDR')}" + (f", {info.colour}" if info.colour else "")
