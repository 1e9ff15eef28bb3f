"""Video in and out by PyAV, a frame at a time: exact frame rates, copied audio, honest colours.

FFmpeg comes inside PyAV's wheel; nothing else needs to be installed.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import warnings
from collections.abc import Generator, Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.video.reformatter import ColorRange, Colorspace
from jaxtyping import Float, Shaped, UInt8

from gagjax.errors import InputError
from gagjax.io import atomic
from gagjax.io.audio import AudioCopy
from gagjax.rates import NTSC, as_rate

SUFFIXES = (".mp4", ".mov", ".m4v", ".mkv")
_DAMAGED = "Copy the file again, or repair it: ffmpeg -i IN -c copy OUT.mkv"
_BT709 = 1  # FFmpeg's number for these primaries, transfer and matrix


@dataclasses.dataclass(frozen=True)
class Info:
    """What a video is.

    Attributes:
        path: The file.
        fps: Frames per second, exact where the file says so; the average of a variable rate.
        width, height: Size as shown, in pixels.
        frames: Number of frames.
        variable: Whether frames are not evenly spaced in time (by more than half a frame).
        audio: Names of the audio codecs, one a stream.
        codec: Name of the video codec.
        rotation: Degrees counterclockwise by which players turn the stored picture; frames are read turned.
    """

    path: Path
    fps: Fraction
    width: int
    height: int
    frames: int
    variable: bool
    audio: tuple[str, ...]
    codec: str
    rotation: int

    @property
    def seconds(self) -> float:
        """Duration of the pictures in seconds."""
        return float(self.frames / self.fps)


class Frames(Iterator[UInt8[np.ndarray, "H W 3"]]):
    """The frames of a video in order of showing, decoded one by one; closes its file at the end.

    Attributes:
        time: When the last frame given out is shown, in seconds from the first.
    """

    def __init__(self, info: Info) -> None:
        self.info, self.time, self._skipped = info, 0.0, 0
        self._frames = self._decode()

    def __next__(self) -> UInt8[np.ndarray, "H W 3"]:
        return next(self._frames)

    def __enter__(self) -> Frames:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def skip(self, count: int) -> None:
        """Pass over so many frames: decoded, since the later ones need them, but not turned into pictures."""
        self._skipped = count

    def close(self) -> None:
        """Close the file before the last frame."""
        self._frames.close()

    def _decode(self) -> Generator[Any, None, None]:
        first, count = None, 0
        with opened(self.info.path) as container:
            stream = _picture_stream(container, self.info.path)
            stream.thread_type = "AUTO"
            try:
                for frame in container.decode(stream):
                    time = frame.time if frame.time is not None else count / float(self.info.fps)
                    first = time if first is None else first
                    self.time = time - first
                    count += 1
                    if count > self._skipped:
                        yield _turned(frame.to_ndarray(format="rgb24"), self.info.rotation)
            except av.error.FFmpegError as error:
                raise InputError(
                    f"is damaged after frame {count} ({error.strerror})", file=self.info.path, fix=_DAMAGED
                ) from error
        if count == 0:
            raise InputError("holds no frame that can be decoded", file=self.info.path, fix=_DAMAGED)


def read(path: str | Path) -> tuple[Frames, Info]:
    """A video's frames, decoded as they are asked for, and what the video is.

    Args:
        path: Any file that FFmpeg reads.

    Returns:
        An iterator of (H, W, 3) uint8 RGB frames, upright, and the `Info`.

    Raises:
        InputError: If it is no video, or damaged (also later, while frames are read).
    """
    described = info(path)
    return Frames(described), described


def info(path: str | Path) -> Info:
    """What a video is; reads through the file without decoding more than its first frame.

    Raises:
        InputError: If it is no video, or has no pictures.
    """
    path = Path(path)
    with opened(path) as container:
        stream = _picture_stream(container, path)
        audio = tuple(each.codec_context.name for each in container.streams.audio if each.codec_context)
        declared, base = stream.frames, stream.time_base or Fraction(1, 1)
        average, guessed, codec = stream.average_rate, stream.guessed_rate, stream.codec_context.name
        stamps = _time_stamps(container, stream, path)
        count = len(stamps)
    if 0 < count < declared:
        warnings.warn(f"{path}: holds {count} of the {declared} frames that it declares: it is cut off", stacklevel=2)
    rotation, width, height = _first_frame(path)
    rate = _rate([stamp * base for stamp in stamps if stamp is not None], average, guessed)
    if not 1e-4 < rate < 1e5:
        raise InputError(f"declares {float(rate):.3g} frames per second", file=path, fix=_DAMAGED)
    times = np.array([float(stamp * base) for stamp in stamps if stamp is not None])
    even = np.arange(len(times)) / float(rate)
    variable = len(times) > 2 and bool(np.abs(times - times[0] - even).max() > 0.5 / float(rate))
    return Info(path, rate, width, height, count, variable, audio, codec, rotation)


def times(path: str | Path) -> list[float]:
    """When each frame is shown, in seconds from the first, without decoding.

    Raises:
        InputError: If it is no video, or damaged.
    """
    path = Path(path)
    with opened(path) as container:
        stream = _picture_stream(container, path)
        base = stream.time_base or Fraction(1, 1)
        stamps = [stamp for stamp in _time_stamps(container, stream, path) if stamp is not None]
    return [float((stamp - stamps[0]) * base) for stamp in stamps]


def write(
    path: str | Path,
    frames: Iterable[Shaped[np.ndarray, "H W 3"]],
    fps: Any,
    *,
    audio_from: str | Path | None = None,
    times: Iterable[float] | None = None,
    crf: float = 18,
    force: bool = False,
) -> int:
    """Write frames as H.264 (yuv420p, BT.709, tagged as such), readable by every player.

    Args:
        path: `.mp4`, `.mov`, `.m4v` or `.mkv`.
        frames: (H, W, 3) each, uint8, or floats in [0, 1]; all of one size. H.264 needs even sizes: an odd one gets
            its last row or column twice.
        fps: Frame rate; see `gagjax.track.as_rate`.
        audio_from: A file whose audio is copied as it is, not encoded again. A file without audio adds none.
        times: When each frame is shown, in seconds from the first; for a source whose rate varies.
        crf: Constant rate factor: 0 is lossless, 18 looks like the source, 28 is small.
        force: Replace an existing output.

    Returns:
        How many frames were written.

    Raises:
        InputError: If there is no frame, the output exists, or the container cannot hold the audio.
        ValueError: If a frame has another shape or type.
    """
    path = Path(path)
    if path.suffix.lower() not in SUFFIXES:
        raise InputError(
            f"is no video file name ({path.suffix or 'no suffix'})", file=path, fix=f"Use {', '.join(SUFFIXES)}"
        )
    rate = as_rate(fps)
    source = iter(frames)
    with contextlib.ExitStack() as stack:
        temporary = stack.enter_context(atomic.output(path, force))
        try:
            first = _pixels(next(source))
        except StopIteration:
            raise InputError("there is no frame to write", file=path) from None
        options = {"movflags": "+faststart"} if path.suffix.lower() != ".mkv" else {}
        output = stack.enter_context(av.open(str(temporary.resolve()), "w", options=options))
        stream = encoder(output, first.shape, rate, crf)
        audio = None
        if audio_from is not None:
            audio = AudioCopy(stack.enter_context(opened(Path(audio_from))), output, path)
        stamps = None if times is None else iter(times)
        count = 0
        for pixels in itertools.chain([first], map(_pixels, source)):
            if pixels.shape != first.shape:
                raise ValueError(f"frame {count} has shape {pixels.shape}, the first has {first.shape}")
            seconds = count / rate if stamps is None else Fraction(next(stamps))
            if audio is not None:
                audio.copy_until(float(seconds))
            encode(output, stream, pixels, seconds)
            count += 1
        output.mux(stream.encode())
        if audio is not None:
            audio.copy_until(None)
    return count


def encoder(output: Any, shape: tuple[int, ...], rate: Fraction, crf: float) -> Any:
    """A stream of an open container for H.264 pictures of a shape, (H, W, 3)."""
    stream = output.add_stream("libx264", rate=rate)
    stream.height, stream.width = shape[0] + shape[0] % 2, shape[1] + shape[1] % 2
    stream.pix_fmt = "yuv420p"
    # Without mbtree the same pictures give the same bytes. With it x264 does not, even on one thread, and a run that was
    # resumed could not be told from one that went wrong. The files are larger by a third, and better by 0.2 dB.
    stream.options = {"crf": str(crf), "x264-params": "mbtree=0"}
    context = stream.codec_context
    context.colorspace = context.color_primaries = context.color_trc = _BT709
    context.color_range = ColorRange.MPEG
    # Fine enough for any time stamp, and a whole number of ticks for each frame of an even rate.
    ticks = max(1, -(-90000 // rate.numerator))
    context.time_base = Fraction(1, rate.numerator * ticks)
    return stream


def encode(output: Any, stream: Any, pixels: UInt8[np.ndarray, "H W 3"], seconds: Fraction) -> None:
    """Encode a picture that is shown at a time, and write what the encoder gives out."""
    frame = av.VideoFrame.from_ndarray(_even(pixels), "rgb24").reformat(
        format="yuv420p", dst_colorspace=Colorspace.ITU709, dst_color_range=ColorRange.MPEG
    )
    frame.time_base = stream.codec_context.time_base
    frame.pts = round(seconds / frame.time_base)
    output.mux(stream.encode(frame))


def _pixels(frame: Shaped[np.ndarray, "H W 3"]) -> UInt8[np.ndarray, "H W 3"]:
    frame = np.asarray(frame)
    if frame.ndim != 3 or frame.shape[2] != 3 or 0 in frame.shape:
        raise ValueError(f"a frame is (H, W, 3), got {frame.shape}")
    if frame.dtype == np.uint8:
        return frame
    if frame.dtype.kind != "f":
        raise ValueError(f"a frame is uint8 or float in [0, 1], got {frame.dtype}")
    return to_uint8(frame)


def to_uint8(image: Float[np.ndarray, "*shape"]) -> UInt8[np.ndarray, "*shape"]:
    """Values in [0, 1] as bytes, rounded; what lies outside is clipped, NaN becomes 0."""
    return (np.nan_to_num(np.clip(image, 0.0, 1.0)) * 255.0 + 0.5).astype(np.uint8)


def _even(pixels: np.ndarray) -> np.ndarray:
    height, width = pixels.shape[:2]
    if height % 2 or width % 2:
        pixels = np.pad(pixels, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    return np.ascontiguousarray(pixels)


def _turned(pixels: np.ndarray, rotation: int) -> np.ndarray:
    return np.ascontiguousarray(np.rot90(pixels, rotation // 90)) if rotation else pixels


def _open(path: Path) -> Any:
    if not path.exists():
        raise InputError("does not exist", file=path)
    if not path.is_file():
        raise InputError("is not a file", file=path)
    if path.stat().st_size == 0:
        raise InputError("is empty (0 bytes)", file=path, fix=_DAMAGED)
    try:
        # The whole path: FFmpeg takes "a:b.mp4" for a protocol. Files only: a playlist must not reach the network.
        return av.open(str(path.resolve()), options={"protocol_whitelist": "file"})
    except (av.error.FFmpegError, UnicodeError) as error:
        raise InputError(
            f"is no video that FFmpeg can read ({error})".splitlines()[0], file=path, fix=_DAMAGED
        ) from error


@contextlib.contextmanager
def opened(path: Path) -> Iterator[Any]:
    """A video's container, open for reading.

    Raises:
        InputError: If it is no file that FFmpeg reads.
    """
    with _open(path) as container:
        yield container


def _picture_stream(container: Any, path: Path) -> Any:
    streams = [s for s in container.streams.video if not s.disposition & av.stream.Disposition.attached_pic]
    if not streams:
        raise InputError("has no video stream", file=path, fix="Choose a file with pictures")
    if streams[0].codec_context is None:
        raise InputError("has pictures in an unknown format", file=path, fix="Convert it with ffmpeg")
    return streams[0]


def _time_stamps(container: Any, stream: Any, path: Path) -> list[int | None]:
    """When each frame is shown, in the stream's ticks, in order; None where the file does not say."""
    stamps: list[int | None] = []
    try:
        for packet in container.demux(stream):
            if packet.size and not packet.is_discard:
                stamps.append(packet.pts if packet.pts is not None else packet.dts)
    except av.error.FFmpegError as error:
        raise InputError(f"is damaged ({error.strerror})", file=path, fix=_DAMAGED) from error
    return sorted(s for s in stamps if s is not None) + [s for s in stamps if s is None]


