"""Copy audio from one video to another, synchronised with the shown frames."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Generator, Iterator
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av

from gagjax.errors import InputError
from gagjax.io.video import opening
from gagjax.io.video.decoding import JUMP, gone_through

if TYPE_CHECKING:
    from av.container import InputContainer, OutputContainer

#: Encoding for audio that a container cannot hold unchanged: codec and supported sample rates.
_ENCODERS = {
    "webm": ("libopus", (48000, 24000, 16000, 12000, 8000)),
    "": ("aac", (96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000)),
}


_MUXERS = {".mp4": "mp4", ".mov": "mov", ".m4v": "ipod", ".mkv": "matroska", ".webm": "webm"}
_LAYOUTS = {1: "mono", 2: "stereo", 3: "3.0", 4: "4.0", 5: "5.0", 6: "5.1", 8: "7.1"}


class Sound:
    """Copy the audio of one file into another, packet by packet.

    The frames of the output start at zero, so audio is shifted by the presentation time of the first frame, not by the
    container's start, which is earlier after a cut between key frames. Audio before the first frame is kept.

    Args:
        source: The open container to copy from; one without audio copies nothing.
        start: Presentation time of its first frame, in seconds.
        output: The open container to copy into, before its first packet.
        target: Its file, for messages.
        encode: Re-encode audio that the container cannot hold, instead of refusing it.

    Attributes:
        encoded: Names of the codecs that were re-encoded.

    Raises:
        InputError: If the container cannot hold that kind of audio.
    """

    def __init__(
        self, source: InputContainer, start: Fraction, output: OutputContainer, target: Path, *, encode: bool = False
    ) -> None:
        self.source, self.output, self.target, self.start = source, output, target, start
        self.encoded: list[str] = []
        self._copied: dict[int, Any] = {}
        self._encoded: dict[int, Any] = {}
        self._unheard: dict[int, Any] = {}
        self._shifts: dict[int, int] = {}
        self._latest: dict[int, tuple[int, int]] = {}
        streams = [each for each in source.streams.audio if each.codec_context is not None]
        try:
            for stream in streams:
                if can_hold(output.format.name, stream):
                    self._copied[stream.index] = output.add_stream_from_template(stream)
                elif encode:
                    self._encoded[stream.index] = _encoder(stream, output)
                    self.encoded.append(name_of(stream))
                else:
                    raise self._refused()
        except (av.error.FFmpegError, ValueError) as error:
            if isinstance(error, InputError):
                raise
            raise self._refused() from error
        self._parts = self._moved(source.demux(*streams)) if streams else iter(())
        self._waiting: Any = None

    @classmethod
    @contextlib.contextmanager
    def opened(
        cls, path: Path, output: OutputContainer, target: Path, *, encode: bool = False
    ) -> Generator[Sound, None, None]:
        """The audio of a file; see the class."""
        with opening.opened(path) as source:
            start = gone_through(path).times[0] if source.streams.video and source.streams.audio else Fraction(0)
            yield cls(source, start, output, target, encode=encode)

    def copy_until(self, seconds: float | None) -> None:
        """Copy the packets before a time in seconds; None copies the rest.

        Raises:
            InputError: If the container cannot hold them.
        """
        try:
            while (packet := self._waiting or next(self._parts, None)) is not None:
                self._waiting = packet
                if seconds is not None and packet.dts * packet.time_base > seconds:
                    return
                self.output.mux(packet)
                self._waiting = None
        except (av.error.FFmpegError, ValueError) as error:
            raise self._refused() from error

    def _moved(self, packets: Iterator[Any]) -> Iterator[Any]:
        """The packets for the output, with output times."""
        for packet in packets:
            index = packet.stream.index
            if index in self._encoded:
                yield from self._again(packet)
            elif packet.size and packet.dts is not None:
                yield from self._heard(packet)
        for stream in self._encoded.values():
            yield from stream.encode(None)

    def _heard(self, packet: Any) -> Iterator[Any]:
        """A packet, unless hidden by an edit list; of those hidden at the start the last is kept for the decoder."""
        index = packet.stream.index
        if packet.is_discard:
            self._unheard[index] = None if index in self._unheard and self._unheard[index] is None else packet
            return
        before = self._unheard.get(index)
        self._unheard[index] = None
        for each in (before, packet):
            if each is not None:
                each.pts = each.dts if each.pts is None else each.pts
                shift = self._shift(each)
                each.dts, each.pts = each.dts - shift, each.pts - shift
                self._latest[index] = (each.dts, each.duration or 1)
                each.stream = self._copied[index]
                yield each

    def _shift(self, packet: Any) -> int:
        """The backward shift of a packet in its time base; a reset clock continues from the previous time."""
        index = packet.stream.index
        shift = self._shifts.setdefault(index, round(self.start / packet.time_base))
        if index in self._latest:
            latest, duration = self._latest[index]
            if (latest - (packet.dts - shift)) * packet.time_base > JUMP:
                shift = self._shifts[index] = packet.dts - latest - duration
            elif packet.dts - shift <= latest:  # an error of this time stamp only
                shift = packet.dts - latest - 1
        return shift

    def _again(self, packet: Any) -> Iterator[Any]:
        stream = self._encoded[packet.stream.index]
        try:
            frames = packet.stream.codec_context.decode(packet if packet.size else None)
        except av.error.FFmpegError:
            return  # a damaged packet: silence for its duration
        for frame in frames:
            if frame.pts is not None:
                frame.pts -= round(self.start / frame.time_base)
            yield from stream.encode(frame)

    def _refused(self) -> InputError:
        return InputError(
            f"cannot hold the audio of {self.source.name}", file=self.target, fix="Write .mkv, which holds any audio"
        )


def name_of(stream: Any) -> str:
    """The codec of a stream, by FFmpeg's name of the format, not of the decoder."""
    return stream.codec_context.codec.canonical_name


def can_hold(muxer: str, stream: Any) -> bool:
    """Whether a container can hold a stream unchanged, tested by writing the header of a temporary file with FFmpeg.

    Args:
        muxer: FFmpeg's name of the container.
        stream: A stream of an open file.
    """
    try:
        with av.open(io.BytesIO(), "w", format=muxer) as tried:
            if name_of(stream) not in tried.supported_codecs:
                return False
            tried.add_stream_from_template(stream)
            tried.start_encoding()
    except (av.error.FFmpegError, ValueError):
        return False
    return True


def will_encode(source: Path, target: Path) -> tuple[str, ...]:
    """The codecs of a video's audio that the container of an output cannot hold unchanged."""
    if target.suffix.lower() not in _MUXERS:
        return ()
    with opening.opened(source) as container:
        streams = [each for each in container.streams.audio if each.codec_context is not None]
        return tuple(name_of(each) for each in streams if not can_hold(_MUXERS[target.suffix.lower()], each))


def _encoder(stream: Any, output: Any) -> Any:
    codec, rates = _ENCODERS.get(output.format.name, _ENCODERS[""])
    rate = stream.codec_context.sample_rate
    rate = rate if rate in rates else next((each for each in reversed(rates) if each > rate), rates[0])
    layout = _LAYOUTS.get(stream.codec_context.layout.nb_channels, "stereo")
    made = output.add_stream(codec, rate=rate, layout=layout)
    made.bit_rate = 96_000 * max(1, stream.codec_context.layout.nb_channels)
    return made
