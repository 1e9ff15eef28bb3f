"""Open videos with FFmpeg: files only, never a protocol or a playlist."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av

from gagjax.errors import InputError

DAMAGED = "Copy the file again from where it came"


def _open(path: Path) -> Any:
    if not path.exists():
        raise InputError("does not exist", file=path)
    if not path.is_file():
        raise InputError("is not a file", file=path)
    if path.stat().st_size == 0:
        raise InputError("is empty (0 bytes)", file=path, fix=DAMAGED)
    try:
        # Absolute path: FFmpeg would treat "a:b.mp4" as a protocol. Files only: a playlist must not reach the network.
        return av.open(str(path.resolve()), options={"protocol_whitelist": "file"})
    except (av.error.FFmpegError, UnicodeError) as error:
        raise InputError(
            f"is no video that FFmpeg can read ({error})".splitlines()[0], file=path, fix=DAMAGED
        ) from error


@contextlib.contextmanager
def opened(path: Path) -> Iterator[Any]:
    """Open a video's container for reading.

    Raises:
        InputError: If it is not a file that FFmpeg can read.
    """
    with _open(path) as container:
        yield container


def picture_stream(container: Any, path: Path) -> Any:
    """The first video stream other than cover art.

    Raises:
        InputError: If there is none, or its codec is unknown to FFmpeg.
    """
    streams = [s for s in container.streams.video if not s.disposition & av.stream.Disposition.attached_pic]
    if not streams:
        raise InputError("has no video stream", file=path, fix="Choose a file with pictures")
    if streams[0].codec_context is None:
        raise InputError("has pictures in an unknown format", file=path, fix="Convert it with ffmpeg")
    return streams[0]
