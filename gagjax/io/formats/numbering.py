"""Frames named by numbers: their order in time, and the gaps where numbers are missing.

A name is read as what comes before its last run of digits, the number, and what comes after: `clip_7`, `0007`,
`frame0007.png`. The width of the digits means nothing: 9 comes before 00010.
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

#: Frames that gaps may add, beyond ten for each frame that is there.
GAP_LIMIT = 3000
_NUMBERED = re.compile(r"(?P<before>.*?)(?P<number>[0-9]{1,12})(?P<after>[^0-9]*)", re.DOTALL)


class Filled(NamedTuple):
    """A sequence of frames without gaps in its numbers.

    Attributes:
        before: Which of the given frames stands at each place: the frame itself or the last one before it, (T,).
        valid: Whether the frame itself is there, (T,).
    """

    before: Int[np.ndarray, "T"]
    valid: Bool[np.ndarray, "T"]


def pattern(name: str) -> tuple[str, str] | None:
    """What surrounds the number in a name; None for a name without one.

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
    """The order in time of frames, and their numbers if they count frames of one sequence.

    Args:
        names: The frames' names.
        file: For messages.
        strict: Numbers that jump absurdly far are an error; otherwise they do not count frames (dates, say).

    Returns:
        The index of each frame in time, and the numbers in that order; without numbers, names are sorted as people do.

    Raises:
        InputError: If two names have one number.
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
    """The index of each name in the order of people: runs of digits compare as numbers, however long they are."""

    def key(text: str) -> list[tuple[int, int, str]]:
        parts = re.split(r"([0-9]+)", text)
        digits = [part.lstrip("0") if i % 2 else part for i, part in enumerate(parts)]
        return [(i % 2, len(part) * (i % 2), part) for i, part in enumerate(digits)]

    return np.array(sorted(range(len(names)), key=lambda i: key(names[i])), int)


def filled(numbers: Sequence[int], file: Path) -> Filled | None:
    """How to fill the gaps in rising numbers; None where there is no gap.

    Raises:
        InputError: If the gaps are absurdly large.
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
    """Names for every number from the first to the last: those given, and ones like them for gaps.

    Example:
        >>> names(["f08", "f11"], [8, 11])
        ['f08', 'f09', 'f10', 'f11']
    """
    match = _NUMBERED.fullmatch(given[0])
    assert match is not None
    # Digits are padded where they are in a name that begins with a zero.
    padded = next((m["number"] for m in map(_NUMBERED.fullmatch, given) if m and m["number"].startswith("0")), "")
    width = len(padded) if len(padded) > 1 else 0
    known = dict(zip(numbers, given, strict=True))
    return [known.get(n, f"{match['before']}{n:0{width}d}{match['after']}") for n in range(numbers[0], numbers[-1] + 1)]


def _absurd(numbers: Sequence[int]) -> bool:
    return numbers[-1] - numbers[0] + 1 > 10 * len(numbers) + GAP_LIMIT
