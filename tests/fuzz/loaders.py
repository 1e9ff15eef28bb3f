"""Every loader of the project, with valid files to begin from and ways to spoil them.

The law is one for all: whatever the bytes, a loader returns a value or raises `InputError`. Anything else is a finding.
"""

from __future__ import annotations

import dataclasses
import io
import json
import pickle
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tests.fuzz.programs import program, shared
from tests.io import make

Random = np.random.Generator


@dataclasses.dataclass(frozen=True)
class Loader:
    """A loader under test.

    Attributes:
        suffix: Of the files that it reads.
        seeds: Makes valid files.
        load: Reads one.
        spoil: Makes a file whose container is sound and whose content is not; None where there is no such layer.
    """

    suffix: str
    seeds: Callable[[], list[bytes]]
    load: Callable[[Path], Any]
    spoil: Callable[[Random], bytes] | None = None


def case(loader: Loader, seeds: list[bytes], random: Random) -> bytes:
    """A file to try: a valid one with bytes changed, or a sound container with spoiled content."""
    if loader.spoil is not None and random.random() < 0.6:
        return loader.spoil(random)
    return spoiled_bytes(seeds[random.integers(len(seeds))], random)


def spoiled_bytes(good: bytes, random: Random) -> bytes:
    """Bytes flipped, set to telling values, cut off, cut out, doubled."""
    data = bytearray(good)
    for _ in range(random.integers(1, 6)):
        if not data:
            break
        at, length = int(random.integers(len(data))), int(random.integers(1, 17))
        kind = random.integers(7)
        if kind == 0:
            data[at] ^= 1 << int(random.integers(8))
        elif kind == 1:
            data[at : at + length] = random.bytes(length)
        elif kind == 2:
            data[at : at + 4] = [b"\xff\xff\xff\xff", b"\x00\x00\x00\x00", b"\xff\xff\xff\x7f", b"\x00\x00\x00\x80"][
                random.integers(4)
            ]
        elif kind == 3:
            del data[at : at + length]
        elif kind == 4:
            data[at:at] = data[at : at + length]
        elif kind == 5:
            other = int(random.integers(len(data)))
            data[at : at + length] = data[other : other + length]
        elif random.random() < 0.3:
            del data[at:]
    return bytes(data)


ODD: list[Callable[[Random], Any]] = [
    lambda r: None,
    lambda r: "",
    lambda r: "NaN",
    lambda r: b"\xff",
    lambda r: True,
    lambda r: -1,
    lambda r: 10**30,
    lambda r: float("nan"),
    lambda r: float("inf"),
    lambda r: [],
    lambda r: {},
    lambda r: [[[[]]]],
    lambda r: {"a": 1},
    lambda r: np.zeros(0),
    lambda r: np.zeros((0, 100), np.float32),
    lambda r: np.array("text"),
    lambda r: np.array([b"x"]),
    lambda r: np.array(1 + 2j),
    lambda r: np.full((3, 3), np.nan, np.float32),
    lambda r: np.full((5, 100), 1e38, np.float32),
    lambda r: np.arange(6).astype([np.int8, np.uint64, np.float16, np.bool_, ">f8"][r.integers(5)]),
    lambda r: np.zeros(tuple(r.integers(0, 4, r.integers(0, 6)))),
    lambda r: np.array(2**62),
    lambda r: 10**400,
    lambda r: -(1 << 4000),
    lambda r: "1e99999999",
    lambda r: "9" * 5000,
    lambda r: ["x" * 10_000, *[""] * int(10 ** r.uniform(1, 4))],
    lambda r: [10**30, 1.0, None],
]
#: Only pickles can hold them: written out, as JSON, YAML and arrays are, they would fill any memory.
SHARED = [shared] * 4


def spoiled_tree(value: Any, random: Random, odd: list[Callable[[Random], Any]] | None = None) -> Any:
    """A nested value with something in it replaced, renamed, taken out or put in."""
    for _ in range(random.integers(1, 4)):
        value = _spoiled_once(value, random, odd or ODD)
    return value