def _first_frame(path: Path) -> tuple[int, int, int]:
    """Rotation, width and height, by decoding: containers disagree about them."""
    with opened(path) as container:
        try:
            frame = next(iter(container.decode(_picture_stream(container, path))), None)
        except av.error.FFmpegError as error:
            raise InputError(f"is damaged ({error.strerror})", file=path, fix=_DAMAGED) from error
    if frame is None:
        raise InputError("holds no frame that can be decoded", file=path, fix=_DAMAGED)
    rotation = round(frame.rotation / 90) * 90 % 360
    size = (frame.width, frame.height)
    return (rotation, *(size if rotation % 180 == 0 else size[::-1]))


def _rate(times: list[Fraction], average: Fraction | None, guessed: Fraction | None) -> Fraction:
    """Frames per second. The average of the time stamps decides; a nominal rate that agrees with it is exact."""
    measured = None
    if len(times) > 1 and times[-1] > times[0]:
        measured = (len(times) - 1) / (times[-1] - times[0])
    for nominal in (guessed, average):
        if nominal and (measured is None or abs(nominal / measured - 1) < Fraction(1, 1000)):
            return Fraction(nominal)
    if measured is not None:
        nominal = next((rate for rate in NTSC if abs(rate - measured) < Fraction(1, 200)), None)
        return nominal or measured.limit_denominator(1001)
    return Fraction(25)
