"""An unpickler that can build only arrays and plain containers.

A pickle is a program. `pickle_scan` first scans it without executing it, which bounds time and memory by the size of
the file. Then `pickle.Unpickler` executes it with an allow-list: each permitted name maps to code of this module, never
to the object of that name, and instances accept only known state. At worst, a file can yield wrong numbers. Finally
`plain` extracts the values, counting shared ones each time they occur.

Supported are NumPy arrays and scalars (written by NumPy 1 or 2, any protocol), Python's containers, the sparse and
chumpy arrays of FLAME's files (neither library is needed), and torch tensors (see `checkpoints.load_torch`).
"""

from __future__ import annotations

import io
import math
import pickle
import re
import reprlib
from collections.abc import Callable
from typing import Any

import numpy as np

from gagjax.io.untrusted import foreign_names, pickle_scan
from gagjax.io.untrusted.numbers import NotNumbersError, as_numbers

#: Bytes that may be allocated per byte of the file; strings that hold arrays exist two or three times.
GROWTH = 4
ALLOWANCE = 1 << 20
#: Bytes of the extracted values, shared ones counted at each occurrence, beyond GROWTH times the file.
EXPANSION = 1 << 26
SPARSE_LIMIT = 1 << 23
DEPTH = 64

_SCALARS = re.compile(r"[|<>=]?(b1|\?|[iu][1248]|[bBhHiIlLqQ]|f[248]|[efd]|c(8|16)|[FD]|[SaU]\d{1,7})")


class Refused(pickle.UnpicklingError):
    """The file requests something outside the allow-list: it is hostile or of an unsupported kind."""


class ForeignError(Refused):
    """The file holds an object of another library or program; harmless, judging by its name."""


class _Stateless:
    """An object that a file may reference but not modify."""

    __slots__ = ()

    def __setstate__(self, state: Any) -> None:
        raise Refused("it changes an object that has no state")


class Call(_Stateless):
    """A name that the file may call; unlike a function it has no state that a file could overwrite.

    Returned arrays are wrapped, since a file could modify a bare one.
    """

    __slots__ = ("function",)

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function

    def __call__(self, *args: Any) -> Any:
        made = self.function(*args)
        return _Array(None, made) if isinstance(made, np.ndarray | np.generic) else made


class _Dtype:
    """A NumPy dtype under construction: `numpy.dtype("f4")`, then its state with the byte order."""

    def __init__(self, spec: object, *_: object) -> None:
        if isinstance(spec, bytes):
            spec = spec.decode("latin1")
        if spec in ("O", "O8", "O4", "|O"):
            raise Refused("it holds an array of Python objects")
        if not isinstance(spec, str) or not _SCALARS.fullmatch(spec):
            raise Refused(f"it holds an array of type {reprlib.repr(spec)}")
        self.dtype = np.dtype(spec)

    def __setstate__(self, state: Any) -> None:
        order, names = state[1], state[3]
        if names is not None or state[2] is not None or order not in ("<", ">", "|", "="):
            raise Refused("it holds a structured array")
        self.dtype = self.dtype.newbyteorder(order)


class _ObjectDtype:
    """NumPy's type of arrays of Python objects, where those are read as lists."""

    def __setstate__(self, state: Any) -> None:
        pass


class _Array:
    """A NumPy array under construction: created empty, then filled by its state, once."""

    def __init__(self, budget: Callable[[int], None] | None, value: Any = None) -> None:
        self.budget = budget
        self.value: Any = value
        self.items: list[Any] | None = None  # of an array of objects

    def __setstate__(self, state: Any) -> None:
        if self.budget is None or self.value is not None or self.items is not None:
            raise Refused("it changes an array that is complete")
        _, shape, dtype, fortran, data = state
        if isinstance(dtype, _ObjectDtype):
            if not isinstance(data, list):
                raise Refused("it holds an array of Python objects without them")
            self.items = data
            return
        if isinstance(data, str):  # Python 2 wrote bytes as text
            data = data.encode("latin1")
        self.value = _array(data, dtype, shape, "F" if fortran else "C", self.budget)


