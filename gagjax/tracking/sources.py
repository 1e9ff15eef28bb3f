"""What can be tracked: a film, a picture, a folder of pictures; its frames one by one."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from gagjax.errors import InputError
from gagjax.io import images, video

IMAGES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")


@dataclasses.dataclass(frozen=True)
class Source:
    """Frames to track.

    Attributes:
        path: The file or folder.
        kind: "film", "picture" or "folder".
        width, height: Size of the frames in pixels.
        count: How many there are.
        fps: Frames per second.
        files: The pictures of a folder, in order.
        aspect: Width of a film's stored pixel over its height; frames come with square pixels.
    """

    path: Path
    kind: str
    width: int
    height: int
    count: int
    fps: Fraction
    files: tuple[Path, ...] = ()
    aspect: Fraction = Fraction(1)

    def frames(self, start: int = 0) -> Iterator[UInt8[np.ndarray, "H W 3"]]:
        """The frames from number `start` on.

        Raises:
            InputError: If one cannot be read, or a folder's pictures differ in size.
        """
        if self.kind == "film":
            reader, _ = video.read(self.path)
            reader.skip(start)
            with reader:
                yield from (with_square_pixels(picture, self.aspect) for picture in reader)
            return
        for file in self.files[start:]:
            picture = images.read(file)
            if picture.shape[:2] != (self.height, self.width):
                raise InputError(
                    f"is {picture.shape[1]} x {picture.shape[0]}, the first picture {self.width} x {self.height}",
                    file=file,
                    fix="Track pictures of different sizes one by one",
                )
            yield picture

    def mark(self) -> dict[str, object]:
        """What tells this source from another one of the same name."""
        stats = [file.stat() for file in (self.files or (self.path,))]
        return {
            "path": str(self.path.resolve()),
            "bytes": sum(s.st_size for s in stats),
            "changed": max(s.st_mtime_ns for s in stats),
        }


def open_source(path: str | Path, fps: Fraction | None = None) -> Source:
    """What lies at a path, as frames.

    Args:
        path: A film, a picture, or a folder of pictures.
        fps: Frame rate of a folder (25 otherwise); a film knows its own.

    Raises:
        InputError: If there is nothing that can be tracked.
    """
    path = Path(path)
    if path.is_dir():
        files = tuple(sorted((f for f in path.iterdir() if f.suffix.lower() in IMAGES), key=_natural))
        if not files:
            raise InputError("holds no pictures", file=path, fix="Pass a film, a picture or a folder of pictures")
        height, width = images.read(files[0]).shape[:2]
        return Source(path, "folder", width, height, len(files), fps or Fraction(25), files)
    if path.suffix.lower() in IMAGES:
        height, width = images.read(path).shape[:2]
        return Source(path, "picture", width, height, 1, fps or Fraction(25), (path,))
    info = video.info(path)
    width, height = info.shown_size
    return Source(path, "film", width, height, info.frames, info.fps, aspect=info.aspect)


def with_square_pixels(picture: UInt8[np.ndarray, "H W 3"], aspect: Fraction) -> UInt8[np.ndarray, "H W2 3"]:
    """A picture as it is shown, without which a face is too slim or too wide.

    Args:
        picture: RGB.
        aspect: Width of a pixel over its height.

    Returns:
        The picture, its width scaled.
    """
    if aspect == 1:
        return picture
    size = (max(1, round(picture.shape[1] * aspect)), picture.shape[0])
    return np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BILINEAR))


def _natural(path: Path) -> list[tuple[int, int | str]]:
    return [(1, int(part)) if part.isdigit() else (0, part) for part in re.split(r"(\d+)", path.name)]
