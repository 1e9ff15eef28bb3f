"""Nested plain data, as found in pickles, stored as JSON and one byte array instead of a pickle.

Text, numbers, None and containers are stored in the JSON, tagged if JSON has no such type; arrays and bytes are
concatenated in the array and referenced from the JSON.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import UInt8

_KINDS = "biufcSU"
DEPTH = 32


def packed(value: object) -> tuple[Any, UInt8[np.ndarray, "N"]]:
    """A value as JSON-compatible data, and the bytes to which it refers.

    Args:
        value: Dicts, lists, tuples, sets, text, bytes, numbers, None and NumPy arrays of numbers or text.

    Returns:
        The tree for JSON, and the bytes, (N,).

    Raises:
        TypeError: If it holds anything else.

    Example:
        >>> tree, data = packed({"x": np.ones(2, np.float32)})
        >>> unpacked(tree, data)
        {'x': array([1., 1.], dtype=float32)}
    """
    parts: list[bytes] = []
    length = 0

    def put(data: bytes) -> list[int]:
        nonlocal length
        parts.append(data)
        length += len(data)
        return [length - len(data), len(data)]

    def visit(item: object) -> Any:
        if item is None or type(item) in (bool, str):
            return item
        if type(item) is int:
            return item if abs(item) < 1 << 53 else {"int": str(item)}
        if type(item) is float:
            return item if math.isfinite(item) else {"float": str(item)}
        if isinstance(item, complex) and not isinstance(item, np.generic):
            return {"complex": [visit(item.real), visit(item.imag)]}
        if isinstance(item, bytes | bytearray):
            return {"bytes": put(bytes(item))}
        if isinstance(item, np.ndarray | np.generic):
            if item.dtype.kind not in _KINDS:
                raise TypeError(f"an array of {item.dtype}")
            array = np.asarray(item)
            kind = "array" if isinstance(item, np.ndarray) else "scalar"
            return {kind: [array.dtype.str, list(array.shape), *put(array.tobytes())]}
        for name, container in (("list", list), ("tuple", tuple), ("set", set), ("frozenset", frozenset)):
            if isinstance(item, container):
                made = [visit(each) for each in item]
                return made if name == "list" else {name: made}
        if isinstance(item, Mapping):
            return {"dict": [[visit(key), visit(each)] for key, each in item.items()]}
        raise TypeError(f"a {type(item).__name__}")

    tree = visit(value)
    return tree, np.frombuffer(b"".join(parts), np.uint8)


def unpacked(tree: object, data: UInt8[np.ndarray, "N"]) -> Any:
    """The inverse of `packed`.

    Args:
        tree: The tree from the JSON.
        data: The bytes, (N,).

    Raises:
        ValueError: If the two are not a result of `packed`.
    """
    if data.dtype != np.uint8 or data.ndim != 1:
        raise ValueError("no bytes")
    budget = 4 * data.size + (1 << 20)  # overlapping arrays could amplify a small input

    def take(start: object, size: object) -> bytes:
        nonlocal budget
        if type(start) is not int or type(size) is not int or not 0 <= start <= start + size <= data.size:
            raise ValueError("bytes outside")
        budget -= size
        if budget < 0:
            raise ValueError("far more data than it holds")
        return data[start : start + size].tobytes()

    def visit(item: object, depth: int) -> Any:
        if depth > DEPTH:
            raise ValueError("nested too deep")
        if item is None or isinstance(item, bool | str | int | float):
            return item
        if isinstance(item, list):
            return [visit(each, depth + 1) for each in item]
        if not isinstance(item, dict) or len(item) != 1:
            raise ValueError("no such tree")
        ((kind, held),) = item.items()
        if kind == "dict":
            return {visit(key, depth + 1): visit(each, depth + 1) for key, each in held}
        if kind in _CONTAINERS:
            return _CONTAINERS[kind](visit(each, depth + 1) for each in held)
        if kind == "bytes":
            return take(*held)
        if kind in ("int", "float") and isinstance(held, str) and len(held) < 400:
            return int(held) if kind == "int" else float(held)
        if kind == "complex":
            return complex(visit(held[0], depth + 1), visit(held[1], depth + 1))
        if kind in ("array", "scalar"):
            dtype, shape, start, size = held
            if np.dtype(dtype).kind not in _KINDS or any(type(n) is not int or n < 0 for n in shape):
                raise ValueError("no such array")
            array = np.frombuffer(take(start, size), np.dtype(dtype)).reshape(shape).copy()
            return array if kind == "array" else array[()]
        raise ValueError("no such tree")

    return visit(tree, 0)


_CONTAINERS: dict[str, Any] = {"tuple": tuple, "set": set, "frozenset": frozenset}