def _spoiled_once(value: Any, random: Random, odd: list[Callable[[Random], Any]]) -> Any:
    inside = isinstance(value, dict | list | tuple) and len(value) > 0
    if not inside or random.random() < 0.08:
        return _spoiled_leaf(value, random, odd)
    if isinstance(value, dict):
        key = list(value)[random.integers(len(value))]
        changed = dict(value)
        kind = random.integers(8)
        if kind == 0:
            del changed[key]
        elif kind == 1:
            changed[[None, 7, "x", "valid", "shape"][random.integers(5)]] = changed.pop(key)
        else:
            changed[key] = _spoiled_once(value[key], random, odd)
        return changed
    items = list(value)
    at = int(random.integers(len(items)))
    if random.random() < 0.2:
        del items[at]
    else:
        items[at] = _spoiled_once(items[at], random, odd)
    return type(value)(items)


def _spoiled_leaf(value: Any, random: Random, odd: list[Callable[[Random], Any]]) -> Any:
    if isinstance(value, np.ndarray) and value.dtype.kind in "fiu" and random.random() < 0.6:
        kind = random.integers(7)
        if kind == 0 and value.size:
            changed = value.astype(np.float32).copy()
            changed.flat[random.integers(value.size)] = [np.nan, np.inf, -1e38, 0][random.integers(4)]
            return changed
        if kind == 1:
            return value[..., :-1] if value.ndim else value
        if kind == 2:
            return value[:0] if value.ndim else value
        if kind == 3:
            return value[None]
        if kind == 4:
            return value.astype([np.float16, np.int64, np.complex64, np.bool_, np.uint8, "U4"][random.integers(6)])
        if kind == 5:
            return value.ravel()
        return -value if value.dtype.kind != "u" else value + 250
    return odd[random.integers(len(odd))](random)


def as_npz(arrays: dict[str, Any]) -> bytes:
    """An archive of anything that an array can be made of; what cannot, or has over 16 MiB, is left out."""
    buffer = io.BytesIO()
    kept = {}
    for name, value in arrays.items() if isinstance(arrays, dict) else ():
        try:
            array = np.asarray(value)
        except ValueError:
            continue
        if array.dtype != object and array.nbytes <= 1 << 24:
            kept[str(name) or "x"] = array
    np.savez(buffer, **{name.replace("/", "_"): array for name, array in kept.items() if name != "file"})
    return buffer.getvalue()


def as_torch(value: Any) -> bytes:
    """What `torch.save` writes."""
    import torch

    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


def arrays_of(data: bytes) -> dict[str, np.ndarray]:
    with np.load(io.BytesIO(data)) as archive:
        return {name: archive[name] for name in archive.files}


def npy_in_archive(random: Random) -> bytes:
    """A `.npy` with bytes changed, in an archive whose checksum fits."""
    entry = io.BytesIO()
    np.save(entry, np.arange(6, dtype=np.float32).reshape(2, 3))
    header = ["{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }", "{'descr': '|O', 'shape': ()}", "(" * 300]
    data = spoiled_bytes(entry.getvalue(), random)
    if random.random() < 0.3:
        text = header[random.integers(3)].encode()
        text = spoiled_bytes(text, random)
        data = b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + bytes(24)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED][random.integers(2)]) as archive:
        archive.writestr("a.npy", data)
    return buffer.getvalue()


def spoiled_line(random: Random) -> bytes:
    """A line of a track with something in it replaced; what JSON does not have is left out."""
    line = {
        "time": 0.04,
        "expression": [0.1] * 100,
        "jaw": [0.1] * 3,
        "eyes": [0.1] * 6,
        "transform": [[1.0, 0, 0, 0]] * 3,
    }
    try:
        text = json.dumps(spoiled_tree(line, random), default=lambda value: np.asarray(value).tolist())
    except (TypeError, ValueError, RecursionError):
        text = '{"time": 1' + "0" * 400 + "}"
    return text[: 1 << 16].encode()


def _lines(path: Path) -> Any:
    from gagjax.io.formats import json_lines

    line = json_lines.parse(path.read_bytes())
    return json_lines.dump(line.channels, line, valid=True) if line.channels is not None else json_lines.dump_lost(line)


def _tensors() -> bytes:
    from gagjax.avatars.personal import tensors

    path = _scratch("a.safetensors")
    tensors.write(path, {"a": np.arange(6.0, dtype=np.float32).reshape(2, 3), "b": {"c": np.arange(3, dtype=np.int32)}})
    return path.read_bytes()


