"""Read untrusted pickles, torch files and NumPy archives into NumPy arrays without executing code in them.

torch, SciPy and chumpy are not needed. See `unpickle` for the supported content.
"""

from __future__ import annotations

import contextlib
import math
import reprlib
import tarfile
import warnings
import zipfile
import zlib
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np

from gagjax.errors import InputError
from gagjax.io.untrusted.torch_pickle import storage_bytes
from gagjax.io.untrusted.unpickle import Call, ForeignError, Marker, Refused, load

GIBIBYTE = 1 << 30
PICKLE_LIMIT = 4 * GIBIBYTE
TORCH_LIMIT = 32 * GIBIBYTE
NPZ_LIMIT = 2 * GIBIBYTE
NPZ_SMALL, NPZ_RATIO = GIBIBYTE >> 2, 64  # beyond this size, the maximum expansion of an archive is this ratio
ENTRIES = 100_000

_SAFER = "It was not loaded and nothing in it ran. Do not open it with pickle.load or torch.load either"
_PLAIN = (
    "Nothing of it was loaded or run. Save its arrays instead where it was made, as NumPy arrays or torch tensors in "
    "dicts and lists"
)
_OBJECTS = "Nothing of it was loaded. Save arrays of numbers or text, one by one if their lengths differ"
_DAMAGED = "Copy or write the file again: it is damaged or cut off"


def load_pickle(path: str | Path) -> Any:
    """The content of a pickle that holds arrays and plain containers.

    Args:
        path: The file. Python 2 pickles are read as well.

    Returns:
        Dicts, lists, tuples, sets, strings, numbers and NumPy arrays. FLAME's sparse matrices become dense arrays;
        chumpy arrays and torch tensors become arrays.

    Raises:
        InputError: If it cannot be read, is damaged, or references anything outside the allow-list (it is then hostile
            or not a data file; none of it is executed).
    """
    file = _existing(path, PICKLE_LIMIT)
    data = file.read_bytes()
    if _is_zip(file):
        raise InputError("is a zip archive, not a pickle", file=file, fix="Name it .pt if torch.save wrote it")
    with _reported(file, "pickle"):
        tensors = _TorchReader(None, {}, "", "<", len(data))
        return load(data, tensors.names())


def load_torch(path: str | Path) -> Any:
    """The content of a file written by `torch.save`, with tensors as NumPy arrays, without torch.

    Args:
        path: The `.pt` or `.pth` file, in the zip format of torch 1.6 and newer.

    Returns:
        As `load_pickle`; tensors become arrays of the same dtype, except bfloat16, which becomes float32 (exactly).

    Raises:
        InputError: If it cannot be read, is damaged, in torch's older format, or holds more than data.
    """
    file = _existing(path, TORCH_LIMIT)
    if not _is_zip(file):
        _explain_non_zip(file)
    with _reported(file, "torch file"), zipfile.ZipFile(file) as archive:
        if any(name.endswith("/constants.pkl") for name in archive.namelist()):
            raise InputError(
                "is a TorchScript program, not a checkpoint", file=file, fix="Save the state_dict with torch.save"
            )
        entries = {info.filename: info for info in _entries(archive, file, compressed=False)}
        roots = [name.removesuffix("data.pkl") for name in entries if name.endswith("/data.pkl")]
        if len(roots) != 1:
            raise Refused("it has no data.pkl")
        (root,) = roots
        order = archive.read(f"{root}byteorder") if f"{root}byteorder" in entries else b"little"
        reader = _TorchReader(archive, entries, root, ">" if order == b"big" else "<", file.stat().st_size)
        data = archive.read(entries[f"{root}data.pkl"])
        return load(data, reader.names(), reader.storage, size=file.stat().st_size)


def load_npz(path: str | Path, only: Collection[str] | None = None) -> dict[str, np.ndarray]:
    """The arrays of a NumPy archive; object arrays are refused, sizes checked before anything is allocated.

    Args:
        path: The file.
        only: The arrays to read; None is all.

    Raises:
        InputError: If it cannot be read, is damaged, too large, or holds Python objects.
    """
    file = _existing(path, PICKLE_LIMIT)
    if not _is_zip(file):
        raise InputError("is no NumPy archive (.npz)", file=file, fix=_DAMAGED)
    arrays: dict[str, np.ndarray] = {}
    with _reported(file, "NumPy archive"), zipfile.ZipFile(file) as archive:
        for info in _entries(archive, file, compressed=True):
            name = info.filename.removesuffix(".npy")
            if name == info.filename or (only is not None and name not in only):
                continue
            with archive.open(info) as entry:
                arrays[info.filename.removesuffix(".npy")] = _read_npy(entry, info)
    return arrays


