"""Video metadata, and properties that are not preserved by reading."""

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
    """Metadata of a video.

    Attributes:
        path: The file or folder.
        fps: Frames per second, exact if the file states it; the average of a variable rate.
        width, height: Size of the upright image, in stored pixels.
        frames: Number of shown frames.
        variable: Whether frames are unevenly spaced in time (by half a frame or more).
        audio: Names of the audio codecs, one per stream.
        codec: Name of the video codec, or of the image format.
        rotation: Display rotation in degrees counterclockwise; applied when frames are read.
        mirrored: Whether the display matrix mirrors left and right before rotating; applied when frames are read.
        aspect: Pixel aspect ratio, width over height, upright.
        hdr: "PQ", "HLG", or "" for SDR. Frames are tone-mapped to BT.709 when read.
        colour: Primaries wider than BT.709's by name, or "". Frames are converted when read.
        depth: Bits per channel.
        alpha: Whether there are transparent pixels. Frames are composited over black when read.
        interlaced: Whether frames consist of two fields.
        packets: Number of video packets.
        start: Presentation time of the first frame on the file's own clock, in seconds.
        sound: Offset of the first audio stream after the first shown frame, in seconds (negative: before); None without
            audio.
        kind: "video", "pictures" (a folder of images) or "database" (an LMDB of images).
        remarks: Anomalies, one sentence each.
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
        """Duration of the frames in seconds."""
        return float(self.frames / self.fps)

    @property
    def shown_size(self) -> tuple[int, int]:
        """Width and height in square pixels, as shown by players."""
        return max(1, round(self.width * self.aspect)), self.height

    @property
    def changes(self) -> tuple[str, ...]:
        """Properties that are lost when frames are read, one sentence each."""
        return tuple(_changes(self))


def of_film(path: Path) -> VideoInfo:
    """Metadata of a video; decodes it once and caches the result.

    Raises:
        InputError: If it is not a video, holds no frame, or changes its frame size.
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
    """A description of a video's colours."""
    return f"{info.depth} bit, {_HDR.get(info.hdr, 'SDR')}" + (f", {info.colour}" if info.colour else "")
