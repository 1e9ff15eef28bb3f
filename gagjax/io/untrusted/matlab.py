"""MATLAB's `.mat` files of version 5, which `scipy.io.savemat` writes: the arrays of numbers in them.

After a header of 128 bytes come elements: a type, a length, and as many bytes, padded to eight. A matrix is an element of
elements: flags (class), dimensions, name, numbers. Elements may be compressed with zlib. Matrices of text, structures, cells
and sparse matrices are passed over. Sizes are checked before anything is unpacked.

Source: The MathWorks, "MAT-File Format" (R2019b), chapter 1.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from gagjax.errors import InputError

LIMIT = 1 << 30  # bytes of the file
UNPACKED = 1 << 30  # bytes of all elements unpacked
ELEMENTS = 10_000
_HEADER = 128
_MATRIX, _COMPRESSED = 14, 15
_TYPES = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
_CLASSES = {6: "f8", 7: "f4", 8: "i1", 9: "u1", 10: "i2", 11: "u2", 12: "i4", 13: "u4", 14: "i8", 15: "u8"}
_FIX = "Write the file again with scipy.io.savemat, arrays of numbers by name, or as .npz"


class _Element(NamedTuple):
    kind: int
    data: bytes


def load_mat(path: str | Path) -> dict[str, np.ndarray]:
    """The arrays of numbers in a file, by name.

    Args:
        path: The file.

    Returns:
        Arrays of the type that MATLAB has them in; text, structures and cells are left out.

    Raises:
        InputError: If it is of another version, damaged, or too large.
    """
    file = Path(path)
    if not file.is_file():
        raise InputError("does not exist", file=file)
    if file.stat().st_size > LIMIT:
        raise InputError(f"is larger than {LIMIT >> 20} MiB", file=file, fix="Split it")
    data = file.read_bytes()
    if data[:8] == b"\x89HDF\r\n\x1a\n" or data[512:520] == b"\x89HDF\r\n\x1a\n":
        raise InputError("is a MATLAB file of version 7.3", file=file, fix="Save it with -v7, or as .npz")
    order = {b"IM": "<", b"MI": ">"}.get(data[126:128])
    if order is None:
        raise InputError("is no MATLAB file of version 5", file=file, fix=_FIX)
    left = UNPACKED
    found: dict[str, np.ndarray] = {}
    try:
        for element in _elements(data[_HEADER:], order):
            inner = element
            if element.kind == _COMPRESSED:
                unpacker = zlib.decompressobj()
                unpacked = unpacker.decompress(element.data, left + 1)
                left -= len(unpacked)
                if left < 0:
                    raise InputError("would unpack to more than 1 GiB", file=file, fix="Split it")
                inner = next(_elements(unpacked, order))
            if inner.kind != _MATRIX:
                continue
            named = _matrix(inner.data, order)
            if named is not None:
                found[named[0]] = named[1]
    except (struct.error, zlib.error, ValueError, StopIteration, OverflowError, UnicodeDecodeError) as error:
        raise InputError("is no readable MATLAB file", file=file, fix=_FIX) from error
    return found


def _elements(data: bytes, order: str) -> Iterator[_Element]:
    place = 0
    for _ in range(ELEMENTS):
        if place + 8 > len(data):
            return
        kind, size = struct.unpack_from(f"{order}II", data, place)
        if kind >> 16:  # a small element: type and length share a word, the data is in the next
            kind, size, start, step = kind & 0xFFFF, kind >> 16, place + 4, 8
            if size > 4:
                raise ValueError("a small element that is not small")
        else:
            start = place + 8
            step = 8 + (size if kind == _COMPRESSED else -(-size // 8) * 8)
        if start + size > len(data):
            raise ValueError("cut off")
        yield _Element(kind, data[start : start + size])
        place += step
    raise ValueError("too many elements")


def _matrix(data: bytes, order: str) -> tuple[str, np.ndarray] | None:
    """The name and the array of a matrix of real numbers; None for another."""
    parts = _elements(data, order)
    flags = struct.unpack_from(f"{order}I", next(parts).data)[0]
    kind = _CLASSES.get(flags & 0xFF)
    if kind is None or flags & 0x800:  # complex
        return None
    sizes = next(parts)
    shape = tuple(int(n) for n in np.frombuffer(sizes.data, f"{order}i4"))
    name = next(parts).data.decode("ascii")
    numbers = next(parts)
    stored = np.frombuffer(numbers.data, order + _TYPES[numbers.kind]) if numbers.kind in _TYPES else None
    if stored is None or len(shape) > 8 or any(n < 0 for n in shape) or math.prod(shape) != stored.size:
        raise ValueError("a matrix that does not fit its shape")
    return name[:200], stored.astype(kind).reshape(shape, order="F")