def npz_names(path: str | Path) -> list[str]:
    """The names of the arrays in a NumPy archive; none of them is read.

    Raises:
        InputError: If it is no such archive.
    """
    file = _existing(path, PICKLE_LIMIT)
    if not _is_zip(file):
        raise InputError("is no NumPy archive (.npz)", file=file, fix=_DAMAGED)
    with _reported(file, "NumPy archive"), zipfile.ZipFile(file) as archive:
        names = [info.filename for info in _entries(archive, file, compressed=True)]
    return [name.removesuffix(".npy") for name in names if name.endswith(".npy")]


def load_npy(path: str | Path) -> Any:
    """The content of a `.npy` file: an array, or what `numpy.save` made of a dict or a list.

    Args:
        path: The file. A plain pickle under such a name is read as well: some trackers write one.

    Returns:
        An array, or plain containers of arrays as `load_pickle` gives them.

    Raises:
        InputError: If it cannot be read, is damaged, or holds more than data.
    """
    file = _existing(path, PICKLE_LIMIT)
    with file.open("rb") as handle:
        magic = handle.read(6)
    if magic != b"\x93NUMPY":
        return load_pickle(file)
    with _reported(file, "NumPy array"), file.open("rb") as handle:
        version = np.lib.format.read_magic(handle)
        reader = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}.get(version)
        if reader is None:
            raise Refused(f"its format version {version} is unknown")
        shape, fortran, dtype = reader(handle)
        size = file.stat().st_size - handle.tell()
        if dtype.names is not None or (dtype.hasobject and (dtype != np.dtype(object) or len(shape) > 1)):
            raise Refused("it holds a structured array")
        data = handle.read(size)
        if dtype.hasobject:
            found = load(data, objects=True)
            if not isinstance(found, list) or len(found) != math.prod(shape):
                raise Refused("its objects do not fit its shape")
            return found if shape else found[0]
        expected = math.prod(shape) * dtype.itemsize
        if any(n < 0 for n in shape) or expected != len(data):
            raise Refused(f"it declares shape {shape}, which it does not hold")
        value = np.frombuffer(data, dtype).reshape(shape, order="F" if fortran else "C")
        return value.astype(dtype.newbyteorder("="))


def _read_npy(entry: IO[bytes] | zipfile.ZipExtFile, info: zipfile.ZipInfo) -> np.ndarray:
    version = np.lib.format.read_magic(entry)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # NumPy warns about headers written by Python 2
        if version == (1, 0):
            shape, fortran, dtype = np.lib.format.read_array_header_1_0(entry)
        elif version == (2, 0):
            shape, fortran, dtype = np.lib.format.read_array_header_2_0(entry)
        else:
            raise Refused(f"its format version {version} is unknown")
    if dtype.hasobject or dtype.names is not None:
        raise InputError("holds Python objects, not numbers", field=info.filename.removesuffix(".npy"), fix=_OBJECTS)
    size = math.prod(shape) * dtype.itemsize
    if any(n < 0 for n in shape) or size > info.file_size:
        raise Refused(f"{info.filename} declares shape {shape}, which it does not hold")
    data = entry.read(size)
    if len(data) != size:
        raise Refused(f"{info.filename} is cut off")
    # `entry.read()` reaches the end of the entry, where zipfile checks the CRC.
    if entry.read(1):
        raise Refused(f"{info.filename} holds more than its shape {shape}")
    value = np.frombuffer(data, dtype).reshape(shape, order="F" if fortran else "C")
    return value.astype(dtype.newbyteorder("="))


class _Storage(NamedTuple):
    data: np.ndarray  # bytes
    dtype: str | None  # None: untyped


#: torch's storage classes and dtype names, as NumPy type codes; "bf" is bfloat16.
_STORAGES = {
    "DoubleStorage": "f8",
    "FloatStorage": "f4",
    "HalfStorage": "f2",
    "BFloat16Storage": "bf",
    "LongStorage": "i8",
    "IntStorage": "i4",
    "ShortStorage": "i2",
    "CharStorage": "i1",
    "ByteStorage": "u1",
    "BoolStorage": "b1",
    "ComplexFloatStorage": "c8",
    "ComplexDoubleStorage": "c16",
    "UntypedStorage": None,
}
_DTYPES = {
    "float64": "f8", "float32": "f4", "float16": "f2", "bfloat16": "bf", "int64": "i8", "int32": "i4", "int16": "i2",
    "int8": "i1", "uint8": "u1", "uint16": "u2", "uint32": "u4", "uint64": "u8", "bool": "b1", "complex64": "c8",
    "complex128": "c16",
}  # fmt: skip