def spoiled_tensors(random: Random) -> bytes:
    """A safetensors file whose header says something else of a body that is there."""
    data = _tensors()
    size = int.from_bytes(data[:8], "little")
    header = spoiled_tree(json.loads(data[8 : 8 + size]), random)
    try:
        text = json.dumps(header, default=lambda value: np.asarray(value).tolist()).encode()
    except (TypeError, ValueError, RecursionError):
        text = b"{}"
    text = text[: 1 << 16]
    return (
        len(text).to_bytes(8, "little")
        + (spoiled_bytes(text, random) if random.random() < 0.3 else text)
        + data[8 + size :]
    )


def _cells(data: bytes) -> list[int]:
    """Where the boxes of an MP4 begin, those inside others as well."""
    names = (
        b"moov",
        b"trak",
        b"mdia",
        b"minf",
        b"stbl",
        b"stsd",
        b"stts",
        b"stsc",
        b"stsz",
        b"stco",
        b"mvhd",
        b"tkhd",
        b"mdhd",
        b"elst",
        b"avcC",
    )
    return [at - 4 for name in names if (at := data.find(name)) >= 4]


def spoiled_mp4(random: Random) -> bytes:
    """An MP4 with numbers in the boxes of its index changed: sizes, counts, offsets, times."""
    data = bytearray(_kept("mp4", lambda: _videos()[0]))
    cells = _cells(bytes(data))
    for _ in range(random.integers(1, 4)):
        at = cells[random.integers(len(cells))] + 4 * int(random.integers(0, 8))
        data[at : at + 4] = struct.pack(
            ">I", int([0, 1, 0xFFFFFFFF, 0x7FFFFFFF, random.integers(1 << 32)][random.integers(5)])
        )
    return bytes(data)


_made: dict[str, Any] = {}


def _kept(name: str, make_it: Callable[[], Any]) -> Any:
    if name not in _made:
        _made[name] = make_it()
    return _made[name]


def pickle_in_torch(random: Random) -> bytes:
    """A torch file whose pickle has bytes changed, or is a program, under a checksum that fits."""
    import torch

    tree = {"x": torch.arange(4.0), "y": [torch.ones(2, 3).half(), 3], "z": torch.ones(2, dtype=torch.complex64).conj()}
    good = _kept("torch", lambda: as_torch(tree))
    other = program(random) if random.random() < 0.5 else None
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(good)) as old, zipfile.ZipFile(buffer, "w") as new:
        for name in old.namelist():
            data = old.read(name)
            new.writestr(name, (other or spoiled_bytes(data, random)) if name.endswith("data.pkl") else data)
    return buffer.getvalue()


def _pickles(*values: Any) -> list[bytes]:
    return [pickle.dumps(value, protocol) for value, protocol in zip(values, [2, 4, 5] * 9, strict=False)]


def _native() -> bytes:
    from gagjax.io.formats import native

    path = _scratch("native.npz")
    native.write(make.track(3, neck=np.zeros((3, 3)), valid=np.array([True, False, True])), path)
    return path.read_bytes()


def _head() -> dict[str, Any]:
    """A FLAME file of four vertices."""
    rng = np.random.default_rng(0)
    return {
        "v_template": rng.normal(size=(6, 3)),
        "shapedirs": rng.normal(size=(6, 3, 400)).astype(np.float32),
        "posedirs": rng.normal(size=(6, 3, 36)),
        "J_regressor": np.full((5, 6), 1 / 6),
        "weights": np.full((6, 5), 0.2),
        "f": np.array([[0, 1, 2], [2, 3, 4], [3, 4, 5]]),
        "kintree_table": np.array([[-1, 0, 1, 1, 1], [0, 1, 2, 3, 4]]),
    }


def _identity() -> bytes:
    import torch

    from bridge.gagavatar.identity import Identity

    path = _scratch("identity.npz")
    Identity(
        torch.zeros(4, 3), torch.ones(6, 3), torch.ones(6, 4), torch.ones(6), torch.ones(6, 3), torch.eye(3, 4)
    ).save(path, force=True)
    return path.read_bytes()


def _images() -> list[bytes]:
    from PIL import Image

    found = []
    for kind in ("PNG", "JPEG", "BMP", "WEBP", "TIFF"):
        for mode in ("RGB", "L", "RGBA") if kind in ("PNG", "TIFF") else ("RGB",):
            buffer = io.BytesIO()
            Image.fromarray(np.random.default_rng(0).integers(0, 255, (9, 7, 3), np.uint8)).convert(mode).save(
                buffer, kind
            )
            found.append(buffer.getvalue())
    return found