class _Stub:
    """An instance of another library's class: only its attributes are kept."""

    kind = ""

    def __init__(self, *_: Any) -> None:
        self.state: dict[str, Any] = {}

    def __new__(cls, *_: Any) -> _Stub:
        stub = super().__new__(cls)
        stub.state = {}
        return stub

    def __setstate__(self, state: Any) -> None:
        if isinstance(state, tuple) and len(state) == 2:
            state = {**(state[0] or {}), **(state[1] or {})}
        if not isinstance(state, dict):
            raise Refused(f"its {self.kind} has a state that is not understood")
        self.state = state


class _Chumpy(_Stub):
    kind = "chumpy"


class _Sparse(_Stub):
    kind = "sparse"


class Marker(_Stateless):
    """A name that may be used as an argument but does nothing."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name


class _OrderedDict(dict):
    """A `collections.OrderedDict`: metadata attached by torch is dropped."""

    def __setstate__(self, state: Any) -> None:
        pass


def _array(data: object, dtype: object, shape: object, order: str, budget: Callable[[int], None]) -> np.ndarray:
    if not isinstance(dtype, _Dtype) or not isinstance(data, bytes | bytearray | memoryview):
        raise Refused("it holds an array of Python objects")
    shape = tuple(shape) if isinstance(shape, list | tuple) else (shape,)
    if len(shape) > 32 or any(type(n) is not int or not 0 <= n < 1 << 48 for n in shape):
        raise Refused("it holds an array whose shape is none")
    expected = math.prod(shape) * dtype.dtype.itemsize
    if expected != len(data):
        text = reprlib.repr(shape)  # of integers only: the repr of anything else could have any length
        raise Refused(f"it holds an array of shape {text} with {len(data)} bytes, not {expected:.6g}")
    budget(expected)
    value = np.frombuffer(data, dtype.dtype.newbyteorder("=") if dtype.dtype.isnative else dtype.dtype)
    return value.astype(dtype.dtype.newbyteorder("=")).reshape(shape, order=order)  # type: ignore[call-overload]


def load(
    data: bytes,
    names: dict[tuple[str, str], Any] | None = None,
    storage: Callable[[Any], Any] | None = None,
    *,
    size: int | None = None,
    objects: bool = False,
) -> Any:
    """The content of a pickle as arrays and plain containers.

    Args:
        data: The whole pickle.
        names: Further names that it may mention, `{(module, name): what stands for it}`.
        storage: Makes a value of a persistent id; None refuses them.
        size: Bytes of the file around it, where that is larger.
        objects: Arrays of Python objects are read as flat lists of what they hold; otherwise they are refused.

    Raises:
        Refused: If it references anything else, or would take disproportionate memory or time.
    """
    try:
        pickle_scan.check(data)
    except pickle_scan.ScanError as error:
        raise Refused(str(error)) from None
    if objects:
        kind = ("O", "O8", "O4", "|O")
        dtype = Call(lambda spec, *rest: _ObjectDtype() if spec in kind else _Dtype(spec, *rest))
        names = {**(names or {}), ("numpy", "dtype"): dtype}
    return plain(_Unpickler(data, names, storage).load(), GROWTH * (size or len(data)) + EXPANSION)


class _Unpickler(pickle.Unpickler):
    """The unpickler of one scanned pickle."""

    def __init__(
        self,
        data: bytes,
        names: dict[tuple[str, str], Any] | None = None,
        storage: Callable[[Any], Any] | None = None,
    ) -> None:
        super().__init__(io.BytesIO(data), encoding="latin1")
        self.left = GROWTH * len(data) + ALLOWANCE
        self.storage = storage
        self.names = self._names() | (names or {})

    def budget(self, size: int) -> None:
        """Take `size` bytes from the file's memory budget.

        Raises:
            Refused: If the budget is exhausted: a small file that expands this much is meant to exhaust memory.
        """
        self.left -= size
        if self.left < 0:
            raise Refused("it makes far more data than it holds")

    def _names(self) -> dict[tuple[str, str], Any]:
        def encode(text: object, encoding: object = "utf-8") -> bytes:
            if not isinstance(text, str) or encoding not in ("latin1", "latin-1", "utf-8", "utf8"):
                raise Refused("it encodes text in an unknown way")
            self.budget(len(text))
            return text.encode(encoding)

        def no_bytes() -> bytes:  # old protocols write b"" as a call; bytes(n) would allocate n bytes
            return b""

        def make_set(items: Any = ()) -> set:
            self.budget(64 * len(items))
            return set(map(_key, items))

        def make_dict(items: Any = ()) -> _OrderedDict:
            self.budget(64 * len(items))
            return _OrderedDict((_key(key), value) for key, value in items)

        def default_dict(factory: object = None) -> _OrderedDict:  # items follow as opcodes; factory is never called
            if factory is not None and not isinstance(factory, Marker):
                raise Refused("it holds a dict with an unknown factory")
            return _OrderedDict()

        def reconstruct(kind: object, *_: object) -> _Array:
            if kind is not ndarray:
                raise Refused("it holds a subclass of array")
            return _Array(self.budget)

        def from_buffer(data: object, dtype: object, shape: object, order: object = "C") -> np.ndarray:
            if order not in ("C", "F"):
                raise Refused("it holds an array in an unknown memory order")
            return _array(data, dtype, shape, order, self.budget)

        def scalar(dtype: object, data: object) -> Any:
            if isinstance(data, str):
                data = data.encode("latin1")
            return _array(data, dtype, (), "C", self.budget)[()]

        def python2_instance(kind: object, base: object, state: object) -> Any:
            if not (isinstance(kind, type) and issubclass(kind, _Stub)):
                raise Refused("it makes an instance of an unknown class")
            return kind()

        ndarray = Marker("numpy.ndarray")
        names: dict[tuple[str, str], Any] = {
            ("numpy", "ndarray"): ndarray,
            ("numpy", "dtype"): Call(_Dtype),
            ("_codecs", "encode"): Call(encode),
            ("collections", "OrderedDict"): Call(make_dict),
            ("collections", "defaultdict"): Call(default_dict),
            ("chumpy.ch", "Ch"): _Chumpy,
        }
        for core in ("numpy.core", "numpy._core"):
            names[f"{core}.multiarray", "_reconstruct"] = Call(reconstruct)
            names[f"{core}.multiarray", "scalar"] = Call(scalar)
            names[f"{core}.numeric", "_frombuffer"] = Call(from_buffer)
        for module in ("copyreg", "copy_reg"):
            names[module, "_reconstructor"] = Call(python2_instance)
        for module in ("builtins", "__builtin__"):
            for kind in ("object", "dict", "list", "int", "float", "str"):
                names[module, kind] = Marker(kind)
            names[module, "set"] = names[module, "frozenset"] = Call(make_set)
            names[module, "bytes"] = Call(no_bytes)
            names[module, "bytearray"] = Call(lambda text, *encoding: encode(text, *encoding))
        for module in ("scipy.sparse", "scipy.sparse.csc", "scipy.sparse._csc"):
            names[module, "csc_matrix"] = names[module, "csc_array"] = _Sparse
        return names

    def find_class(self, module: str, name: str) -> Any:
        try:
            return self.names[module, name]
        except (KeyError, TypeError):
            full = f"{str(module)[:60]}.{str(name)[:60]}"
            running = foreign_names.runs_programs(str(module), str(name))
            raise Refused(f"it mentions {full}") if running else ForeignError(f"a {full}") from None

    def persistent_load(self, pid: object) -> Any:
        if self.storage is None:
            raise Refused("it refers to data outside the file")
        return self.storage(pid)


def _key(value: object) -> Any:
    """A set member or dict key created by a call; those created by opcodes are checked by the scan."""
    parts = value if isinstance(value, tuple) else (value,)
    if len(parts) > pickle_scan.KEY_WEIGHT or not all(
        part is None or isinstance(part, str | bytes | int | float | _Array) for part in parts
    ):
        raise Refused("it holds a key made of absurdly many parts")
    return value


def plain(root: object, limit: int) -> Any:
    """Convert the unpickled object to arrays and plain containers, without classes of this module.

    Args:
        root: The unpickled object.
        limit: Maximum bytes, with shared values counted at each occurrence.

    Raises:
        Refused: If it contains itself, is nested too deeply, holds an unfinished object, or exceeds the limit.
    """
    done: dict[int, tuple[Any, int]] = {}
    keep: list[Any] = []  # objects whose id is a key of `done` must stay alive
    open_: set[int] = set()

    def visit(value: object, depth: int) -> tuple[Any, int]:
        if value is None or isinstance(value, int | float | complex):
            return value, 8
        if isinstance(value, str | bytes):
            return value, 8 + len(value)
        if isinstance(value, bytearray):
            return bytes(value), 8 + len(value)
        if isinstance(value, _Array) and value.value is not None:
            return value.value, 8 + value.value.nbytes
        key = id(value)
        if key in done:
            return done[key]
        if key in open_ or depth > DEPTH:
            raise Refused("it holds itself, or is nested too deep")
        open_.add(key)
        size = 8

        def inner(each: object) -> Any:
            nonlocal size
            made, more = visit(each, depth + 1)
            size += more
            if size > limit:
                raise Refused("it makes far more data than it holds")
            return made

        made = _visit_container(value, inner)
        open_.discard(key)
        keep.append(value)
        done[key] = made, size
        return made, size

    return visit(root, 0)[0]


def _visit_container(value: object, visit: Callable[[Any], Any]) -> Any:
    if isinstance(value, dict):
        found = {visit(k): visit(v) for k, v in value.items()}
        if len(found) != len(value):
            raise Refused("it holds two equal keys in one dict")
        return found
    if isinstance(value, list):
        return [visit(v) for v in value]
    if isinstance(value, _Array) and value.items is not None:
        return [visit(v) for v in value.items]
    if isinstance(value, tuple | set | frozenset):
        return type(value)(visit(v) for v in value)
    if isinstance(value, _Chumpy) and "x" in value.state:
        return _numbers(visit(value.state["x"]))
    if isinstance(value, _Sparse):
        return _dense({name: visit(inner) for name, inner in value.state.items()})
    raise Refused(f"it holds {getattr(value, 'name', type(value).__name__.strip('_'))}, which is not data")


def _numbers(value: object) -> np.ndarray:
    try:
        return as_numbers(value)
    except NotNumbersError as error:
        raise Refused(f"it holds an array that {error}") from None


def _dense(state: dict[str, Any]) -> np.ndarray:
    """The array of a compressed sparse column matrix."""
    data, rows, starts = (_numbers(state[name]) for name in ("data", "indices", "indptr"))
    height, width = (int(n) for n in _numbers(state["_shape"]))
    good = (
        height >= 0
        and width >= 0
        and height * width <= SPARSE_LIMIT
        and data.dtype.kind in "fiub"
        and data.ndim == rows.ndim == starts.ndim == 1
        and rows.dtype.kind in "iu"
        and starts.dtype.kind in "iu"
        and len(starts) == width + 1
        and len(data) == len(rows)
        and (starts[0], starts[-1]) == (0, len(data))
        and (np.diff(starts.astype(np.int64)) >= 0).all()
        and ((rows >= 0) & (rows < height)).all()
    )
    if not good:
        raise Refused("its sparse matrix is not consistent")
    dense = np.zeros((height, width), data.dtype)
    columns = np.repeat(np.arange(width), np.diff(starts.astype(np.int64)).astype(np.int64))
    np.add.at(dense, (rows, columns), data)
    return dense
