"""Escape untrusted text from files for printing on a terminal."""

from __future__ import annotations

import reprlib
from collections.abc import Iterable
from typing import Any


def escaped(text: object, keep: str = "") -> str:
    """Escape every non-printable character: control characters could control the terminal, bidirectional marks could
    disguise the text, and lone surrogates cannot be encoded.

    Args:
        text: Any value, converted by `str`.
        keep: Non-printable characters to keep, such as line breaks.

    Example:
        >>> escaped("a\\x1b[2Jb\\n")
        'a\\\\x1b[2Jb\\\\n'
        >>> escaped("Zoë_12")
        'Zoë_12'
    """
    line = str(text)
    if line.isprintable():
        return line
    return "".join(c if c.isprintable() or c in keep else _escape(c) for c in line)


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


def quoted(value: object) -> str:
    """Quote any value for a message: short, printable, and without raising.

    Example:
        >>> quoted([1] * 1000)
        '[1, 1, 1, 1, 1, 1, ...]'
        >>> quoted(1 << 100_000)
        'a number of 100001 bits'
    """
    try:
        text = reprlib.repr(value)
    except ValueError:  # Python refuses to print integers of more than some thousand digits
        text = f"a number of {value.bit_length()} bits" if isinstance(value, int) else f"a {type(value).__name__}"
    return escaped(text if len(text) <= 120 else f"{text[:117]}...")


class Escaping:
    """A text stream that escapes written text, except for line breaks and tabs.

    Args:
        stream: The underlying stream.
    """

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write text."""
        self._stream.write(escaped(text, keep="\n\t"))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Write texts one after another."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