def _videos() -> list[bytes]:
    from gagjax.io import video

    found = []
    for name in ("a.mp4", "a.mkv"):
        path = _scratch(name)
        picture = np.random.default_rng(0).integers(0, 255, (16, 16, 3), np.uint8)
        video.write(path, (np.roll(picture, i, 0) for i in range(5)), 25, force=True)
        found.append(path.read_bytes())
    return found


def _databases() -> list[bytes]:
    from gagjax.io import frame_database

    path = _scratch("lmdb")
    picture = np.zeros((4, 4, 3), np.uint8)
    frame_database.write(path, ((f"clip_{i}", picture) for i in range(40)), force=True)
    return [(path / "data.mdb").read_bytes()]


def _splats() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    names = ["x", "y", "z", "nx", "ny", "nz", *(f"f_dc_{i}" for i in range(3)), *(f"f_rest_{i}" for i in range(9))]
    names += ["opacity", *(f"scale_{i}" for i in range(3)), *(f"rot_{i}" for i in range(4))]
    columns = {name: rng.normal(size=5).astype(np.float32) for name in names}
    return columns | {"binding_0": np.array([0, 1, 2, 2, 1], np.float32)}


def _ply() -> bytes:
    from gagjax.avatars import ply

    path = _scratch("a.ply")
    ply.write(path, _splats())
    return path.read_bytes()


def _spoiled_ply(random: Random) -> bytes:
    from gagjax.avatars import ply

    columns = {
        str(name): value
        for name, value in _dict(spoiled_tree(_splats(), random)).items()
        if isinstance(value, np.ndarray) and value.dtype == np.float32 and value.ndim == 1
    }
    if not columns:
        return b"ply\nformat binary_little_endian 1.0\nend_header\n"
    path = _scratch("b.ply")
    length = min((len(value) for value in columns.values()), default=0)
    ply.write(path, {name: value[:length] for name, value in columns.items()})
    return spoiled_bytes(path.read_bytes(), random) if random.random() < 0.3 else path.read_bytes()


def _dict(value: Any) -> dict[Any, Any]:
    return value if isinstance(value, dict) else {}


def _person() -> Path:
    path = _scratch("flame_param.npz")
    if not path.exists():
        path.write_bytes(as_npz(make.parameters(1) | {"static_offset": np.zeros((1, 6, 3), np.float32)}))
    return path


def _small_head() -> Any:
    from gagjax import flame

    path = _scratch("head.pkl")
    if not path.exists():
        path.write_bytes(pickle.dumps(_head()))
    return flame.load(path)


PRESETS = [
    b"preset: default\nenable: [temporal, detail]\nset: {temporal.jaw.highest: 8.0}\nfitted: {clips: 3}\n",
    b"preset: live\nset:\n  temporal.jaw.cutoff: 3\n",
    json.dumps({"preset": "default", "enable": ["gaze"], "set": {"gaze.strength": 0.5}}).encode(),
    b"a: &a [x, x]\nb: &b [*a, *a]\nset: *b\n",
]


def _spoiled_preset(random: Random) -> bytes:
    import yaml

    tree = spoiled_tree(yaml.safe_load(PRESETS[random.integers(3)]), random)

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {(key if isinstance(key, str | int) else str(key)): plain(each) for key, each in value.items()}
        if isinstance(value, list):
            return [plain(each) for each in value]
        return value.tolist() if isinstance(value, np.ndarray) and value.dtype.kind in "fiub" else value

    try:
        return yaml.safe_dump(plain(tree)).encode()
    except yaml.YAMLError:
        return b"preset: default"


def _manifest(path: Path) -> Any:
    from gagjax.app.batch.manifest import Manifest

    with Manifest.opened(path, {"preset": "default"}) as manifest:
        return manifest


def _lmdb(path: Path) -> Any:
    """The loader takes a folder; the case is its file."""
    from gagjax.io.frame_database import FrameDatabase

    folder = path.parent / "fuzzed_lmdb"
    folder.mkdir(exist_ok=True)
    (folder / "data.mdb").write_bytes(path.read_bytes())
    with FrameDatabase(folder) as database:
        return [database[name] for name in database]


def _video(path: Path) -> Any:
    from gagjax.io import video

    read, _ = video.read(path)
    with read:
        return [frame.sum() for frame in read]


