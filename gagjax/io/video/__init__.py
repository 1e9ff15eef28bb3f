"""Video in and out by PyAV, a frame at a time: exact times, sound in step, honest colours, upright pictures.

FFmpeg comes inside PyAV's wheel; nothing else needs to be installed. Films, folders of pictures and frame databases are
read alike; H.264, VP9, GIF and folders of PNG pictures are written.
"""

from __future__ import annotations

from gagjax.io.pixels import to_uint8
from gagjax.io.video.describing import Info
from gagjax.io.video.encoding import SUFFIXES, Coding, kind_of
from gagjax.io.video.opening import opened
from gagjax.io.video.reading import Frames, info, read, times
from gagjax.io.video.stills import is_stills
from gagjax.io.video.writing import write

__all__ = [
    "SUFFIXES",
    "Coding",
    "Frames",
    "Info",
    "info",
    "is_stills",
    "kind_of",
    "opened",
    "read",
    "times",
    "to_uint8",
    "write",
]
