"""gagjax: temporal, expression, gaze and detail enhancement for animatable Gaussian head avatars, in JAX.

Names load on first use, so that the command line's `--help` does not wait for JAX.
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

_MODULES = (
    "detail",
    "expression",
    "filters",
    "flame",
    "gaze",
    "io",
    "metrics",
    "simulate",
    "so3",
    "stack",
    "temporal",
    "tuning",
)
_NAMES = {
    "InputError": "errors",
    "Stack": "stack",
    "Track": "track",
    "TrackSmoother": "temporal",
    "chain": "filters",
    "enhance_frames": "stack",
    "enhance_track": "stack",
    "load_track": "io.tracks",
    "save_track": "io.tracks",
    "scan": "filters",
    "stream": "filters",
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
