"""Classify file names as videos or images, according to FFmpeg and pillow; shared by all commands."""

from __future__ import annotations

import functools
import io
from pathlib import Path

#: FFmpeg's names of audio-only formats, image formats and playlists.
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
#: Muxers that write images only as cover art, store single images, or do not store the image size.
_NO_FILM_FORMATS = {"image2", "rawvideo", "ico", "fits", "webp", "avif", "a64", "aiff", "flac", "mp3", "hls", "dash"}
#: Suffixes of tracks and other data, which FFmpeg and pillow need not be asked about; a test asks them.
NEITHER = frozenset({"", ".csv", ".frame", ".json", ".jsonl", ".mat", ".npy", ".npz", ".pickle", ".pkl", ".pt", ".pth"})
#: Formats that pillow delegates to other programs or plugins, or that contain no image themselves.
_NO_PICTURE = {"BUFR", "EPS", "GRIB", "HDF5", "MPEG", "WMF", "GIF"}


@functools.cache
def videos() -> frozenset[str]:
    """Suffixes of videos, in lower case with the dot: those of every FFmpeg format that can hold video.

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
    """Suffixes of images, in lower case with the dot: those that pillow opens.

    Example:
        >>> {".png", ".jpg", ".webp", ".tiff"} <= images(), ".mp4" in images()
        (True, False)
    """
    from PIL import Image

    known = Image.registered_extensions()
    return frozenset(suffix for suffix, kind in known.items() if kind in Image.OPEN and kind not in _NO_PICTURE)


def is_video(path: str | Path) -> bool:
    """Whether a file name has the suffix of a video."""
    suffix = Path(path).suffix.lower()
    return suffix not in NEITHER and suffix in videos()


def is_image(path: str | Path) -> bool:
    """Whether a file name has the suffix of an image."""
    suffix = Path(path).suffix.lower()
    return suffix not in NEITHER and suffix in images() and not is_video(path)
