"""What the readers of other trackers share: records in their order, fields by any of their names, cameras and lids."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
from jaxtyping import Float

from gagjax.camera import UNITS_PER_METRE
from gagjax.conventions import rotations
from gagjax.errors import InputError
from gagjax.io.formats import fields, numbering
from gagjax.io.formats.origin import Origin
from gagjax.track import Track

Value = TypeVar("Value")
_FLIP = np.diag([-1.0, -1.0, 1.0])  # OpenCV's camera (x right, y down) to a track's (x left, y up)


class Records(NamedTuple):
    """What a file or a folder holds, in time order.

    Attributes:
        records: One dict with rows over time, or one a frame.
        names: The frames' names, where they have some.
        numbers: Their numbers, where the names count frames.
    """

    records: list[Mapping[str, Any]]
    names: list[str] | None
    numbers: list[int] | None


def records_in(content: object, known: Collection[str]) -> list[Mapping[str, Any]]:
    """The dicts of a content that hold one of some fields: itself, or the items of a list or a dict of frames."""
    if isinstance(content, Mapping):
        if known & content.keys() if isinstance(known, set) else any(name in content for name in known):
            return [content]
        content = list(content.values())
    if not isinstance(content, list | tuple) or not content:
        return []
    found = [each for each in content if isinstance(each, Mapping) and any(name in each for name in known)]
    return found if len(found) == len(content) else []


def ordered(content: object, known: Collection[str], file: Path) -> Records:
    """The records of a content in time order.

    Args:
        content: What `records_in` finds records in; the keys of a dict of frames are names.
        known: Fields of which a record holds at least one.
        file: For messages.

    Raises:
        InputError: If there is none, or two names have one number.
    """
    found = records_in(content, known)
    if not found:
        raise InputError("has no frames", file=file, fix="Export it again")
    if isinstance(content, Mapping) and found[0] is not content:
        names = [str(key) for key in content]
        order, numbers = numbering.order(names, file, strict=False)
        return Records([found[i] for i in order], [names[i] for i in order], numbers)
    return Records(list(found), None, None)


def column(
    records: Sequence[Mapping[str, Any]], names: Sequence[str], width: int, file: Path, *, exact: bool = True
) -> Float[np.ndarray, "T n"] | None:
    """A field of all records, rows over time.

    Args:
        records: One with rows over time, or one a frame.
        names: What the field may be called, the first found counts.
        width: Numbers a frame; fewer are padded with zeros where `exact` is False.
        file: For messages.
        exact: The field has exactly so many.

    Returns:
        (T, width) float32, or None where no record has the field.

    Raises:
        InputError: If some records lack it, it holds anything but numbers, or has another width.
    """
    name = next((each for each in names if each in records[0]), None)
    if name is None:
        return None
    rows = []
    for i, record in enumerate(records):
        place = name if len(records) == 1 else f"[{i}].{name}"
        value = fields.array(fields.member(record, name, file, "" if len(records) == 1 else f"[{i}]"), file, place)
        if value.size == 0 or value.ndim == 0 or value.ndim > 4:
            raise InputError(f"has shape {value.shape}, expected (T, {width})", file=file, field=place)
        flat = _rows(value, width, exact)
        if flat is None or (len(records) > 1 and len(flat) != 1):
            wanted = f"(T, {width})" if len(records) == 1 else f"({width},)"
            raise InputError(f"has shape {value.shape}, expected {wanted}", file=file, field=place)
        rows.append(flat)
    if len({row.shape[1] for row in rows}) != 1:
        raise InputError("differs in width from frame to frame", file=file, field=name)
    with np.errstate(over="ignore"):
        joined = np.concatenate(rows).astype(np.float32)
    return np.pad(joined, ((0, 0), (0, width - joined.shape[1])))


def _rows(value: np.ndarray, width: int, exact: bool) -> np.ndarray | None:
    """Rows of numbers out of (n,), (T, n), (T, 1, n), (1, T, n), or (T, a, b) with a b = n; None where they do not come out."""
    for axis in range(value.ndim):
        if math.prod(value.shape[axis:]) == width:
            return value.reshape(-1, width)
    last = value.shape[-1]
    return value.reshape(-1, last) if not exact and 0 < last < width else None


def needed(value: Value | None, what: str, file: Path) -> Value:
    """A field that has to be there.

    Raises:
        InputError: If it is None.
    """
    if value is None:
        raise InputError("is missing", file=file, field=what, fix="Export it again with that field")
    return value


def same_length(file: Path, **given: np.ndarray | None) -> int:
    """How many frames fields have.

    Raises:
        InputError: If they differ.
    """
    lengths = {name: len(value) for name, value in given.items() if value is not None}
    if len(set(lengths.values())) != 1:
        said = ", ".join(f"{name} {count}" for name, count in lengths.items())
        raise InputError(f"has fields of unequal length ({said})", file=file, fix="Export it again")
    return next(iter(lengths.values()))


def finished(track: Track, found: Records, file: Path, source: str, known: Collection[str]) -> Track:
    """A track with its frames' names, gaps in their numbers as frames marked invalid, and what was left unread.

    Args:
        track: The frames that are there.
        found: The records of its file.
        file: For messages.
        source: What the track says of its origin, and the origin's format.
        known: Fields that were read.
    """
    names = found.names if found.names is not None and len(found.names) == len(track) else None
    unread = sorted({str(name)[:60] for record in found.records for name in record} - set(known))
    origin = Origin(source, {"unread": unread, "frames": len(track)}, np.arange(len(track)))
    track = dataclasses.replace(track, names=None if names is None else tuple(names), source=source, origin=origin)
    filled = None if found.numbers is None or names is None else numbering.filled(found.numbers, file)
    if filled is None or names is None or found.numbers is None:
        return track
    whole = fields.at_frames(track, filled.before, filled.valid, numbering.names(names, found.numbers))
    return dataclasses.replace(whole, origin=origin.at(np.where(filled.valid, filled.before, -1)))


def camera_of(
    rotation: Float[np.ndarray, "T 3 3"], translation: Float[np.ndarray, "T 3"]
) -> Float[np.ndarray, "T 3 4"]:
    """A track's camera from OpenCV's `x_camera = R x + t`: x right, y down, z forward, metres."""
    turned = (_FLIP @ np.asarray(rotation, np.float64)).transpose(0, 2, 1)
    placed = UNITS_PER_METRE * np.asarray(translation, np.float64) @ _FLIP
    return np.concatenate([turned, placed[:, :, None]], 2).astype(np.float32)


def matrices(vectors: Float[np.ndarray, "T 3"]) -> Float[np.ndarray, "T 3 3"]:
    """Rotation matrices of axis-angle vectors; NaN where those are not finite, which is looked for later."""
    finite = np.isfinite(vectors).all(1)
    turned = rotations.matrices(np.where(finite[:, None], vectors, 0.0)).astype(np.float32)
    turned[~finite] = np.nan
    return turned


def vectors_of_6d(values: Float[np.ndarray, "T 6"]) -> Float[np.ndarray, "T 3"]:
    """Axis-angle vectors of rotations given by their first two rows; NaN where those are not finite."""
    finite = np.isfinite(values).all(1)
    turned = rotations.vectors(rotations.from_6d(np.where(finite[:, None], values, np.eye(3)[:2].reshape(6))))
    return np.where(finite[:, None], turned, np.nan).astype(np.float32)
