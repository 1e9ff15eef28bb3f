"""Video input and output with PyAV, frame by frame: exact times, synchronised audio, correct colours, upright frames.

FFmpeg is included in PyAV's wheel; nothing else needs to be installed. Videos, image folders and frame databases are
read alike; H.264, VP9, GIF and folders of PNG images are written.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gagjax.io.pixels import to_uint8
from gagjax.process import deferred

if TYPE_CHECKING:
    from gagjax.io.video.describing import VideoInfo
    from gagjax.io.video.encoding import SUFFIXES, Coding, kind_of
    from gagjax.io.video.opening import opened
    from gagjax.io.video.reading import Frames, info, read, times
    from gagjax.io.video.stills import is_stills
    from gagjax.io.video.writing import write
else:
    __getattr__, __dir__ = deferred.names(
        __name__,
        {
            "describing": ("VideoInfo",),
            "encoding": ("SUFFIXES", "Coding", "kind_of"),
            "opening": ("opened",),
            "reading": ("Frames", "info", "read", "times"),
            "stills": ("is_stills",),
            "writing": ("write",),
        },
    )

__all__ = [
    "SUFFIXES",
    "Coding",
    "Frames",
    "VideoInfo",
    "info",
    "is_stills",
    "kind_of",
    "opened",
    "read",
    "times",
    "to_uint8",
    "write",
]
