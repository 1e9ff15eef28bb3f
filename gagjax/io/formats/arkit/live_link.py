"""Live Link Face's `.csv`: one line a frame, ARKit's weights by name, and turns of the head and the eyes.

The first line names the columns: `Timecode` (`HH:MM:SS:FF.fff`, frames of the recording's rate), `BlendShapeCount` (0 where
the face was lost), the 52 weights as `EyeBlinkLeft` and so on, then `HeadYaw`, `HeadPitch`, `HeadRoll` and the same of
`LeftEye` and `RightEye`. Angles are in half turns (-1 to 1 for -180 to 180 degrees), as Unreal Engine's ARKit plug-in makes
them; yaw to the subject's left, pitch down and roll with the left side up are positive. Some exporters write radians:
that cannot be told from the numbers and is said with the format `livelink-radians`.

Source: Epic Games, Live Link Face documentation, "CSV files"; Unreal Engine, AppleARKit plug-in (ranges and signs).
"""

from __future__ import annotations

import csv
import dataclasses
import io
import itertools
import math
import re
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from gagjax.errors import InputError
from gagjax.expression.arkit.names import NAMES, columns_of
from gagjax.io.formats import fields, numbering
from gagjax.io.formats.arkit import common
from gagjax.io.formats.origin import of
from gagjax.text.printable import quoted
from gagjax.track import Track

if TYPE_CHECKING:
    from scipy.spatial.transform import Rotation

LIMIT = 1 << 28  # bytes
COLUMNS = 1000
RATES = (24, 25, 30, 48, 50, 60, 120)
_RATE = Fraction(60)  # Live Link Face's own, where the timecodes do not tell
_TURNS = ("Head", "LeftEye", "RightEye")
_PARTS = ("Yaw", "Pitch", "Roll")
_TIMECODE = re.compile(r"(\d{1,3}):(\d{2}):(\d{2})[:;](\d{2,3})(?:\.(\d{1,6}))?")
_FIX = "Export the take again with Live Link Face"


def load(file: Path) -> dict[str, Any]:
    """The cells of a file as text: `header`, a list, and `rows`, a list of lists.

    Raises:
        InputError: If it is too large or no table.
    """
    if file.stat().st_size > LIMIT:
        raise InputError(f"is larger than {LIMIT >> 20} MiB", file=file, fix="Split the take")
    try:
        text = file.read_text(encoding="utf-8-sig")
        rows = [row for row in csv.reader(io.StringIO(text, newline=""), strict=True) if row]
    except (UnicodeDecodeError, csv.Error, OSError) as error:
        raise InputError("is no readable table (.csv)", file=file, fix=_FIX) from error
    if not rows:
        raise InputError("is empty", file=file, fix=_FIX)
    return {"header": rows[0], "rows": rows[1:]}


def is_take(content: object) -> bool:
    """Whether a table looks like this format."""
    return isinstance(content, Mapping) and int((columns_of_table(content) >= 0).sum()) > 10


def columns_of_table(content: Mapping[str, Any]) -> np.ndarray:
    """Which weight each column of a table holds, -1 for others."""
    return columns_of(content["header"]) if len(content["header"]) <= COLUMNS else np.full(1, -1)


def read(content: Mapping[str, Any], file: Path, *, radians: bool = False) -> Track:
    """A take as a track.

    Args:
        content: The table.
        file: For messages.
        radians: Angles are in radians, not in half turns.

    Returns:
        The track: see `gagjax.io.formats.arkit.common.track_of`. The rate is that of the timecodes, 60 where they do not
        tell; missing timecodes and lines without a face are frames marked invalid.

    Raises:
        InputError: If a line has another number of cells, a cell is no number, or there is no line.
    """
    header, rows = [str(name).strip() for name in content["header"]], content["rows"]
    if not rows:
        raise InputError("has no frames", file=file, fix=_FIX)
    for number, row in enumerate(rows, 2):
        if len(row) != len(header):
            raise InputError(f"has {len(row)} cells in line {number}, {len(header)} columns", file=file, fix=_FIX)
    seen = _seen(header, rows)
    places = columns_of_table(content)
    weights = np.zeros((len(rows), len(NAMES)), np.float32)
    for column in np.flatnonzero(places >= 0):
        weights[:, places[column]] = _numbers(rows, seen, int(column), header[column], file)
    scale = 1.0 if radians else math.pi
    turns = {each: _turn(header, rows, seen, each, scale, file) for each in _TURNS}
    head, left, right = (turns[each] for each in _TURNS)
    eyes = None
    if left is not None and right is not None and (left.magnitude().any() or right.magnitude().any()):
        eyes = np.concatenate([left.as_rotvec(), right.as_rotvec()], 1)
    rate, frames = _times(header, rows)
    track = common.track_of(
        weights,
        rate,
        "livelink",
        {**content, "radians": radians},
        valid=seen,
        rotation=None if head is None else head.as_matrix(),
        eyes=eyes,
    )
    filled = None if frames is None else numbering.filled(frames, file)
    if filled is None:
        return track
    assert track.origin is not None
    origin = track.origin.at(np.where(filled.valid, filled.before, -1))
    whole = fields.at_frames(track, filled.before, filled.valid & seen[filled.before], None)
    return dataclasses.replace(whole, origin=origin)


