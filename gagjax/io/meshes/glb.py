"""Binary glTF 2.0: a JSON document and one buffer, put together array by array.

Source: Khronos Group, glTF 2.0 Specification, sections 3.6 (binary data), 3.7 (geometry), 3.11 (animations) and 4 (GLB).
"""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np

from gagjax.typing import AnyArray

_MAGIC, _JSON, _BIN = 0x46546C67, 0x4E4F534A, 0x004E4942
_COMPONENTS = {np.dtype("<f4"): 5126, np.dtype("<u2"): 5123, np.dtype("<u4"): 5125, np.dtype("u1"): 5121}
_SHAPES = {(): "SCALAR", (2,): "VEC2", (3,): "VEC3", (4,): "VEC4", (4, 4): "MAT4"}
#: What a buffer view holds: vertex attributes, indices, or neither.
VERTICES, INDICES = 34962, 34963


class Glb:
    """A glTF document under construction.

    Example:
        >>> glb = Glb("a point")
        >>> glb.array(np.zeros((1, 3), np.float32), bounds=True)
        0
        >>> glb.document["accessors"][0]["type"]
        'VEC3'
    """

    def __init__(self, title: str) -> None:
        self.document: dict[str, Any] = {
            "asset": {"version": "2.0", "generator": f"gagjax ({title})"},
            "buffers": [],
            "bufferViews": [],
            "accessors": [],
        }
        self._parts: list[bytes] = []
        self._length = 0

    def add(self, kind: str, entry: dict[str, Any]) -> int:
        """Append an object to one of the document's lists, such as "nodes"; its index there."""
        entries = self.document.setdefault(kind, [])
        entries.append(entry)
        return len(entries) - 1

    def array(self, values: AnyArray, *, target: int | None = None, bounds: bool = False) -> int:
        """Append an array as a buffer view with one accessor.

        Args:
            values: (N,), (N, 2), (N, 3), (N, 4) or (N, 4, 4), of float32, uint8, uint16 or uint32. Matrices row by
                row, as NumPy has them; glTF's are by column.
            target: `VERTICES`, `INDICES`, or None for animation and skin data.
            bounds: Write the smallest and largest value, which glTF demands of positions and of animation times.

        Returns:
            The accessor's index.
        """
        table = np.ascontiguousarray(values)
        table = table.astype(table.dtype.newbyteorder("<"), copy=False)
        by_column = table.transpose(0, 2, 1) if table.ndim == 3 else table
        content = np.ascontiguousarray(by_column).tobytes()
        view: dict[str, Any] = {"buffer": 0, "byteOffset": self._length, "byteLength": len(content)}
        if target is not None:
            view["target"] = target
        accessor: dict[str, Any] = {
            "bufferView": self.add("bufferViews", view),
            "componentType": _COMPONENTS[table.dtype],
            "count": len(table),
            "type": _SHAPES[table.shape[1:]],
        }
        if bounds:
            # Through float32 to decimal and back these must be the numbers in the buffer.
            accessor["min"] = [float(x) for x in np.atleast_1d(table.min(0))]
            accessor["max"] = [float(x) for x in np.atleast_1d(table.max(0))]
        padding = -len(content) % 4
        self._parts += [content, b"\0" * padding]
        self._length += len(content) + padding
        return self.add("accessors", accessor)

    def write(self, path: Path) -> None:
        """Write the document and its buffer to a file."""
        self.document["buffers"] = [{"byteLength": self._length}]
        text = json.dumps(self.document, separators=(",", ":"), allow_nan=False).encode("utf-8")
        text += b" " * (-len(text) % 4)
        total = 12 + 8 + len(text) + 8 + self._length
        with path.open("wb") as file:
            file.write(struct.pack("<III", _MAGIC, 2, total))
            file.write(struct.pack("<II", len(text), _JSON) + text)
            file.write(struct.pack("<II", self._length, _BIN))
            for part in self._parts:
                file.write(part)
