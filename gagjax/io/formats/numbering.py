"""Frames named by numbers: their order in time, and the gaps where numbers are missing.

A name is split at its last run of digits into prefix, number and suffix: `clip_7`, `0007`, `frame0007.png`. The number
of digits is irrelevant: 9 precedes 00010.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int

from gagjax.errors import InputError

#: Number of frames that gaps may add, beyond ten per existing frame.
GAP_LIMIT = 3000
_NUMBERED = re.compile(r"(?P<before>.*?)(?P<number>[0-9]{1,12})(?P<after>[^0-9]*)", re.DOTALL)


class Filled(NamedTuple):
    """A frame sequence with gaps filled.

    Attributes:
        before: Index of the given frame used at each position: the frame itself or its last predecessor, (T,).
        valid: Whether the frame itself exists, (T,).
    """

    before: Int[np.ndarray, "T"]
    valid: Bool[np.ndarray, "T"]


def pattern(name: str) -> tuple[str, str] | None:
    """Prefix and suffix around the number in a name; None for a name without a number.

    Example:
        >>> pattern("frame0007.png")
        ('frame', '.png')
    """
    match = _NUMBERED.fullmatch(name)
    return None if match is None else (match["before"], match["after"])


def number(name: str) -> int | None:
    """The number in a name, or None."""
    match = _NUMBERED.fullmatch(name)
    return None if match is None else int(match["number"])


def order(names: Sequence[str], file: Path, *, strict: bool = True) -> tuple[Int[np.ndarray, "N"], list[int] | None]:
    """The temporal order of frames, and their numbers if they number the frames of one sequence.

    Args:
        names: The frames' names.
        file: For messages.
        strict: Whether implausibly large jumps are an error; otherwise such numbers (dates, for example) are ignored.

    Returns:
        Frame indices in temporal order, and the numbers in that order; without numbers, names are in natural order.

    Raises:
        InputError: If two names have the same number.
    """
    patterns = {pattern(name) for name in names}
    if len(patterns) != 1 or None in patterns:
        return natural(names), None
    numbers = [number(name) or 0 for name in names]
    index = np.array(sorted(range(len(names)), key=numbers.__getitem__))
    ordered = [numbers[i] for i in index]
    twice = next((a for a, b in itertools.pairwise(ordered) if a == b), None)
    if twice is not None:
        raise InputError(f"has two keys for frame {twice}", file=file, fix="Remove one of them")
    if not strict and _absurd(ordered):
        return index, None
    return index, ordered


def natural(names: Sequence[str]) -> Int[np.ndarray, "N"]:
    """The indices of names in natural order: runs of digits compare as numbers, whatever their length."""

    def key(text: str) -> list[tuple[int, int, str]]:
        parts = re.split(r"([0-9]+)", text)
        digits = [part.lstrip("0") if i % 2 else part for i, part in enumerate(parts)]
        return [(i % 2, len(part) * (i % 2), part) for i, part in enumerate(digits)]

    return np.array(sorted(range(len(names)), key=lambda i: key(names[i])), int)


def filled(numbers: Sequence[int], file: Path) -> Filled | None:
    """How to fill the gaps in increasing numbers; None if there is no gap.

    Raises:
        InputError: If the gaps are implausibly large.
    """
    first, frames = numbers[0], numbers[-1] - numbers[0] + 1
    if frames == len(numbers):
        return None
    if _absurd(numbers):
        raise InputError(
            f"its {len(numbers)} frames are numbered from {first} to {numbers[-1]}",
            file=file,
            fix="Split it where the numbers jump, or number the frames anew",
        )
    valid = np.zeros(frames, bool)
    valid[np.asarray(numbers) - first] = True
    return Filled(np.cumsum(valid) - 1, valid)


def names(given: Sequence[str], numbers: Sequence[int]) -> list[str]:
    """Names for every number from first to last: the given ones, and matching ones for gaps.

    Example:
        >>> names(["f08", "f11"], [8, 11])
        ['f08', 'f09', 'f10', 'f11']
    """
    match = _NUMBERED.fullmatch(given[0])
    assert match is not None
    # Digits are zero-padded if a given number starts with a zero.
    padded = next((m["number"] for m in map(_NUMBERED.fullmatch, given) if m and m["number"].startswith("0")), "")
    width = len(padded) if len(padded) > 1 else 0
    known = dict(zip(numbers, given, strict=True))
    return [known.get(n, f"{match['before']}{n:0{width}d}{match['after']}") for n in range(numbers[0], numbers[-1] + 1)]


def _absurd(numbers: Sequence[int]) -> bool:
    return numbers[-1] - numbers[0] + 1 > 10 * len(numbers) + GAP_LIMIT
