"""A bounded reader of FlatBuffers and FlexBuffers, the two encodings inside a TFLite file.

It is used once, when a network is installed. Every offset and length is checked against the file before use, vectors
and nesting are bounded, and nothing is executed, so that a damaged or hostile file raises an `InputError`.

Source: the FlatBuffers and FlexBuffers internals documents (flatbuffers.dev).
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Shaped

from gagjax.errors import InputError

MAX_BYTES = 64 << 20  # the largest network installed by gagjax has 2.5 MB
MAX_ITEMS = 1 << 24
MAX_DEPTH = 8

_FLEX_NULL, _FLEX_INT, _FLEX_UINT, _FLEX_FLOAT, _FLEX_KEY, _FLEX_STRING = range(6)
_FLEX_MAP, _FLEX_VECTOR, _FLEX_VECTOR_INT, _FLEX_VECTOR_UINT, _FLEX_VECTOR_FLOAT = range(9, 14)
_FLEX_BOOL = 26


class Buffer:
    """The bytes of a FlatBuffer, read with every access checked.

    Args:
        data: The whole file.
        file: Its name, for messages.

    Raises:
        InputError: If the file is too short or too large to be one.

    Example:
        >>> Buffer(bytes([4, 0, 0, 0, 4, 0, 0, 0, 4, 0, 4, 0]), "example").scalar(0, "<I")
        4
    """

    def __init__(self, data: bytes, file: str | Path) -> None:
        self.data, self.file = data, file
        if not 8 <= len(data) <= MAX_BYTES:
            raise self.damaged(f"has {len(data)} bytes")

    def damaged(self, problem: str) -> InputError:
        """The error to raise for bytes that violate the format."""
        return InputError(f"is no valid FlatBuffer: {problem}", file=self.file, fix="Run `gagjax models --force` again")

    def scalar(self, place: int, code: str) -> Any:
        """One number of `struct` code `code` at a byte position."""
        size = struct.calcsize(code)
        if place < 0 or place + size > len(self.data):
            raise self.damaged(f"refers to byte {place} of {len(self.data)}")
        return struct.unpack_from(code, self.data, place)[0]

    def indirect(self, place: int) -> int:
        """The target position of the unsigned offset stored at `place`."""
        target = place + self.scalar(place, "<I")
        if target <= place or target >= len(self.data):
            raise self.damaged(f"an offset at byte {place} leaves the file")
        return target

    def root(self) -> Table:
        """The root table."""
        return Table(self, self.indirect(0))

    def span(self, place: int, count: int, size: int) -> int:
        """The position, after checking that `count` items of `size` bytes are inside the file."""
        if not 0 <= count <= MAX_ITEMS or place < 0 or place + count * size > len(self.data):
            raise self.damaged(f"a vector of {count} items at byte {place} leaves the file")
        return place


class Table:
    """A FlatBuffer table: fields by number, with defaults for absent ones.

    Args:
        buffer: The file.
        place: Byte position of the table.
    """

    def __init__(self, buffer: Buffer, place: int) -> None:
        self.buffer, self.place = buffer, place
        self.vtable = place - buffer.scalar(place, "<i")
        self.size = buffer.scalar(self.vtable, "<H")
        if self.size < 4 or self.size % 2:
            raise buffer.damaged(f"a table at byte {place} has a vtable of {self.size} bytes")

    def _field(self, number: int) -> int | None:
        slot = 4 + 2 * number
        if slot + 2 > self.size:
            return None
        offset = self.buffer.scalar(self.vtable + slot, "<H")
        return self.place + offset if offset else None

    def scalar(self, number: int, code: str, default: Any = 0) -> Any:
        """A number field."""
        place = self._field(number)
        return default if place is None else self.buffer.scalar(place, code)

    def table(self, number: int) -> Table | None:
        """A table field, or None."""
        place = self._field(number)
        return None if place is None else Table(self.buffer, self.buffer.indirect(place))

    def array(self, number: int, dtype: str) -> Shaped[np.ndarray, "N"]:
        """A vector of numbers; empty if absent."""
        place = self._field(number)
        if place is None:
            return np.zeros(0, dtype)
        start = self.buffer.indirect(place)
        count = self.buffer.scalar(start, "<I")
        self.buffer.span(start + 4, count, np.dtype(dtype).itemsize)
        return np.frombuffer(self.buffer.data, dtype, count, start + 4)

    def tables(self, number: int) -> list[Table]:
        """A vector of tables; empty if absent."""
        place = self._field(number)
        if place is None:
            return []
        start = self.buffer.indirect(place)
        count = self.buffer.scalar(start, "<I")
        self.buffer.span(start + 4, count, 4)
        return [Table(self.buffer, self.buffer.indirect(start + 4 + 4 * i)) for i in range(count)]

    def text(self, number: int) -> str:
        """A string field; empty if absent."""
        return bytes(self.array(number, "u1")).decode("utf-8", "replace")


def flexbuffer(data: bytes, file: str | Path) -> Any:
    """The value of a FlexBuffer: maps, vectors, numbers and strings as Python objects.

    Args:
        data: The encoded value; empty bytes give an empty dictionary.
        file: For messages.

    Raises:
        InputError: If the bytes are not a FlexBuffer of those types.
    """
    if not data:
        return {}
    if len(data) < 3:
        raise InputError("holds a damaged option", file=file)
    return _Flex(data, file).value(len(data) - 2 - data[-1], data[-1], data[-2], 0)


class _Flex:
    def __init__(self, data: bytes, file: str | Path) -> None:
        self.data, self.file = data, file

    def _damaged(self) -> InputError:
        return InputError("holds a damaged option", file=self.file, fix="Run `gagjax models --force` again")

    def _number(self, place: int, width: int, kind: str) -> Any:
        codes = {"int": "bhiq", "uint": "BHIQ", "float": " efd"}[kind]
        if width not in (1, 2, 4, 8) or (kind == "float" and width == 1):
            raise self._damaged()
        if place < 0 or place + width > len(self.data):
            raise self._damaged()
        return struct.unpack_from("<" + codes[width.bit_length() - 1], self.data, place)[0]

    def _follow(self, place: int, width: int) -> int:
        target = place - self._number(place, width, "uint")
        if not 0 <= target < len(self.data):
            raise self._damaged()
        return target

    def _text(self, place: int) -> str:
        end = self.data.find(0, place)
        if end < 0 or end - place > 256:
            raise self._damaged()
        return self.data[place:end].decode("utf-8", "replace")

    def _count(self, place: int, width: int) -> int:
        count = self._number(place - width, width, "uint")
        if count * width > len(self.data):
            raise self._damaged()
        return count

    def value(self, place: int, width: int, packed: int, depth: int) -> Any:
        """The value of packed type `packed` in a slot of `width` bytes at `place`."""
        kind, inner = packed >> 2, 1 << (packed & 3)
        if depth > MAX_DEPTH:
            raise self._damaged()
        if kind == _FLEX_NULL:
            return None
        if kind in (_FLEX_INT, _FLEX_UINT, _FLEX_FLOAT):
            return self._number(place, width, ("int", "uint", "float")[kind - 1])
        if kind == _FLEX_BOOL:
            return bool(self._number(place, width, "uint"))
        target = self._follow(place, width)
        if kind in (_FLEX_KEY, _FLEX_STRING):
            return self._text(target)
        if kind in (_FLEX_VECTOR_INT, _FLEX_VECTOR_UINT, _FLEX_VECTOR_FLOAT):
            name = ("int", "uint", "float")[kind - _FLEX_VECTOR_INT]
            return [self._number(target + i * inner, inner, name) for i in range(self._count(target, inner))]
        if kind in (_FLEX_MAP, _FLEX_VECTOR):
            count = self._count(target, inner)
            types = target + count * inner
            values = [
                self.value(target + i * inner, inner, self._number(types + i, 1, "uint"), depth + 1)
                for i in range(count)
            ]
            if kind == _FLEX_VECTOR:
                return values
            keys = self._follow(target - 3 * inner, inner)
            wide = self._number(target - 2 * inner, inner, "uint")
            return {self._text(self._follow(keys + i * wide, wide)): value for i, value in enumerate(values)}
        raise self._damaged()
