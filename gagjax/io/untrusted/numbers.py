"""Convert untrusted values to arrays: only numbers, arrays of numbers and nested lists of them.

`np.asarray` accepts anything: a list with one long and many short strings becomes an array of the longest width, a list
of objects an object array. Here only numbers and numeric arrays are accepted, up to a limit.
"""

from __future__ import annotations

import numpy as np

LIMIT = 1 << 27  # maximum count of numbers in nested lists
DEPTH = 32


class NotNumbersError(ValueError):
    """What is wrong with a value, as a clause ("holds text, not numbers")."""


def as_numbers(value: object, limit: int = LIMIT) -> np.ndarray:
    """An untrusted value as an array of numbers or booleans.

    Args:
        value: A number, an array, or lists of them, nested.
        limit: Maximum count of numbers.

    Returns:
        The array, with its own dtype.

    Raises:
        NotNumbersError: If it holds anything else, or lists of unequal length.

    Example:
        >>> as_numbers([[1, 2], [3, 4]]).shape
        (2, 2)
        >>> as_numbers(["1"])
        Traceback (most recent call last):
        gagjax.io.untrusted.numbers.NotNumbersError: holds text, not numbers
    """
    if isinstance(value, list | tuple):
        _count(value, limit, 0)
    elif not isinstance(value, np.ndarray | np.generic | int | float | complex):
        raise NotNumbersError(f"holds {_kind(value)}, not numbers")
    try:
        array = np.asarray(value)
    except (ValueError, OverflowError) as error:
        raise NotNumbersError("is no array: its lists are of unequal length") from error
    if array.dtype.kind not in "fiubc":
        kind = "whole numbers of more than 64 bits" if array.dtype == object else f"{array.dtype}"[:40]
        raise NotNumbersError(f"holds {kind}, not numbers")
    return array


def _count(value: list | tuple, left: int, depth: int) -> int:
    """The remainder of the limit after the numbers of nested lists, counted at each occurrence."""
    if depth > DEPTH:
        raise NotNumbersError(f"is nested deeper than {DEPTH}")
    for each in value:
        if isinstance(each, list | tuple):
            left = _count(each, left - 1, depth + 1)
        elif isinstance(each, np.ndarray | np.generic):
            if each.dtype.kind not in "fiubc":
                raise NotNumbersError(f"holds {_kind(each)}, not numbers")
            left -= each.size
        elif isinstance(each, int | float | complex):
            left -= 1
        else:
            raise NotNumbersError(f"holds {_kind(each)}, not numbers")
        if left < 0:
            raise NotNumbersError("holds more numbers than any track")
    return left


def _kind(value: object) -> str:
    if isinstance(value, str | bytes):
        return "text"
    if isinstance(value, np.ndarray | np.generic):
        return f"{value.dtype}"[:40]
    return "nothing" if value is None else type(value).__name__[:40]
