"""Pickles of arrays that both NumPy 1 and NumPy 2 can read."""

from __future__ import annotations

import io
import pickle
from typing import Any, ClassVar

import numpy as np


class GlobalName:
    """A name written into a pickle as it stands, of something that need not be importable here.

    Args:
        module: The module.
        name: The name in it.
    """

    def __init__(self, module: str, name: str) -> None:
        self.module, self.name = module, name

    def __call__(self, *args: object) -> Any:
        raise TypeError("a name to be written, not a function")


class NamePickler(pickle._Pickler):
    """A pickler that writes `GlobalName`s as they stand and arrays as `save_array` says."""

    dispatch: ClassVar[dict[type, Any]] = dict(pickle._Pickler.dispatch)

    def save_array(self, value: np.ndarray) -> None:
        """Write an array."""
        raise NotImplementedError

    def _save_name(self, value: GlobalName) -> None:
        self.write(pickle.GLOBAL + f"{value.module}\n{value.name}\n".encode())  # type: ignore[attr-defined]
        self.memoize(value)  # type: ignore[attr-defined]

    def _save_array(self, value: np.ndarray) -> None:
        self.save_array(value)

    dispatch[GlobalName] = _save_name
    dispatch[np.ndarray] = _save_array


# NumPy 2 would write names that NumPy 1 does not know.
_RECONSTRUCT = GlobalName("numpy.core.multiarray", "_reconstruct")
_NDARRAY = GlobalName("numpy", "ndarray")


class _Pickler(NamePickler):
    def save_array(self, value: np.ndarray) -> None:
        data = np.ascontiguousarray(value)
        state = (1, value.shape, data.dtype, False, data.tobytes())
        self.save_reduce(_RECONSTRUCT, (_NDARRAY, (0,), b"b"), state, obj=value)  # type: ignore[attr-defined]


def dumps(value: object) -> bytes:
    """A pickle (protocol 4) of plain containers and arrays, readable by any NumPy and Python from 3.4.

    Example:
        >>> import pickle
        >>> pickle.loads(dumps({"x": np.ones(2, np.float32)}))
        {'x': array([1., 1.], dtype=float32)}
    """
    file = io.BytesIO()
    _Pickler(file, protocol=4).dump(value)
    return file.getvalue()
