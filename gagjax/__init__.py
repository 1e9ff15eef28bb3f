"""gagjax: temporal, expression, gaze and detail enhancement for animatable Gaussian head avatars, in JAX.

Names load on first use, so that the command line's `--help` does not wait for JAX.
"""

from __future__ import annotations

import functools
import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gagjax import (
        avatars,
        camera,
        detail,
        expression,
        filters,
        flame,
        gaze,
        io,
        metrics,
        multi_clip,
        protocols,
        reference,
        simulate,
        so3,
        splatting,
        stack,
        track,
        track_smoother,
        tuning,
    )
    from gagjax.errors import GagjaxError, InputError
    from gagjax.filters import chain, scan, stream
    from gagjax.io.tracks import load_track, save_track
    from gagjax.stack import Stack, enhance_frames, enhance_track
    from gagjax.track import Track
    from gagjax.track_smoother import TrackSmoother

    __version__: str

#: Where each public name lives; a module where the value is None.
_HOMES = {
    "GagjaxError": "errors",
    "InputError": "errors",
    "Stack": "stack",
    "Track": "track",
    "TrackSmoother": "track_smoother",
    "avatars": None,
    "camera": None,
    "chain": "filters",
    "detail": None,
    "enhance_frames": "stack",
    "enhance_track": "stack",
    "expression": None,
    "filters": None,
    "flame": None,
    "gaze": None,
    "io": None,
    "load_track": "io.tracks",
    "metrics": None,
    "multi_clip": None,
    "protocols": None,
    "reference": None,
    "save_track": "io.tracks",
    "scan": "filters",
    "simulate": None,
    "so3": None,
    "splatting": None,
    "stack": None,
    "stream": "filters",
    "track": None,
    "track_smoother": None,
    "tuning": None,
}
# Listed for editors and type checkers, which do not run this file; a test checks that it equals the table above.
__all__ = [
    "GagjaxError",
    "InputError",
    "Stack",
    "Track",
    "TrackSmoother",
    "avatars",
    "camera",
    "chain",
    "detail",
    "enhance_frames",
    "enhance_track",
    "expression",
    "filters",
    "flame",
    "gaze",
    "io",
    "load_track",
    "metrics",
    "multi_clip",
    "protocols",
    "reference",
    "save_track",
    "scan",
    "simulate",
    "so3",
    "splatting",
    "stack",
    "stream",
    "track",
    "track_smoother",
    "tuning",
]


def __getattr__(name: str) -> object:
    if name == "__version__":
        return _version()
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = _HOMES[name]
    if home is None:
        return importlib.import_module(f"{__name__}.{name}")
    return getattr(importlib.import_module(f"{__name__}.{home}"), name)


@functools.cache
def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("gagjax")
    except PackageNotFoundError:  # the source tree on PYTHONPATH, not installed
        return "0+unknown"


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, "__version__"})
