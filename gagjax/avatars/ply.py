"""PLY files of Gaussians in the layout of 3D Gaussian splatting.

The layout is a list of float properties with agreed names; general mesh libraries that read such tables are large or
not permissively licensed, and the part that is needed is one structured array behind a text header.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from gagjax.errors import InputError

COUNT_LIMIT = 50_000_000
_HEADER_LIMIT = 1 << 16
_TYPES = {
    "char": "i1", "int8": "i1", "uchar": "u1", "uint8": "u1", "short": "<i2", "int16": "<i2", "ushort": "<u2",
    "uint16": "<u2", "int": "<i4", "int32": "<i4", "uint": "<u4", "uint32": "<u4", "float": "<f4", "float32": "<f4",
    "double": "<f8", "float64": "<f8",
}  # fmt: skip
_FIX = "Pass a point_cloud.ply as 3D Gaussian splatting or GaussianAvatars writes it"


def write(path: Path, columns: Mapping[str, np.ndarray]) -> None:
    """Write one element `vertex` with the columns as properties, binary little endian."""
    names = {np.dtype("<f4"): "float", np.dtype("<i4"): "int"}
    dtype = np.dtype([(name, column.dtype.newbyteorder("<")) for name, column in columns.items()])
    table = np.empty(len(next(iter(columns.values()))), dtype)
    for name, column in columns.items():
        table[name] = column
    lines = ["ply", "format binary_little_endian 1.0", f"element vertex {len(table)}"]
    lines += [f"property {names[column.dtype]} {name}" for name, column in columns.items()]
    with path.open("wb") as file:
        file.write("\n".join([*lines, "end_header", ""]).encode("ascii"))
        file.write(table.tobytes())


def read(path: Path) -> dict[str, np.ndarray]:
    """The columns of the element `vertex`.

    Raises:
        InputError: If it is not a binary little-endian PLY whose first element is `vertex` with scalar properties only,
            or it is cut off.
    """
    if not path.is_file():
        raise InputError("is not a file", file=path, fix=_FIX)
    with path.open("rb") as file:
        start = file.read(_HEADER_LIMIT)
        end = start.find(b"end_header\n")
        if not start.startswith(b"ply\n") or end < 0:
            raise InputError("is not a PLY file", file=path, fix=_FIX)
        count, fields = _header(start[:end].decode("ascii", "replace").splitlines(), path)
        dtype = np.dtype(fields)
        file.seek(end + len(b"end_header\n"))
        content = file.read(count * dtype.itemsize)
    if len(content) < count * dtype.itemsize:
        raise InputError(
            f"is cut off: {count} points were announced", file=path, fix="Copy the file again: it is damaged"
        )
    table = np.frombuffer(content, dtype)
    return {name: np.array(table[name]) for name, _ in fields}


def _header(lines: list[str], path: Path) -> tuple[int, list[tuple[str, str]]]:
    def refuse(why: str) -> InputError:
        return InputError(why, file=path, fix=_FIX)

    count, fields = -1, []
    for words in (line.split() for line in lines[1:]):
        match words:
            case [] | ["comment" | "obj_info", *_]:
                continue
            case ["format", name, _]:
                if name != "binary_little_endian":
                    raise refuse(f"is a PLY in format {name}; binary_little_endian is read")
            case ["element", "vertex", number] if count < 0 and number.isdigit():
                count = int(number)
            case ["element", *_]:
                if count < 0:
                    raise refuse("does not begin with its vertices")
                break  # what follows the vertices is not needed
            case ["property", kind, name] if kind in _TYPES and count >= 0:
                fields.append((name, _TYPES[kind]))
            case _:
                raise refuse(f"has a header line that is not understood: {' '.join(words)[:60]!r}")
    if not 0 <= count <= COUNT_LIMIT or not fields or len({name for name, _ in fields}) < len(fields):
        raise refuse(f"announces {count} points with {len(fields)} properties")
    return count, fields
