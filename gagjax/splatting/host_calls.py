"""Calls from compiled programs to functions on the host, by a name that a cached program keeps.

JAX bakes the address of a Python callback into the program that calls it, and therefore never keeps such a program in
its compilation cache. A target of XLA's foreign function interface (FFI) is looked up by name when a program is loaded;
the handler here is a C function pointer to Python, which passes XLA's own buffers on as NumPy arrays.

Source: XLA's C interface for custom calls, `xla/ffi/api/c_api.h`, version 0.3, shipped in jaxlib.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jaxtyping import Array

from gagjax.typing import AnyArray

#: What a host function is: it fills the outputs, float32, from the inputs.
HostFunction = Callable[..., None]

_VERSION = (0, 3)  # of the layouts below; XLA refuses a handler of a version that it cannot call
_METADATA = 1  # XLA_FFI_Extension_Metadata
_FLOAT32 = 11  # XLA_FFI_DataType_F32
_INTERNAL = 13  # XLA_FFI_Error_Code_INTERNAL


def _struct(name: str, *fields: tuple[str, Any]) -> Any:
    """A C structure that starts as all of the interface do: its size, and a list of extensions."""
    head = [("struct_size", ctypes.c_size_t), ("extension", ctypes.c_void_p)]
    return type(name, (ctypes.Structure,), {"_fields_": [*head, *fields]})


def _plain(name: str, *fields: tuple[str, Any]) -> Any:
    return type(name, (ctypes.Structure,), {"_fields_": list(fields)})


_Buffer = _struct(
    "_Buffer",
    ("dtype", ctypes.c_int),
    ("data", ctypes.c_void_p),
    ("rank", ctypes.c_int64),
    ("dims", ctypes.POINTER(ctypes.c_int64)),
)
_Values = _struct(
    "_Values", ("size", ctypes.c_int64), ("types", ctypes.c_void_p), ("values", ctypes.POINTER(ctypes.c_void_p))
)
_Attributes = _struct(
    "_Attributes",
    ("size", ctypes.c_int64),
    ("types", ctypes.c_void_p),
    ("names", ctypes.c_void_p),
    ("values", ctypes.c_void_p),
)
_Version = _struct("_Version", ("major", ctypes.c_int), ("minor", ctypes.c_int))
_Api = _struct("_Api", ("version", _Version), ("internal", ctypes.c_void_p), ("create_error", ctypes.c_void_p))
_Frame = _struct(
    "_Frame",
    ("api", ctypes.c_void_p),
    ("context", ctypes.c_void_p),
    ("stage", ctypes.c_int),
    ("arguments", _Values),
    ("results", _Values),
    ("attributes", _Attributes),
)
_Extension = _plain("_Extension", ("struct_size", ctypes.c_size_t), ("kind", ctypes.c_int), ("next", ctypes.c_void_p))
_Metadata = _plain("_Metadata", ("struct_size", ctypes.c_size_t), ("version", _Version), ("traits", ctypes.c_uint32))
_MetadataExtension = _plain("_MetadataExtension", ("base", _Extension), ("metadata", ctypes.c_void_p))
_Error = _struct("_Error", ("message", ctypes.c_char_p), ("code", ctypes.c_int))

_Handler = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p)
_CreateError = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p)

_handlers: dict[str, Any] = {}  # C pointers to Python live as long as the process: XLA never forgets a target


class _Memory:
    """Memory that NumPy can view."""

    def __init__(self, address: int, shape: tuple[int, ...], readonly: bool) -> None:
        self.__array_interface__ = {
            "data": (address, readonly),
            "shape": shape,
            "typestr": "<f4",
            "version": 3,
        }


def register(name: str, function: HostFunction) -> bool:
    """Make a function callable by name from compiled programs; a second registration of the name changes nothing.

    Args:
        name: The name under which programs call it.
        function: Called with the list of output arrays to fill, then the input arrays: float32, XLA's own memory.

    Returns:
        Whether this version of XLA takes the handler; if not, call `function` by a callback of JAX.
    """
    if name not in _handlers:
        handler: Any = _Handler(functools.partial(_handle, function))
        try:
            jax.ffi.register_ffi_target(name, jax.ffi.pycapsule(handler), platform="cpu")
        except Exception:  # whatever the class: XLA's refusal of the version of its interface
            handler = None
        _handlers[name] = handler
    return _handlers[name] is not None


def _handle(function: HostFunction, address: int) -> int | None:
    """One call by XLA: the address of an error, or None."""
    frame = _Frame.from_address(address)
    if frame.extension:
        extension = _MetadataExtension.from_address(frame.extension)
        if extension.base.kind == _METADATA:  # asked at the registration: no call
            version = _Metadata.from_address(extension.metadata).version
            version.major, version.minor = _VERSION
            return None
    try:
        function(_arrays(frame.results, False), *_arrays(frame.arguments, True))
    except BaseException as error:  # nothing may cross the border to C
        return _error(frame, f"{type(error).__name__}: {error}")
    return None


def _arrays(values: Any, readonly: bool) -> list[np.ndarray]:
    """The buffers of a call as NumPy arrays that own nothing."""
    arrays = []
    for k in range(values.size):
        buffer = _Buffer.from_address(values.values[k])
        if buffer.dtype != _FLOAT32:
            raise TypeError(f"buffer {k} has XLA's type {buffer.dtype}, expected float32")
        shape = tuple(buffer.dims[i] for i in range(buffer.rank))
        empty = 0 in shape or not buffer.data
        arrays.append(np.zeros(shape, np.float32) if empty else np.asarray(_Memory(buffer.data, shape, readonly)))
    return arrays


def _error(frame: Any, message: str) -> int | None:
    arguments = _Error(ctypes.sizeof(_Error), None, message.encode(), _INTERNAL)
    create = _CreateError(_Api.from_address(frame.api).create_error)
    return create(ctypes.addressof(arguments))


def call(name: str, shapes: tuple[tuple[int, ...], ...], *arguments: AnyArray) -> tuple[Array, ...]:
    """Call a registered function inside a program that runs on the CPU.

    Args:
        name: The name of `register`.
        shapes: Shapes of the outputs, float32.
        *arguments: float32 arrays.

    Returns:
        The outputs. `vmap` calls the function once for each element of the batch.
    """
    results = tuple(jax.ShapeDtypeStruct(shape, np.float32) for shape in shapes)
    return tuple(jax.ffi.ffi_call(name, results, vmap_method="sequential")(*arguments))
