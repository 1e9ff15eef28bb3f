"""Frames as they come: from a camera, from a pipe, or from a film that is played as a camera."""

from __future__ import annotations

import platform
import sys
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from jaxtyping import UInt8

from gagjax.errors import InputError
from gagjax.io.video import colour

CAMERA = "camera:"
#: FFmpeg's camera format and device, by operating system.
CAMERAS = {"Linux": ("v4l2", "/dev/video{}"), "Darwin": ("avfoundation", "{}:none"), "Windows": ("dshow", "video={}")}
#: What to do where the camera does not open.
NO_CAMERA = {
    "Linux": "Plug one in and pass its number: ls /dev/video* lists them; a container needs --device /dev/video0",
    "Darwin": "Pass its number (camera:0), and let the terminal use the camera (System Settings, Privacy & Security)",
    "Windows": "Pass its name as the device manager says it: camera:Integrated Camera",
}
_FILM = "or play a film as a camera: gagjax live FILM --realtime"


class Incoming:
    """The frames of a source, opened at once, read as they are asked for.

    Args:
        source: `camera:N`, or a video or named pipe that FFmpeg reads.
        realtime: Play a film at its own pace, as a camera would.

    Attributes:
        live: Whether the frames do not wait for who reads them.
        aspect: Width of a pixel over its height, upright.
        width, height: Of the frames, pixels as they are stored.

    Raises:
        InputError: If it cannot be opened, or holds no frame.
    """

    def __init__(self, source: str, *, realtime: bool = False) -> None:
        camera = source.startswith(CAMERA)
        self.live, self._paced = camera or realtime, realtime and not camera
        self.name, self._container = _opened(source, camera)
        self._decoder = self._frames()
        first = next(self._decoder, None)
        if first is None:
            self._container.close()
            raise InputError("has no pictures", file=self.name, fix="Choose a file with pictures")
        self._first = first
        place = colour.placement(first)
        aspect = Fraction(self._container.streams.video[0].sample_aspect_ratio or 1)
        self.aspect = 1 / aspect if place.sideways else aspect
        size = (first.width, first.height)
        self.width, self.height = size[::-1] if place.sideways else size

    def __iter__(self) -> Iterator[tuple[UInt8[np.ndarray, "H W 3"], float, float | None]]:
        """Each frame, when it came (`time.perf_counter`), and when it is to be shown by its file's clock, seconds."""
        began, start = time.perf_counter(), self._first.time
        try:
            for frame in self._all():
                shown = None if frame.time is None or start is None else float(frame.time - start)
                if self._paced and shown is not None:
                    time.sleep(max(0.0, began + shown - time.perf_counter()))
                came = time.perf_counter()
                yield colour.to_rgb(frame, colour.placement(frame)), came, shown
        finally:
            self._container.close()

    def _all(self) -> Iterator[Any]:
        yield self._first
        yield from self._decoder

    def _frames(self) -> Iterator[Any]:
        try:
            yield from self._container.decode(self._container.streams.video[0])
        except av.error.FFmpegError as error:
            print(f"warning: {self.name} ended: {error}", file=sys.stderr)


def is_pictures(source: str) -> bool:
    """Whether a source of `gagjax live` gives pictures, and not lines of a track."""
    return source != "-" and not source.endswith(".jsonl")


def _opened(source: str, camera: bool) -> tuple[str, Any]:
    system = platform.system() if platform.system() in CAMERAS else "Linux"
    kind, place = CAMERAS[system] if camera else (None, source)
    number = source.removeprefix(CAMERA)
    if camera and system != "Windows" and not number.isdigit():
        raise InputError(f"is no number of a camera ({number!r})", field="source", fix="Pass camera:0")
    name = place.format(number) if camera else source
    if not camera and not Path(source).exists():
        raise InputError("does not exist", file=source, fix="Pass -, a .jsonl file, camera:N, or a video or named pipe")
    fix = f"{NO_CAMERA[system]}; {_FILM}" if camera else None
    try:
        container = av.open(name, format=kind, options={} if camera else {"protocol_whitelist": "file,pipe,fd"})
    except (av.error.FFmpegError, OSError, ValueError) as error:
        what = f"is no camera that opens: {error}" if camera else f"cannot be opened: {error}"
        raise InputError(what, file=name, fix=fix) from error
    if not container.streams.video:
        container.close()
        raise InputError("has no pictures", file=name, fix=fix)
    return name, container