def _called(module: str, name: str, *rest: Any) -> Callable[[Path], Any]:
    def call(path: Path) -> Any:
        import importlib

        function: Any = importlib.import_module(module)
        for part in name.split("."):
            function = getattr(function, part)
        return function(path, *(each() if callable(each) else each for each in rest))

    return call


def _preset(path: Path) -> Any:
    from gagjax.app.presets import stack_of

    return stack_of(str(path))


_scratch_folder: list[Path] = []


def _scratch(name: str) -> Path:
    import tempfile

    if not _scratch_folder:
        _scratch_folder.append(Path(tempfile.mkdtemp(prefix="gagjax-fuzz-")))
    return _scratch_folder[0] / name


_ARRAYS = {"a": np.arange(6.0).reshape(2, 3), "b": np.array(["x", "yy"]), "c": np.float16([1, 2])}

LOADERS: dict[str, Loader] = {
    "pickle": Loader(
        ".pkl",
        lambda: _pickles(_ARRAYS, {"a": [1, 2.5, None, (b"x", "y")], 7: {1, 2}}, [np.float32(3), _ARRAYS]),
        _called("gagjax.io.untrusted.checkpoints", "load_pickle"),
        program,
    ),
    "npz": Loader(
        ".npz", lambda: [as_npz(_ARRAYS)], _called("gagjax.io.untrusted.checkpoints", "load_npz"), npy_in_archive
    ),
    "torch": Loader(
        ".pt",
        lambda: [as_torch({"x": np.ones(2)})],
        _called("gagjax.io.untrusted.checkpoints", "load_torch"),
        pickle_in_torch,
    ),
    "track-native": Loader(
        ".npz",
        lambda: [_native()],
        _called("gagjax.io.tracks", "load_track"),
        lambda r: as_npz(spoiled_tree(arrays_of(_native()), r)),
    ),
    "track-vhap": Loader(
        ".npz",
        lambda: [as_npz(make.parameters(3))],
        _called("gagjax.io.tracks", "load_track"),
        lambda r: as_npz(spoiled_tree(make.parameters(3), r)),
    ),
    "track-gagavatar": Loader(
        ".pkl",
        lambda: _pickles(make.records(3)),
        _called("gagjax.io.tracks", "load_track"),
        lambda r: pickle.dumps(spoiled_tree(make.records(3), r, ODD + SHARED)),
    ),
    "track-liveportrait": Loader(
        ".pkl",
        lambda: _pickles(make.template(3), make.template(3, "R_d", "d_", True)),
        _called("gagjax.io.tracks", "load_track"),
        lambda r: pickle.dumps(
            spoiled_tree(make.template(3, ratios="", keypoints=bool(r.integers(2))), r, ODD + SHARED)
        ),
    ),
    "portraits": Loader(
        ".pt",
        lambda: [as_torch(make.records(2))],
        _called("gagjax.io.tracks", "load_portraits"),
        lambda r: as_torch(spoiled_tree(make.records(2), r)),
    ),
    "flame": Loader(
        ".pkl",
        lambda: _pickles(_head()),
        _called("gagjax.flame", "load"),
        lambda r: pickle.dumps(spoiled_tree(_head(), r, ODD + SHARED)),
    ),
    "preset": Loader(".yaml", lambda: PRESETS, _preset, _spoiled_preset),
    "image": Loader(".png", _images, _called("gagjax.io.images", "read")),
    "lmdb": Loader(".mdb", _databases, _lmdb),
    "video": Loader(".mp4", _videos, _video, spoiled_mp4),
    "line": Loader(".jsonl", lambda: [b'{"valid": false, "time": 3, "more": [1]}'], _lines, spoiled_line),
    "tensors": Loader(
        ".safetensors", lambda: [_tensors()], _called("gagjax.avatars.personal.tensors", "read"), spoiled_tensors
    ),
    "avatar-ply": Loader(
        ".ply", lambda: [_ply()], _called("gagjax.avatars.files", "load", _small_head, _person), _spoiled_ply
    ),
    "identity": Loader(
        ".npz",
        lambda: [_identity()],
        _called("bridge.gagavatar.identity", "Identity.load"),
        lambda r: as_npz(spoiled_tree(arrays_of(_identity()), r)),
    ),
    "manifest": Loader(
        ".jsonl",
        lambda: [b'{"config": {"preset": "default"}}\n{"result": "a", "status": "done", "stamp": "", "reason": ""}\n'],
        _manifest,
    ),
}
