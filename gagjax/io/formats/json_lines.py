"""Streamed tracks: one JSON object per frame and line, for pipes and growing files.

    {"time": 0.04, "expression": [100 numbers], "jaw": [3], "eyes": [6], "transform": [3 rows of 4]}

`time` in seconds, `neck` (3) and `valid` (false: the tracker lost the face) are optional; further fields are passed
through unchanged. A frame with a non-finite value is a lost frame.
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple, cast

import numpy as np

from gagjax.errors import InputError
from gagjax.text.printable import quoted
from gagjax.track import EXPRESSIONS, Channels

SHAPES = {"expression": (EXPRESSIONS,), "jaw": (3,), "eyes": (6,), "transform": (3, 4), "neck": (3,)}
NEEDED = ("expression", "jaw", "eyes", "transform")
LIMIT = 1 << 20  # bytes in a line


class Line(NamedTuple):
    """A frame.

    Attributes:
        channels: Its values, arrays without a time axis; None for a lost frame.
        time: Its time in seconds; None if not given.
        rest: Further fields of the line, to be passed on.
    """

    channels: Channels | None
    time: float | None
    rest: dict[str, Any]


def parse(text: str | bytes, *, neck: bool | None = None) -> Line:
    """The frame of a line.

    Args:
        text: The line.
        neck: Whether the stream has a neck; None follows the line.

    Raises:
        InputError: If the line is not such an object, or a field is missing or of another shape.
    """
    if len(text) > LIMIT:
        raise InputError(f"is longer than {LIMIT} bytes", field="line")
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError("is no JSON", field="line", fix="Write one object a line") from error
    if not isinstance(content, dict):
        raise InputError("is no JSON object", field="line", fix="Write one object a line")
    time = content.pop("time", None)
    if time is not None and (type(time) not in (int, float) or not -1e300 < time < 1e300):
        raise InputError(f"is {quoted(time)}", field="time", fix="Give seconds")
    seen = content.pop("valid", True) is not False
    values = {name: content.pop(name) for name in SHAPES if name in content}
    if not seen:
        return Line(None, None if time is None else float(time), content)
    wanted = NEEDED if not neck else (*NEEDED, "neck")
    missing = [name for name in wanted if name not in values]
    if missing:
        raise InputError("is missing", field=missing[0], fix='A frame the tracker lost is {"valid": false}')
    if neck is False:
        values.pop("neck", None)
    arrays = {name: _array(value, name) for name, value in values.items()}
    finite = all(np.isfinite(array).all() for array in arrays.values())
    channels = Channels(**{name: cast(Any, arrays.get(name)) for name in SHAPES}, extra={}) if finite else None
    return Line(channels, None if time is None else float(time), content)


def dump(channels: Channels, line: Line, *, valid: bool) -> str:
    """The line of a frame, with the further fields of its source; ends with a line break."""
    content: dict[str, Any] = {} if line.time is None else {"time": line.time}
    for name in SHAPES:
        value = getattr(channels, name)
        if value is not None:
            # The shortest decimals that round-trip to the same float32.
            content[name] = [float(str(each)) for each in np.asarray(value, np.float32).reshape(-1)]
    content["transform"] = [content["transform"][row : row + 4] for row in (0, 4, 8)]
    if not valid:
        content["valid"] = False
    return json.dumps(content | line.rest, separators=(",", ":")) + "\n"


def dump_lost(line: Line) -> str:
    """The output for a lost frame before the first observed one."""
    time = {} if line.time is None else {"time": line.time}
    return json.dumps(time | {"valid": False} | line.rest, separators=(",", ":")) + "\n"


def _array(value: object, name: str) -> np.ndarray:
    try:
        with np.errstate(over="ignore"):  # overflow of float32 becomes infinite: a lost frame
            array = np.array(value, np.float64).astype(np.float32)  # null becomes NaN, too
    except (TypeError, ValueError, OverflowError) as error:
        raise InputError("is no list of numbers", field=name) from error
    if name == "expression" and array.ndim == 1 and 0 < array.size < EXPRESSIONS:
        array = np.pad(array, (0, EXPRESSIONS - array.size))  # for trackers that estimate fewer coefficients
    if array.shape != SHAPES[name]:
        raise InputError(f"has shape {array.shape}, expected {SHAPES[name]}", field=name)
    return array
