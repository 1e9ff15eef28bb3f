"""Images of a folder or a frame database (LMDB), read as one video ordered by number."""

from __future__ import annotations

import contextlib
import io
import itertools
import math
import re
import warnings
from collections.abc import Callable, Generator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from jaxtyping import UInt8

from gagjax.errors import InputError
from gagjax.io import suffixes
from gagjax.process import deferred

if TYPE_CHECKING:
    from PIL import Image

    from gagjax.io import frame_database, images
    from gagjax.io.frame_database import FrameDatabase
    from gagjax.io.video import describing
    from gagjax.io.video.describing import VideoInfo
else:  # whether a folder holds pictures is asked of every input
    Image, images = deferred.module("PIL.Image"), deferred.module("gagjax.io.images")
    describing = deferred.module("gagjax.io.video.describing")
    frame_database = deferred.module("gagjax.io.frame_database")

RATE = Fraction(25)
_TRACKS = (".npz", ".pkl", ".pickle", ".pt", ".pth", ".json", ".jsonl")
_SIDEWAYS = (5, 6, 7, 8)  # EXIF orientations that swap width and height
_ORIENTATION = 0x0112


class Picture(NamedTuple):
    """One image: its name, its number in the series, and a reader for its file's bytes."""

    name: str
    series: str
    number: int | None
    data: Callable[[], bytes]


def is_stills(path: str | Path) -> bool:
    """Whether a folder is read as a video: a frame database, or images and no track."""
    path = Path(path)
    if not path.is_dir():
        return False
    if (path / "data.mdb").is_file():
        return True
    files = [each for each in path.iterdir() if each.is_file() and not each.name.startswith(".")]
    if any(each.suffix.lower() in _TRACKS for each in files):
        return False
    return (path / "img_lmdb" / "data.mdb").is_file() or any(map(suffixes.is_image, files))


def of_stills(path: Path, fps: Fraction | None) -> VideoInfo:
    """Metadata of an image folder as a video.

    Raises:
        InputError: If it holds no image, or one that cannot be read or differs in size.
    """
    with series(path) as pictures:
        kinds, sizes, depth, alpha = [], [], 8, False
        for picture in pictures:
            kind, size, bits, through = _header(picture, path)
            kinds.append(kind)
            sizes.append(size)
            depth, alpha = max(depth, bits), alpha or through
            if size != sizes[0]:
                raise InputError(
                    f"is {size[0]} x {size[1]}, the pictures before are {sizes[0][0]} x {sizes[0][1]}",
                    file=path / picture.name,
                    fix="Give all pictures one size, or put each size into a folder of its own",
                )
        remarks = tuple(_remarks(pictures))
        spread = times(pictures, fps or RATE)
    for remark in remarks:
        warnings.warn(f"{path}: {remark}", stacklevel=4)
    database = (path / "data.mdb").is_file() or (path / "img_lmdb").is_dir()
    return describing.VideoInfo(
        path=path,
        fps=fps or RATE,
        width=sizes[0][0],
        height=sizes[0][1],
        frames=len(sizes),
        variable=any(time != number / (fps or RATE) for number, time in enumerate(spread)),
        audio=(),
        codec=", ".join(sorted(set(kinds))),
        depth=depth,
        alpha=alpha,
        packets=len(sizes),
        kind="database" if database else "pictures",
        remarks=remarks,
    )


@contextlib.contextmanager
def series(path: Path) -> Generator[list[Picture], None, None]:
    """The images of a folder or a frame database, ordered by number.

    Raises:
        InputError: If there is none.
    """
    if (path / "data.mdb").is_file() or (path / "img_lmdb").is_dir():
        with frame_database.FrameDatabase(path) as database:
            found = [_picture(name, name, _bytes_of(database, name)) for name in database]
            yield _ordered(found, path)
        return
    files = [each for each in path.iterdir() if suffixes.is_image(each) and not each.name.startswith(".")]
    found = [_picture(each.name, each.stem, each.read_bytes) for each in files if each.is_file()]
    yield _ordered(found, path)


def decoded(path: Path, skip: int) -> Generator[UInt8[np.ndarray, "H W 3"], None, None]:
    """The images of a folder or a frame database, after skipping the first `skip`."""
    with series(path) as pictures:
        for picture in pictures[skip:]:
            yield images.decode(picture.data(), path / picture.name)


def times(pictures: Sequence[Picture], fps: Fraction) -> list[Fraction]:
    """Presentation time of each image: by its number, if numbers are evenly spaced with gaps.

    A gap holds the previous image. Series without numbers, or of several names, are played without gaps.
    """
    numbers = [picture.number for picture in pictures if picture.number is not None]
    if len({picture.series for picture in pictures}) > 1 or len(numbers) < len(pictures):
        return [number / fps for number in range(len(pictures))]
    steps = np.diff(np.array(numbers, np.int64)).tolist()
    step = min(steps, default=1) or 1
    if any(each % step for each in steps):
        step = math.gcd(*steps) or 1
    if not all(steps):  # a number that occurs twice, written differently
        return [number / fps for number in range(len(pictures))]
    return [Fraction(number - numbers[0], step) / fps for number in numbers]


def _bytes_of(database: FrameDatabase, name: str) -> Callable[[], bytes]:
    return lambda: database.data(name)


def _picture(name: str, stem: str, data: Callable[[], bytes]) -> Picture:
    match = re.search(r"(\d{1,18})\D*$", stem, re.ASCII)
    if match is None:
        return Picture(name, stem, None, data)
    return Picture(name, stem[: match.start()] + "#" + stem[match.end(1) :], int(match.group(1)), data)


def _ordered(pictures: list[Picture], path: Path) -> list[Picture]:
    if not pictures:
        raise InputError("holds no pictures", file=path, fix="Choose a film, or a folder of .png or .jpg files")
    if all(picture.number is None for picture in pictures):
        return sorted((each._replace(series="") for each in pictures), key=lambda each: each.name)
    return sorted(pictures, key=lambda each: (_natural(each.series), each.number or 0, each.name))


def _natural(text: str) -> list[tuple[int, int, str]]:
    return [
        (0, int(each), "") if each[0] in "0123456789" else (1, 0, each)
        for each in re.findall(r"[0-9]{1,18}|[^0-9]+", text)
    ]


def _header(picture: Picture, path: Path) -> tuple[str, tuple[int, int], int, bool]:
    """Format, upright size, bits per channel and transparency of an image, without decoding it."""
    try:
        with Image.open(io.BytesIO(picture.data())) as image:
            sideways = image.getexif().get(_ORIENTATION) in _SIDEWAYS
            size = image.size[::-1] if sideways else image.size
            bits = 16 if image.mode.startswith("I") else 8
            return image.format or "unknown", size, bits, images.seen_through(image)
    except Exception:  # the full reader reports it
        decoded = images.decode(picture.data(), path / picture.name)
        return "unknown", (decoded.shape[1], decoded.shape[0]), 8, False


def _remarks(pictures: Sequence[Picture]) -> Generator[str, None, None]:
    names = [name for name, _ in itertools.groupby(pictures, lambda each: each.series)]
    if len(names) > 1 and any(each.number is not None for each in pictures):
        shown = ", ".join(name.replace("#", "*") for name in names[:4]) + (" ..." if len(names) > 4 else "")
        yield f"holds {len(names)} series of pictures ({shown}): they are shown one after another"
        return
    spread = times(pictures, Fraction(1))
    missing = int(spread[-1]) + 1 - len(pictures)
    if missing:
        yield f"{missing} numbers are missing: the picture before each gap stays on view"
