"""Frames as shown: the decoder's output from the first key frame, with presentation times.

A container counts packets, a viewer sees frames. They differ if a cut left packets before the first key frame, an edit
list hides some, or a packet holds no image of its own or is damaged. All counts and times here refer to frames.
"""

from __future__ import annotations

import functools
from collections.abc import Generator
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import av

from gagjax.errors import InputError
from gagjax.io.video.colour import Placement, has_alpha, is_transparent, light_of, placement
from gagjax.io.video.cut_off import missing_bytes
from gagjax.io.video.opening import DAMAGED, opened, picture_stream
from gagjax.io.video.tone import Light

#: Decoders that support the alpha channel which WebM stores beside VP8 and VP9.
_WITH_ALPHA = {"vp8": "libvpx", "vp9": "libvpx-vp9"}
#: A clock that jumps back by more than this many seconds was reset; less is an error of a single time stamp.
JUMP = Fraction(1, 4)


class Tally:
    """Packet statistics of a video.

    Attributes:
        packets: Number of packets.
        before_key: Packets before the first key frame, which cannot be shown.
        hidden: Packets hidden by an edit list.
        damaged: Packets that could not be decoded.
        cut: Why reading ended early; "" if it did not.
    """

    def __init__(self) -> None:
        self.packets = self.before_key = self.hidden = self.damaged = 0
        self.cut = ""


class Shown(NamedTuple):
    """The result of decoding a video once.

    Attributes:
        times: Presentation time of each frame, in seconds of the file's own clock.
        tally: Packet statistics.
        missing: Number of bytes by which the file is shorter than its container states.
        rate: Frames per second: the container's value if the times agree with it, else their average.
        codec: Name of the video codec.
        size: Stored width and height of the first frame.
        resized: Index of the first frame of another size; None if there is none.
        place: Display transform that makes frames upright.
        light: Colour encoding of the frames.
        depth: Bits per channel.
        aspect: Pixel aspect ratio as stored, width over height.
        alpha: Whether any frame has transparent pixels.
        interlaced: Whether the first frame consists of two fields.
        from_key: Whether packets before the first key frame were skipped.
        audio: Names of the audio codecs, one per stream.
        sound: Start of the first audio stream on the same clock; None without audio.
    """

    times: tuple[Fraction, ...]
    tally: Tally
    missing: int
    rate: Fraction
    codec: str
    size: tuple[int, int]
    resized: int | None
    place: Placement
    light: Light
    depth: int
    aspect: Fraction
    alpha: bool
    interlaced: bool
    from_key: bool
    audio: tuple[str, ...]
    sound: Fraction | None


def decoded(path: Path, tally: Tally, *, from_key: bool) -> Generator[tuple[Any, Fraction | None], None, None]:
    """The frames of a video in presentation order, each with its time if stated.

    Args:
        path: The video.
        tally: Collects packet statistics.
        from_key: Skip packets before the first key frame.

    Raises:
        InputError: If it is not a video.
    """
    with opened(path) as container:
        stream = picture_stream(container, path)
        decoder = _decoder(stream)
        base = stream.time_base or Fraction(1, 1)
        waiting = from_key
        for packet in _packets(container, stream, tally):
            if packet is not None:
                waiting = waiting and not packet.is_keyframe
                tally.packets += 1
                tally.before_key += waiting
                tally.hidden += packet.is_discard and not waiting
                if waiting:
                    continue
            try:
                frames = decoder.decode(packet)
            except av.error.EOFError:
                frames = []
            except av.error.FFmpegError:
                tally.damaged += 1
                continue
            for frame in frames:
                yield frame, None if frame.pts is None else frame.pts * (frame.time_base or base)


def _packets(container: Any, stream: Any, tally: Tally) -> Generator[Any, None, None]:
    """The packets of a stream, then None at the end."""
    try:
        for packet in container.demux(stream):
            if packet.size:
                yield packet
    except av.error.FFmpegError as error:
        tally.cut = error.strerror or "it cannot be read on"
    yield None


