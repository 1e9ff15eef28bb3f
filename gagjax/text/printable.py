"""Text from files, made fit for a terminal: names in a file may hold anything."""

from __future__ import annotations

import reprlib
from typing import Any


def escaped(text: object, keep: str = "") -> str:
    """Text with every character that is not printable as an escape: control characters could steer a terminal, marks of
    writing direction show another text than the one that is there, halves of surrogate pairs cannot be written at all.

    Args:
        text: Anything; its `str` is taken.
        keep: Characters that stay although they are not printable, such as line breaks.

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


def quoted(value: Any) -> str:
    """A value of any kind as a message can quote it: short, printable, and never an error.

    Example:
        >>> quoted([1] * 1000)
        '[1, 1, 1, 1, 1, 1, ...]'
        >>> quoted(1 << 100_000)
        'a number of 100001 bits'
    """
    try:
        text = reprlib.repr(value)
    except ValueError:  # Python writes no whole numbers of more than some thousand digits
        text = f"a number of {value.bit_length()} bits" if isinstance(value, int) else f"a {type(value).__name__}"
    return escaped(text if len(text) <= 120 else f"{text[:117]}...")


class Escaping:
    """A text stream that escapes what is written to it, line breaks and tabs excepted.

    Args:
        stream: Where the text goes.
    """

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write text."""
        self._stream.write(escaped(text, keep="\n\t"))
        return len(text)

    def writelines(self, lines: Any) -> None:
        """Write texts one after another."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
