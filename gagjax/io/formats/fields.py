"""Validation of single fields of untrusted files, with messages that name file and field."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gagjax.errors import InputError
from gagjax.io.untrusted.numbers import NotNumbersError, as_numbers
from gagjax.track import Track, per_frame_lens


def member(record: object, key: str, file: Path, where: str = "") -> Any:
    """The value of `key` in a dict of an untrusted file.

    Raises:
        InputError: If it is not a dict or lacks the key.
    """
    if not isinstance(record, Mapping):
        raise InputError(f"is a {type(record).__name__}, expected a dict", file=file, field=where or None)
    if key not in record:
        found = names_in(record, 12)
        raise InputError(f"misses {key!r} (it has {found})", file=file, field=where or None)
    return record[key]


def names_in(content: Mapping[Any, Any], count: int) -> str:
    """The first keys of a mapping as text, each truncated for use in a message."""
    return ", ".join(sorted(str(key)[:60] for key in content)[:count]) or "nothing"


def array(value: object, file: Path, field: str) -> np.ndarray:
    """Convert a file's value to an array: a number, nested lists of numbers, or an array.

    Raises:
        InputError: If it holds anything but numbers.
    """
    try:
        return as_numbers(value)
    except NotNumbersError as error:
        raise InputError(f"{error}", file=file, field=field) from error


def numbers(value: object, shape: tuple[int, ...], file: Path, field: str) -> np.ndarray:
    """A float32 array of a given shape; leading axes of length one are dropped.

    Raises:
        InputError: If it does not hold numbers or has another shape.
    """
    value = _numeric(value, file, field)
    squeezed = value
    while squeezed.ndim > len(shape) and squeezed.shape[0] == 1:
        squeezed = squeezed[0]
    if squeezed.shape != shape:
        raise InputError(f"has shape {value.shape}, expected {shape}", file=file, field=field)
    return squeezed


def sequence(value: object, shape: tuple[int, ...], file: Path, field: str, frames: int | None = None) -> np.ndarray:
    """A float32 array (T, *shape).

    Raises:
        InputError: If it does not hold numbers, has another shape, or not `frames` frames.
    """
    value = _numeric(value, file, field)
    if value.ndim != len(shape) + 1 or value.shape[1:] != shape:
        raise InputError(f"has shape {value.shape}, expected {('T', *shape)}", file=file, field=field)
    if frames is not None and value.shape[0] != frames:
        raise InputError(f"has {value.shape[0]} frames, others have {frames}", file=file, field=field)
    return value


def stacked(records: Sequence[Any], key: str, shape: tuple[int, ...], file: Path, places: Sequence[str]) -> np.ndarray:
    """One field of every record, (T, *shape) float32; `places` name the records in messages.

    Raises:
        InputError: If a record lacks it or has another shape.
    """
    return np.stack(
        [
            numbers(member(record, key, file, place), shape, file, f"{place}.{key}")
            for record, place in zip(records, places, strict=True)
        ]
    )


def coefficients(value: object, columns: int, file: Path, field: str) -> np.ndarray:
    """Rows of coefficients, (T, columns) float32, zero-padded if the tracker estimates fewer.

    Raises:
        InputError: If it does not hold numbers, is not (T, n), or has more columns.
    """
    value = _numeric(value, file, field)
    if value.ndim != 2 or not 0 < value.shape[1] <= columns:
        raise InputError(f"has shape {value.shape}, expected (T, {columns}) or fewer columns", file=file, field=field)
    return np.pad(value, ((0, 0), (0, columns - value.shape[1])))


def stacked_coefficients(
    records: Sequence[Any], key: str, columns: int, file: Path, places: Sequence[str]
) -> np.ndarray:
    """`coefficients` with one row per record, of the same length in all records.

    Raises:
        InputError: If a record lacks it, holds too many, or a different number from most records.
    """
    rows = []
    for record, place in zip(records, places, strict=True):
        row = _numeric(member(record, key, file, place), file, f"{place}.{key}")
        if row.ndim == 0 or row.size != row.shape[-1]:
            raise InputError(f"has shape {row.shape}, expected ({columns},)", file=file, field=f"{place}.{key}")
        rows.append(row.reshape(-1))
    usual = int(np.median([len(row) for row in rows]))
    for row, place in zip(rows, places, strict=True):
        if not 0 < len(row) <= columns or len(row) != usual:
            expected = f"({columns},)" if len(row) == usual else f"({usual},) as in other frames"
            raise InputError(f"has shape {row.shape}, expected {expected}", file=file, field=f"{place}.{key}")
    return coefficients(np.stack(rows), columns, file, key)


def at_frames(track: Track, index: np.ndarray, valid: np.ndarray, names: Sequence[str] | None) -> Track:
    """The track with the frames at the given indices (which may repeat), with new flags and names."""

    def take(value: object) -> Any:
        return np.asarray(value)[index]

    return dataclasses.replace(
        track,
        **track.channels.map(take)._asdict(),
        shape=take(track.shape) if track.shape is not None and track.shape.ndim == 2 else track.shape,
        valid=valid,
        origin=None,
        names=None if names is None else tuple(names),
        intrinsics=per_frame_lens(track.intrinsics, take),
    )


def _numeric(value: object, file: Path, field: str) -> np.ndarray:
    value = array(value, file, field)
    if value.dtype.kind == "c":
        raise InputError(f"holds {value.dtype}, not numbers", file=file, field=field)
    with np.errstate(over="ignore"):  # overflow of float32 becomes infinite, which is checked later
        return value.astype(np.float32)
