"""Which file names are films and which are pictures: FFmpeg and pillow say it, once for every command."""

from __future__ import annotations

import functools
import io
from pathlib import Path

#: Names that FFmpeg gives to files of sound alone, of single pictures, or to a list of other files.
_NO_FILM = {
    "m4a",
    "m4b",
    "mka",
    "mks",
    "wma",
    "ra",
    "isma",
    "oga",
    "ogg",
    "aif",
    "aiff",
    "afc",
    "aifc",
    "m3u8",
    "mpd",
} | {"heic", "heif", "mpo"}
#: Muxers that write pictures beside sound only as a cover, that keep single pictures, or that do not say their size.
_NO_FILM_FORMATS = {"image2", "rawvideo", "ico", "fits", "webp", "avif", "a64", "aiff", "flac", "mp3", "hls", "dash"}
#: Kinds that pillow hands to other programs or plugins, or that hold no picture by themselves.
_NO_PICTURE = {"BUFR", "EPS", "GRIB", "HDF5", "MPEG", "WMF", "GIF"}


@functools.cache
def videos() -> frozenset[str]:
    """The suffixes of films, in lower case with their dot: those of every FFmpeg format that holds moving pictures.

    Example:
        >>> {".mp4", ".ts", ".wmv", ".gif", ".webm"} <= videos(), ".wav" in videos()
        (True, False)
    """
    import av
    from av.format import ContainerFormat, formats_available

    found: set[str] = set()
    for name in formats_available:
        muxer = ContainerFormat(name)
        if not muxer.is_output or not muxer.extensions or name in _NO_FILM_FORMATS:
            continue
        with av.open(io.BytesIO(), "w", format=name) as container:
            if container.default_video_codec != "none":
                found |= muxer.extensions
    pictures = {suffix[1:] for suffix in images()} - {"apng"}
    return frozenset(f".{each.strip().lower()}" for each in found - _NO_FILM - pictures)


@functools.cache
def images() -> frozenset[str]:
    """The suffixes of single pictures, in lower case with their dot: what pillow opens.

    Example:
        >>> {".png", ".jpg", ".webp", ".tiff"} <= images(), ".mp4" in images()
        (True, False)
    """
    from PIL import Image

    known = Image.registered_extensions()
    return frozenset(suffix for suffix, kind in known.items() if kind in Image.OPEN and kind not in _NO_PICTURE)


def is_video(path: str | Path) -> bool:
    """Whether a file's name says that it is a film."""
    return Path(path).suffix.lower() in videos()


def is_image(path: str | Path) -> bool:
    """Whether a file's name says that it is a single picture."""
    return Path(path).suffix.lower() in images() and not is_video(path)
