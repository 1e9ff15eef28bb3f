"""Files that `torch.load` reads, written without torch: arrays become tensors.

A `.pt` file is an uncompressed zip archive of one folder: `data.pkl`, a pickle of protocol 2 in which each tensor is a call of
`torch._utils._rebuild_tensor_v2` on a storage, `data/0` and so on, the bytes of the storages, `byteorder` and `version`. All
names in the pickle are on the list of `torch.load(..., weights_only=True)`.

Source: PyTorch documentation, "Serialization semantics" (file format of torch.save); `torch.serialization`, 1.6 and newer.
"""

from __future__ import annotations

import io
import zipfile
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import numpy as np

from gagjax.io.formats.pickling import GlobalName, NamePickler

_STORAGES = {
    "f8": "DoubleStorage",
    "f4": "FloatStorage",
    "f2": "HalfStorage",
    "i8": "LongStorage",
    "i4": "IntStorage",
    "i2": "ShortStorage",
    "i1": "CharStorage",
    "u1": "ByteStorage",
    "b1": "BoolStorage",
    "c8": "ComplexFloatStorage",
    "c16": "ComplexDoubleStorage",
}
_REBUILD = GlobalName("torch._utils", "_rebuild_tensor_v2")
_ORDERED = GlobalName("collections", "OrderedDict")
_ROOT = "archive"
#: torch aligns what lies in its archives, so that it can be mapped into memory.
_ALIGNMENT = 64


class _Storage:
    """A storage, to be written as a reference to its entry in the archive."""

    def __init__(self, key: str, kind: str, count: int) -> None:
        self.reference = ("storage", GlobalName("torch", kind), key, "cpu", count)


class _TensorPickler(NamePickler):
    def __init__(self, file: io.BytesIO) -> None:
        super().__init__(file, protocol=2)
        self.storages: list[bytes] = []

    def persistent_id(self, obj: object) -> Any:
        return obj.reference if isinstance(obj, _Storage) else None

    def save_array(self, value: np.ndarray) -> None:
        code = f"{value.dtype.kind}{value.dtype.itemsize}"
        if code not in _STORAGES:
            raise TypeError(f"an array of {value.dtype}, which torch has no type for")
        data = np.ascontiguousarray(value.astype(value.dtype.newbyteorder("<"), copy=False)).reshape(value.shape)
        storage = _Storage(str(len(self.storages)), _STORAGES[code], int(data.size))
        self.storages.append(data.tobytes())
        strides = (
            tuple(int(step) for step in np.cumprod((1, *value.shape[:0:-1]), dtype=np.int64)[::-1])
            if value.ndim
            else ()
        )
        hooks = _Call(_ORDERED, ())
        call = (storage, 0, tuple(int(n) for n in value.shape), strides, False, hooks)
        self.save_reduce(_REBUILD, call, obj=value)  # type: ignore[attr-defined]


class _Call:
    """A call without a state, written as it stands."""

    def __init__(self, name: GlobalName, arguments: tuple[Any, ...]) -> None:
        self.name, self.arguments = name, arguments

    def __reduce__(self) -> tuple[Any, ...]:
        return self.name, self.arguments


def dumps(value: object) -> bytes:
    """A `.pt` file of plain containers, text, numbers and arrays.

    Args:
        value: Dicts, lists, tuples, text, numbers, flags, None, and NumPy arrays of the types that torch has.

    Returns:
        The file's bytes; arrays come back as tensors of their type and shape.

    Raises:
        TypeError: If it holds anything else.

    Example:
        >>> import tempfile
        >>> from gagjax.io.untrusted.checkpoints import load_torch
        >>> from pathlib import Path
        >>> path = Path(tempfile.mkdtemp()) / "a.pt"
        >>> _ = path.write_bytes(dumps({"x": np.ones(2, np.float32)}))
        >>> load_torch(path)
        {'x': array([1., 1.], dtype=float32)}
    """
    file = io.BytesIO()
    pickler = _TensorPickler(file)
    pickler.dump(_plain(value))
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_STORED) as archive:
        entries = [("data.pkl", file.getvalue()), ("byteorder", b"little")]
        entries += [(f"data/{key}", data) for key, data in enumerate(pickler.storages)]
        for name, data in [*entries, ("version", b"3\n")]:
            _put(archive, f"{_ROOT}/{name}", data)
    return made.getvalue()


def _put(archive: zipfile.ZipFile, name: str, data: bytes) -> None:
    info = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))  # the same content is the same file
    assert archive.fp is not None
    start = archive.fp.tell() + 30 + len(name.encode()) + 4
    space = -start % _ALIGNMENT
    info.extra = b"FB" + space.to_bytes(2, "little") + b"Z" * space
    archive.writestr(info, data)


def _plain(value: object) -> Any:
    """A value without NumPy's scalars, once it is known that it holds nothing but data."""
    if isinstance(value, np.generic):
        return value.item() if value.dtype.kind in "biuf" else np.asarray(value)
    if value is None or type(value) in (bool, int, float, str) or isinstance(value, np.ndarray):
        return value
    if isinstance(value, OrderedDict | dict | Mapping):
        return {_plain(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return (
            type(value)(_plain(each) for each in value) if type(value) in (list, tuple) else [_plain(v) for v in value]
        )
    raise TypeError(f"a {type(value).__name__}")