def _decoder(stream: Any) -> Any:
    context = stream.codec_context
    if stream.metadata.get("alpha_mode") == "1" and context.name in _WITH_ALPHA:
        other = av.CodecContext.create(_WITH_ALPHA[context.name], "r")
        other.extradata = context.extradata
        return other
    context.thread_type = "AUTO"
    return context


def gone_through(path: str | Path) -> Shown:
    """Decode a video once from end to end; cached until the file changes.

    Raises:
        InputError: If it is not a video, or holds no decodable frame.
    """
    path = Path(path)
    with opened(path):
        stat = path.stat()
    return _gone_through(path.resolve(), stat.st_size, stat.st_mtime_ns, str(path))


@functools.lru_cache(maxsize=8)
def _gone_through(path: Path, size: int, modified: int, named: str) -> Shown:
    try:
        for from_key in (True, False):  # a video with gradual refresh has no key frame
            found = _once(path, from_key)
            if found is not None:
                return found
    except InputError as error:
        raise InputError(error.problem, file=named, field=error.field, fix=error.fix) from error
    raise InputError("holds no frame that can be decoded", file=named, fix=DAMAGED)


def _once(path: Path, from_key: bool) -> Shown | None:
    tally = Tally()
    times: list[Fraction | None] = []
    first: Any = None
    resized, alpha = None, False
    for frame, time in decoded(path, tally, from_key=from_key):
        if first is None:
            first = ((frame.width, frame.height), placement(frame), light_of(frame), _depth(frame), has_alpha(frame))
            interlaced = bool(frame.interlaced_frame)
        elif resized is None and (frame.width, frame.height) != first[0]:
            resized = len(times)
        alpha = alpha or (first[4] and is_transparent(frame))
        times.append(time)
    if first is None:
        return None
    with opened(path) as container:
        stream = picture_stream(container, path)
        missing = missing_bytes(path, stream)
        codec = stream.codec_context.name
        aspect = stream.sample_aspect_ratio
        rates = (stream.guessed_rate, stream.average_rate)
        audio = tuple(each.codec_context.name for each in container.streams.audio if each.codec_context)
        sound = None
        if container.streams.audio:
            start = container.streams.audio[0].start_time
            sound = None if start is None else start * container.streams.audio[0].time_base
    nominal = next((Fraction(rate) for rate in rates if rate), None)
    known = _complete(times, nominal)
    size, place, light, depth, _ = first
    return Shown(
        known,
        tally,
        missing,
        _rate(known, *rates),
        codec,
        size,
        resized,
        place,
        light,
        depth,
        Fraction(aspect) if aspect else Fraction(1),
        alpha,
        interlaced,
        from_key,
        audio,
        sound,
    )


def _depth(frame: Any) -> int:
    return max((component.bits for component in frame.format.components), default=8)


def _complete(times: list[Fraction | None], rate: Fraction | None) -> tuple[Fraction, ...]:
    """Complete times of which some are missing or go back.

    Frames before the first stated time are extrapolated backwards; others follow their predecessor by one frame. Where
    the clock jumps back, as in concatenated videos, all following times are shifted.
    """
    step = 1 / (rate or Fraction(25))
    said = next((number for number, time in enumerate(times) if time is not None), 0)
    start = times[said] if times[said] is not None else Fraction(0)
    found: list[Fraction] = []
    moved = Fraction(0)
    for number, time in enumerate(times):
        if number < said or not found:
            found.append((start or Fraction(0)) - (said - number) * step)
            continue
        following = found[-1] + step
        if time is None:
            found.append(following)
            continue
        if time + moved < found[-1] - JUMP:
            moved = following - time
        found.append(time + moved if time + moved > found[-1] else following)
    return tuple(found)


def _rate(times: tuple[Fraction, ...], guessed: Fraction | None, average: Fraction | None) -> Fraction:
    """Frames per second. The average of the time stamps decides; a nominal rate that agrees with it is exact."""
    from gagjax.conventions.rates import NTSC

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