class _TorchReader:
    """The storages of one archive and the names by which its pickle builds tensors."""

    def __init__(
        self, archive: zipfile.ZipFile | None, entries: dict[str, zipfile.ZipInfo], root: str, order: str, size: int
    ) -> None:
        self.archive, self.entries, self.root, self.order = archive, entries, root, order
        self.left = 4 * size + (1 << 26)  # expanded tensors are larger than their storage; excessive ones are refused
        self.cache: dict[str, np.ndarray] = {}

    def names(self) -> dict[tuple[str, str], Any]:
        found: dict[tuple[str, str], Any] = {("torch", name): Marker(f"torch.{name}") for name in _STORAGES}
        found |= {("torch", name): Marker(f"torch.{name}") for name in _DTYPES}
        found["torch.storage", "UntypedStorage"] = Marker("torch.UntypedStorage")
        found["torch._utils", "_rebuild_tensor_v2"] = Call(self.tensor)
        found["torch._utils", "_rebuild_tensor_v3"] = Call(self.tensor_of_type)
        found["torch._utils", "_rebuild_parameter"] = Call(lambda data, *_: data)
        if self.archive is None:  # a plain pickle, in which each tensor embeds its storage
            found["torch.storage", "_load_from_bytes"] = Call(lambda data: _Storage(*storage_bytes(data, _STORAGES)))
        found["torch", "Size"] = Call(_size)
        found["torch", "device"] = Call(_device)
        return found

    def storage(self, pid: Any) -> _Storage:
        kind, marker, key = pid[0], pid[1], pid[2]
        if self.archive is None:
            raise Refused("it refers to data outside the file")
        if kind != "storage" or not isinstance(marker, Marker) or not isinstance(key, str):
            raise Refused("it refers to data in an unknown way")
        code = _STORAGES[marker.name.removeprefix("torch.")]
        if key not in self.cache:
            info = self.entries[f"{self.root}data/{key}"]
            self.left -= info.file_size
            if self.left < 0:
                raise Refused("it makes far more data than it holds")
            data = np.empty(info.file_size, np.uint8)
            with self.archive.open(info) as entry:
                if entry.readinto(memoryview(data)) != data.size or entry.read(1):  # type: ignore[attr-defined]
                    raise Refused(f"its storage {key} is cut off")
            self.cache[key] = data
        return _Storage(self.cache[key], code)

    def tensor(self, storage: Any, offset: Any, size: Any, stride: Any, *rest: Any) -> np.ndarray:
        code = storage.dtype if isinstance(storage, _Storage) else None
        return _with_bits(self._tensor(storage, offset, size, stride, code), rest[-1] if len(rest) > 2 else None)

    def tensor_of_type(self, storage: object, offset: Any, size: Any, stride: Any, *rest: object) -> np.ndarray:
        marker = next((item for item in rest if isinstance(item, Marker)), None)
        if marker is None:
            raise Refused("it holds a tensor without a type")
        value = self._tensor(storage, offset, size, stride, _DTYPES[marker.name.removeprefix("torch.")])
        return _with_bits(value, rest[-1] if rest[-1] is not marker else None)

    def _tensor(
        self, storage: object, offset: int, size: Sequence[int], stride: Sequence[int], code: str | None
    ) -> np.ndarray:
        if not isinstance(storage, _Storage) or code is None:
            raise Refused("it holds a tensor without a storage")
        if not isinstance(size, list | tuple) or not isinstance(stride, list | tuple):
            raise Refused("it holds a tensor whose size is none")
        numbers = (offset, *size, *stride)
        if (
            len(size) != len(stride)
            or len(size) > 32
            or any(type(n) is not int or not 0 <= n < 1 << 48 for n in numbers)
        ):
            raise Refused("it holds a tensor whose size is none")
        dtype = np.dtype(self.order + ("u2" if code == "bf" else code))
        flat = storage.data[: storage.data.size // dtype.itemsize * dtype.itemsize].view(dtype)
        count = math.prod(size)
        last = offset + sum((n - 1) * s for n, s in zip(size, stride, strict=True))
        if count and last >= flat.size:
            raise Refused(f"it holds a tensor of size {reprlib.repr(tuple(size))}, larger than its storage")
        if any(s == 0 and n > 1 for n, s in zip(size, stride, strict=True)) or count > flat.size:
            self.left -= count * dtype.itemsize
            if self.left < 0:
                raise Refused("it makes far more data than it holds")
        if count == 0:
            view = np.empty(size, dtype)
        else:
            steps = [s * dtype.itemsize for s in stride]
            view = np.lib.stride_tricks.as_strided(flat[offset:], tuple(size), steps)
        if code == "bf":
            return (view.astype(np.uint32) << 16).view(np.float32)
        return np.ascontiguousarray(view.astype(dtype.newbyteorder("="), copy=False)).reshape(size)


def _size(size: object = ()) -> tuple[int, ...]:
    if not isinstance(size, list | tuple) or len(size) > 32 or not all(type(n) is int for n in size):
        raise Refused("it holds a size that is none")
    return tuple(size)


def _device(*words: Any) -> str:
    if len(words) > 2 or not all(isinstance(word, str | int) for word in words):
        raise Refused("it holds a device that is none")
    return ":".join(str(word)[:40] for word in words)


def _with_bits(value: np.ndarray, bits: object) -> np.ndarray:
    """Apply the conjugate and negative bits that torch stores with a tensor."""
    if bits is None:
        return value
    if (
        not isinstance(bits, dict)
        or not set(bits) <= {"conj", "neg"}
        or not all(type(b) is bool for b in bits.values())
    ):
        raise Refused("it holds a tensor with unknown marks")
    value = np.conj(value) if bits.get("conj") else value
    return np.negative(value) if bits.get("neg") else value


def _entries(archive: zipfile.ZipFile, file: Path, *, compressed: bool) -> list[zipfile.ZipInfo]:
    """The entries of an archive, after checking that their unpacked size is bounded."""
    infos = archive.infolist()
    if len(infos) > ENTRIES:
        raise Refused(f"it has {len(infos)} entries")
    size = file.stat().st_size
    limit = min(NPZ_LIMIT, max(NPZ_SMALL, NPZ_RATIO * size)) if compressed else size
    if sum(info.file_size for info in infos) > limit:
        raise Refused(f"it would unpack to more than {limit / GIBIBYTE:.3g} GiB")
    for info in infos:
        if info.flag_bits & 0x1:
            raise Refused("it is encrypted")
        if not compressed and info.compress_type != zipfile.ZIP_STORED:
            raise Refused("it is compressed, which torch never does")
    if len({info.filename for info in infos}) != len(infos):
        raise Refused("it has two entries of one name")
    return infos


def _is_zip(file: Path) -> bool:
    try:
        return zipfile.is_zipfile(file)
    except zipfile.BadZipFile:  # damaged, or split over several disks
        return False


def _existing(path: str | Path, limit: int) -> Path:
    file = Path(path)
    if not file.exists():
        raise InputError("does not exist", file=file)
    if not file.is_file():
        raise InputError("is not a file", file=file)
    size = file.stat().st_size
    if size == 0:
        raise InputError("is empty (0 bytes)", file=file, fix=_DAMAGED)
    if size > limit:
        raise InputError(f"has {size / GIBIBYTE:.1f} GiB, more than the limit of {limit // GIBIBYTE}", file=file)
    return file


def _explain_non_zip(file: Path) -> None:
    with file.open("rb") as handle:
        start = handle.read(64)
    if start.startswith(b"PK\x03\x04"):
        raise InputError("is a torch file without its end", file=file, fix=_DAMAGED)
    # A legacy file is a sequence of pickles, the first of which is this magic number.
    if b"\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19" in start or tarfile.is_tarfile(file):
        raise InputError(
            "is in torch's old format, from before torch 1.6",
            file=file,
            fix="Write it anew where it is trusted: torch.save(torch.load(FILE, weights_only=True), NEW)",
        )
    raise InputError("is no torch file", file=file, fix=_DAMAGED)


@contextlib.contextmanager
def _reported(file: Path, kind: str) -> Iterator[None]:
    """Convert any exception inside to an `InputError`: untrusted content can fail in any way."""
    try:
        yield
    except InputError as error:
        if error.file is not None:
            raise
        raise InputError(error.problem, file=file, field=error.field, fix=error.fix) from error
    except ForeignError as error:
        raise InputError(f"holds {error}, which is not plain data", file=file, fix=_PLAIN) from error
    except Refused as error:
        text = str(error)
        if "cut off" in text or "make no sense" in text:
            raise InputError(f"is no readable {kind} ({text})", file=file, fix=_DAMAGED) from error
        if text.startswith("it holds"):  # objects, unusual arrays: not an attack, but unsupported
            raise InputError(f"cannot be read: {text}", file=file, fix=_PLAIN) from error
        raise InputError(f"was refused: {error}", file=file, fix=_SAFER) from error
    except (MemoryError, RecursionError) as error:
        raise InputError(f"is no sane {kind}: it would exhaust this computer", file=file, fix=_DAMAGED) from error
    except (zipfile.BadZipFile, zlib.error, EOFError, Exception) as error:
        detail = " ".join(str(error).split())[:100] or type(error).__name__
        raise InputError(f"is no readable {kind} ({detail})", file=file, fix=_DAMAGED) from error
