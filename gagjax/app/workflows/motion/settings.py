"""What stands behind `--set`, `--between` and `--ease`: names, values with units, and spans of time."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from gagjax.errors import InputError
from gagjax.expression.edits import TURNS, Setting

_VALUE = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,2})?)\s*(%|deg|°|rad)?")
_TIME = re.compile(r"(\d+\.?\d*|\.\d+)\s*(s|ms|f)?")
_FORM = "Use NAME=VALUE or NAME=VALUE@FROM:TO, such as mouth=.6, left_eye_yaw=4deg, smile=.4@1s:3s"


def parsed(
    words: Sequence[str], between: tuple[str, str] | None = None, ease: float = 0.0, fps: float = 25.0
) -> list[Setting]:
    """The settings of a command line.

    Args:
        words: `NAME=VALUE` or `NAME=VALUE@FROM:TO` each.
        between: From and to for those without their own.
        ease: Seconds over which each comes and goes.
        fps: Frames per second, for times in frames.

    Raises:
        InputError: If one is not understood.
    """
    usual = (None, None) if between is None else (seconds(between[0], fps), seconds(between[1], fps))
    return [_one(word, usual, ease, fps) for word in words]


def seconds(text: str, fps: float) -> float:
    """A moment: `2`, `2s`, `1500ms`, or `50f` for a frame counted from 0.

    Raises:
        InputError: If it is none.

    Example:
        >>> seconds("50f", 25.0), seconds("1500ms", 25.0)
        (2.0, 1.5)
    """
    match = _TIME.fullmatch(text.strip())
    if match is None or len(text) > 20:
        raise InputError(f"is {text!r}", field="time", fix="Use seconds (2, 2s, 1500ms) or frames from 0 (50f)")
    return float(match[1]) * {"ms": 1e-3, "f": 1 / fps}.get(match[2] or "s", 1.0)


def _one(word: str, usual: tuple[float | None, float | None], ease: float, fps: float) -> Setting:
    name, equals, rest = word.partition("=")
    value, at, span = rest.partition("@")
    name = name.strip()
    match = _VALUE.fullmatch(value.strip())
    if not equals or not name or match is None or len(word) > 200:
        raise InputError(f"is {word!r}", field="--set", fix=_FORM)
    number, unit = float(match[1]), match[2]
    if name in TURNS:
        if unit == "%":
            raise InputError(f"is {value}", field=name, fix="Give an angle: 4deg or .07rad")
        number = number if unit == "rad" else math.radians(number)
        if abs(number) > math.pi / 2:
            raise InputError(f"is {value}", field=name, fix="Use -90 to 90 degrees")
    elif unit in ("deg", "°", "rad"):
        raise InputError(f"is {value}, but it is no angle", field=name, fix="Leave the unit out")
    elif unit == "%":
        number /= 100
    start, stop = usual
    if at:
        first, colon, last = span.partition(":")
        if not colon:
            raise InputError(f"is {word!r}", field="--set", fix=_FORM)
        start = seconds(first, fps) if first.strip() else None
        stop = seconds(last, fps) if last.strip() else None
    return Setting(name, number, start, stop, ease)
