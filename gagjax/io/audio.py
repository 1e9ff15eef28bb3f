"""Audio copied from one container into another as it is, packet by packet."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import av

from gagjax.errors import InputError


class AudioCopy:
    """The audio of one file on its way into another, in step with the pictures.

    Args:
        source: The open container to copy from; one without audio copies nothing.
        output: The open container to copy into, before its first packet.
        target: Its file, for messages.

    Raises:
        InputError: If the container cannot hold that kind of audio.
    """

    def __init__(self, source: Any, output: Any, target: Path) -> None:
        self.source, self.output, self.target = source, output, target
        pictures = source.streams.video
        # The pictures of the output start at zero, so the audio moves by as much as they have.
        start = pictures[0].start_time * pictures[0].time_base if pictures and pictures[0].start_time else 0
        self.streams: dict[int, Any] = {}
        self.shift: dict[int, int] = {}
        try:
            for stream in source.streams.audio:
                self.streams[stream.index] = output.add_stream_from_template(stream)
                self.shift[stream.index] = round(start / stream.time_base)
        except (av.error.FFmpegError, ValueError) as error:
            raise self._refused() from error
        self.packets = source.demux(*source.streams.audio) if self.streams else iter(())
        self.waiting: Any = None

    def copy_until(self, seconds: float | None) -> None:
        """Copy the packets before a time; None copies the rest.

        Raises:
            InputError: If the container cannot hold them.
        """
        try:
            while (packet := self.waiting or next(self.packets, None)) is not None:
                self.waiting = packet
                if packet.dts is not None:
                    index = packet.stream.index
                    if seconds is not None and (packet.dts - self.shift[index]) * packet.time_base > seconds:
                        return
                    packet.dts -= self.shift[index]
                    packet.pts = packet.dts if packet.pts is None else packet.pts - self.shift[index]
                    packet.stream = self.streams[index]
                    self.output.mux(packet)
                self.waiting = None
        except (av.error.FFmpegError, ValueError) as error:
            raise self._refused() from error

    def _refused(self) -> InputError:
        return InputError(
            f"cannot hold the audio of {self.source.name}", file=self.target, fix="Write .mkv, which holds any audio"
        )
