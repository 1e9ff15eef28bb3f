"""Frames of a video, an image folder or a frame database, decoded one by one."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from gagjax.errors import InputError
from gagjax.io.video import decoding, stills
from gagjax.io.video.colour import Placement, to_rgb
from gagjax.io.video.describing import VideoInfo, of_film
from gagjax.io.video.opening import DAMAGED
from gagjax.track import as_rate

_ONE_SIZE = "Give it one size: ffmpeg -i IN -vf scale=WIDTH:HEIGHT OUT.mkv"


class Frames(Iterator[UInt8[np.ndarray, "H W 3"]]):
    """The frames of a video in presentation order, decoded one by one; closes its file at the end.

    Attributes:
        time: Presentation time of the last returned frame, in seconds from the first.
    """

    def __init__(self, info: VideoInfo) -> None:
        self.info, self.time, self._skipped = info, 0.0, 0
        self._frames = self._of_film() if info.kind == "video" else self._of_stills()

    def __next__(self) -> UInt8[np.ndarray, "H W 3"]:
        return next(self._frames)

    def __enter__(self) -> Frames:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def skip(self, count: int) -> None:
        """Skip `count` frames: decoded, since later ones depend on them, but not converted to RGB."""
        self._skipped = count

    def close(self) -> None:
        """Close the file before the last frame."""
        self._frames.close()

    def _of_film(self) -> Generator[Any, None, None]:
        path = self.info.path
        shown = decoding.gone_through(path)
        place = Placement(self.info.rotation // 90, self.info.mirrored)
        for number, (frame, _) in enumerate(decoding.decoded(path, decoding.Tally(), from_key=shown.from_key)):
            if (frame.width, frame.height) != shown.size:
                raise InputError(f"changes its size at frame {number}", file=path, fix=_ONE_SIZE)
            if number >= len(shown.times):
                raise InputError("has changed while it was read", file=path, fix=DAMAGED)
            self.time = float(shown.times[number] - shown.times[0])
            if number >= self._skipped:
                try:
                    pixels = to_rgb(frame, place)
                except InputError as error:
                    raise InputError(error.problem, file=path, fix=error.fix) from error
                yield pixels

    def _of_stills(self) -> Generator[Any, None, None]:
        spread = _times_of_stills(self.info)
        skipped = self._skipped
        for number, pixels in enumerate(stills.decoded(self.info.path, skipped), skipped):
            self.time = float(spread[number])
            yield pixels


def read(path: str | Path, *, fps: Any = None) -> tuple[Frames, VideoInfo]:
    """A video's frames, decoded on demand, and its metadata.

    Args:
        path: Any video that FFmpeg can read, an image folder, or a frame database (LMDB).
        fps: Frame rate of images (default 25); a video has its own.

    Returns:
        An iterator of (H, W, 3) uint8 RGB frames for BT.709, upright, and the `VideoInfo`.

    Raises:
        InputError: If it is not a video, or damaged (also later, while frames are read).
    """
    described = info(path, fps=fps)
    if described.kind == "video":
        resized = decoding.gone_through(path).resized
        if resized is not None:
            raise InputError(f"changes its size at frame {resized}", file=path, fix=_ONE_SIZE)
    return Frames(described), described


def info(path: str | Path, *, fps: Any = None) -> VideoInfo:
    """Metadata of a video, which is decoded once to determine the shown frames, and cached.

    Args:
        path: Any video that FFmpeg can read, an image folder, or a frame database (LMDB).
        fps: Frame rate of images (default 25); a video has its own.

    Raises:
        InputError: If it is not a video, or has no frames.
    """
    path = Path(path)
    if path.is_dir() and (stills.is_stills(path) or (path / "img_lmdb").is_dir()):
        return stills.of_stills(path, None if fps is None else as_rate(fps))
    if fps is not None:
        raise InputError("is for pictures; a film has its own rate", field="--fps", fix="Leave it out")
    return of_film(path)


def times(video: str | Path | VideoInfo) -> list[Fraction]:
    """Presentation time of each frame, in seconds from the first.

    Raises:
        InputError: If it is not a video, or damaged.
    """
    described = video if isinstance(video, VideoInfo) else info(video)
    if described.kind != "video":
        return _times_of_stills(described)
    shown = decoding.gone_through(described.path).times
    return [time - shown[0] for time in shown]


def _times_of_stills(described: VideoInfo) -> list[Fraction]:
    with stills.series(described.path) as pictures:
        return stills.times(pictures, described.fps)
