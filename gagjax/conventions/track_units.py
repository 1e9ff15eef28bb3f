"""Check that the angles of a track are in radians: values that no head can reach are probably degrees."""

from __future__ import annotations

import math
import sys
import warnings
from types import FrameType

import numpy as np

from gagjax.pytree import is_concrete
from gagjax.track import Channels
from gagjax.typing import AnyArray

#: Implausible joint angle, radians, by field. A jaw opens by about 0.6; an eye rotates by 1; a neck by 1.5 at most. In
#: degrees, even small motion exceeds this.
LIMITS = {"jaw": 1.5, "eyes": 1.6, "neck": 2.4}
#: Packages whose stack frames are skipped in warnings: gagjax and its type checkers.
_INSIDE = ("gagjax", "jaxtyping", "beartype")


def oddities(channels: Channels, valid: AnyArray | None = None) -> list[str]:
    """Implausibly large angles of a clip or a frame, one sentence per field.

    Args:
        channels: The channels of a clip, time first, or of one frame.
        valid: (T,) frames to check; None means all.

    Example:
        >>> jaw = np.array([[25.0, 0.0, 0.0]])
        >>> oddities(Channels(np.zeros((1, 100)), jaw, np.zeros((1, 6)), np.zeros((1, 3, 4))))[0]
        'jaw: turns by up to 25 radians, which no jaw does; if these are degrees, convert them (25 degrees are 0.436 radians)'
    """
    found = []
    for name, limit in LIMITS.items():
        value = getattr(channels, name)
        if value is None or not is_concrete(value):
            continue
        angles = np.asarray(value, np.float64).reshape(-1, 3)
        with np.errstate(over="ignore", invalid="ignore"):
            size = np.sqrt((angles**2).sum(1))
        seen = np.isfinite(size)
        if valid is not None and is_concrete(valid):
            seen &= np.repeat(np.asarray(valid, bool), len(size) // len(np.asarray(valid)))
        most = float(size[seen].max(initial=0.0))
        if most > limit:
            what = name.removesuffix("s")
            found.append(
                f"{name}: turns by up to {most:.4g} radians, which no {what} does; if these are degrees, convert them "
                f"({most:.4g} degrees are {math.radians(most):.3g} radians)"
            )
    return found


def warn(channels: Channels, valid: AnyArray | None = None, file: object = None) -> None:
    """Warn about the findings of `oddities`, with the file name if given."""
    for each in oddities(channels, valid):
        _say(each if file is None else f"{file}: {each}")


def warn_of_radians(name: str, degrees: object) -> None:
    """Warn if an angle expected in degrees is so small that it is probably in radians."""
    if is_concrete(degrees) and 0 < float(np.asarray(degrees).max()) < 2:
        size = float(np.asarray(degrees).max())
        _say(
            f"{name}: is {size:.3g} degrees, which is next to nothing; if these are radians, convert them "
            f"({size:.3g} radians are {math.degrees(size):.3g} degrees)",
        )


def warn_of_degrees(name: str, radians: object) -> None:
    """Warn if an angle expected in radians exceeds half a turn, and so is probably in degrees."""
    if is_concrete(radians) and float(np.asarray(radians).max()) > math.pi:
        size = float(np.asarray(radians).max())
        _say(
            f"{name}: is {size:.4g} radians, more than half a turn; if these are degrees, convert them "
            f"({size:.4g} degrees are {math.radians(size):.3g} radians)",
        )


def _say(text: str) -> None:
    """Warn at the line that called the library."""
    frame: FrameType = sys._getframe()
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] in _INSIDE:
        frame = frame.f_back
    module, registry = frame.f_globals.get("__name__", ""), frame.f_globals.setdefault("__warningregistry__", {})
    warnings.warn_explicit(text, UserWarning, frame.f_code.co_filename, frame.f_lineno, module, registry)
