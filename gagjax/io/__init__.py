"""Files in and out: tracks, checkpoints, images, video.

All input is untrusted: pickles go through an allow-list, sizes are bounded, and unusable files raise an `InputError`.
All output goes through `atomic.output`.
"""

from __future__ import annotations

import importlib
from typing import Any

_MODULES = ("atomic", "frame_database", "images", "suffixes", "tracks", "untrusted", "video")
_NAMES = {
    "load_pickle": "untrusted.checkpoints",
    "load_torch": "untrusted.checkpoints",
    "load_portraits": "tracks",
    "load_track": "tracks",
    "save_track": "tracks",
}
__all__ = [*_MODULES, *_NAMES]


def __getattr__(name: str) -> Any:
    if name in _NAMES:
        return getattr(importlib.import_module(f"{__name__}.{_NAMES[name]}"), name)
    if name in _MODULES:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