def write(track: Track, path: Path) -> None:
    """A track with the channel `arkit` as a take; a take that it came from changes only where the track does.

    Raises:
        InputError: If it has no such channel.
    """
    weights = common.weights_in(track, path)
    origin = of(track, "livelink")
    text = io.StringIO(newline="")
    lines = csv.writer(text, lineterminator="\n")
    values = _values(track, weights, radians=origin is not None and bool(origin.content.get("radians")))
    seen = np.asarray(track.valid)
    if origin is None:
        names = [*(name[0].upper() + name[1:] for name in NAMES), *(a + b for a in _TURNS for b in _PARTS)]
        lines.writerow(["Timecode", "BlendShapeCount", *names])
        for i in range(len(track)):
            cells = [_cell(value) for value in values[i]] if seen[i] else ["0"] * len(names)
            lines.writerow([_timecode(i, track.fps), len(names) if seen[i] else 0, *cells])
    else:
        lines.writerow(origin.content["header"])
        was = read(origin.content, path, radians=bool(origin.content.get("radians")))
        assert was.origin is not None
        back = {int(frame): i for i, frame in enumerate(was.origin.frames) if frame >= 0}
        before = _values(was, np.asarray(was.extra["arkit"]), radians=bool(origin.content.get("radians")))
        for i, frame in enumerate(origin.frames):
            if frame < 0:
                continue
            row = origin.content["rows"][int(frame)]
            lost = not seen[i]  # stays lost
            lines.writerow(row if lost else _changed(origin.content, int(frame), before[back[int(frame)]], values[i]))
    path.write_text(text.getvalue(), encoding="utf-8")


def _changed(content: Mapping[str, Any], frame: int, before: np.ndarray, now: np.ndarray) -> list[str]:
    """A line of a take with the numbers that changed put in."""
    row = list(content["rows"][frame])
    places = columns_of_table(content)
    turns = {f"{a}{b}".lower(): len(NAMES) + 3 * i + j for i, a in enumerate(_TURNS) for j, b in enumerate(_PARTS)}
    for column, name in enumerate(content["header"]):
        place = int(places[column]) if places[column] >= 0 else turns.get(str(name).strip().lower(), -1)
        if place >= 0 and before[place] != now[place] and abs(before[place] - now[place]) > 1e-7:
            row[column] = _cell(now[place])
    return row


def _values(track: Track, weights: Float[np.ndarray, "T 52"], *, radians: bool) -> Float[np.ndarray, "T 61"]:
    """Weights, then yaw, pitch and roll of head, left and right eye."""
    from scipy.spatial.transform import Rotation

    turns = [Rotation.from_rotvec(np.asarray(track.eyes, np.float64)[:, k : k + 3]) for k in (0, 3)]
    head = track.extra.get("rotation", np.tile(np.eye(3), (len(track), 1, 1)))
    angles = [common.angles_of(each) for each in (Rotation.from_matrix(np.asarray(head, np.float64)), *turns)]
    return np.concatenate([weights, np.concatenate(angles, 1) / (1.0 if radians else math.pi)], 1)


def _cell(value: float) -> str:
    return f"{np.float32(value):.9g}"


def _seen(header: list[str], rows: list[list[str]]) -> np.ndarray:
    """Lines in which the face was seen."""
    names = [name.lower() for name in header]
    count = names.index("blendshapecount") if "blendshapecount" in names else None
    return np.asarray([count is None or row[count].strip() not in ("", "0") for row in rows])


def _numbers(rows: list[list[str]], seen: np.ndarray, column: int, name: str, file: Path) -> np.ndarray:
    found = np.zeros(len(rows))
    for i in np.flatnonzero(seen):
        try:
            found[i] = float(rows[i][column])
        except ValueError as error:
            raise InputError(
                f"is {quoted(rows[i][column])} in line {i + 2}, no number", file=file, field=name[:60], fix=_FIX
            ) from error
    with np.errstate(over="ignore"):
        return found.astype(np.float32)


def _turn(
    header: list[str], rows: list[list[str]], seen: np.ndarray, name: str, scale: float, file: Path
) -> Rotation | None:
    places = [
        next((i for i, each in enumerate(header) if each.lower() == f"{name}{part}".lower()), None) for part in _PARTS
    ]
    if None in places:
        return None
    angles = [scale * _numbers(rows, seen, place, header[place], file) for place in places if place is not None]
    if not np.isfinite(angles).all():
        raise InputError("is not finite", file=file, field=name, fix=_FIX)
    return common.turn_of(*angles)


def _times(header: list[str], rows: list[list[str]]) -> tuple[Fraction, list[int] | None]:
    """The rate, and the number of each line's frame where the timecodes count frames."""
    names = [name.lower() for name in header]
    if "timecode" not in names:
        return _RATE, None
    place = names.index("timecode")
    found = [_TIMECODE.fullmatch(row[place].strip()) for row in rows]
    if not all(found):
        return _RATE, None
    parts = [[int(each) for each in match.groups()[:4]] for match in found if match]
    seconds = [3600 * hours + 60 * minutes + second for hours, minutes, second, _ in parts]
    counted = [part[3] for part in parts]
    if max(counted) == 0 or max(seconds) == min(seconds):
        return _RATE, None
    rate = next((each for each in RATES if each > max(counted)), None)
    if rate is None:
        return _RATE, None
    numbers = [second * rate + frame for second, frame in zip(seconds, counted, strict=True)]
    if any(b <= a for a, b in itertools.pairwise(numbers)):
        return Fraction(rate), None  # two lines a frame: faster than the timecodes count
    if numbers[-1] - numbers[0] >= 10 * len(numbers):
        return Fraction(rate), None  # they count something else
    return Fraction(rate), numbers


def _timecode(frame: int, fps: Fraction) -> str:
    whole = max(1, round(fps))
    second, rest = divmod(frame, whole)
    return f"{second // 3600:02d}:{second // 60 % 60:02d}:{second % 60:02d}:{rest:02d}.000"
