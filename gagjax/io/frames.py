"""GAGAvatar's frame databases: an LMDB whose keys are frame names and whose values are JPEG or PNG files."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import lmdb
import numpy as np
from jaxtyping import UInt8
from PIL import Image

from gagjax.errors import InputError
from gagjax.io import atomic, images

_MAGIC, _META, _STEP = 0xBEEFC0DE, 136, 1 << 26


class FrameDatabase(Mapping[str, UInt8[np.ndarray, "H W 3"]]):
    """The frames of an LMDB by name, decoded when asked for.

    Args:
        path: The folder with `data.mdb` (or the folder with `img_lmdb`). It may be read-only.

    Raises:
        InputError: If there is none, or it is damaged.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        if (self.path / "img_lmdb").is_dir():
            self.path = self.path / "img_lmdb"
        _check(self.path)
        try:
            self._lmdb = lmdb.open(str(self.path), readonly=True, lock=False, readahead=False)
            with self._lmdb.begin() as transaction:
                self._names = [bytes(key).decode() for key in transaction.cursor().iternext(values=False)]
        except (lmdb.Error, UnicodeDecodeError) as error:
            raise InputError(f"is no readable frame database ({error})", file=self.path) from error

    def __getitem__(self, name: str) -> UInt8[np.ndarray, "H W 3"]:
        with self._lmdb.begin() as transaction:
            data = transaction.get(name.encode())
        if data is None:
            raise KeyError(name)
        return images.decode(data, self.path, name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def __enter__(self) -> FrameDatabase:
        return self

    def __exit__(self, *_: object) -> None:
        self._lmdb.close()


def write(
    path: str | Path,
    frames: Iterable[tuple[str, UInt8[np.ndarray, "H W 3"]]],
    *,
    quality: int = 95,
    force: bool = False,
) -> int:
    """Write frames as an LMDB that GAGAvatar reads.

    Args:
        path: The folder to make.
        frames: Pairs of name (`<video>_<number>`) and (H, W, 3) uint8 image.
        quality: JPEG quality.
        force: Replace an existing database.

    Returns:
        How many frames were written.

    Raises:
        InputError: If it exists and `force` is False.
    """
    count = 0
    with (
        atomic.output(path, force, folder=True) as temporary,
        lmdb.open(str(temporary), map_size=_STEP, lock=False) as database,
    ):
        for name, image in frames:
            buffer = io.BytesIO()
            Image.fromarray(image).save(buffer, "JPEG", quality=quality, subsampling=0)
            _put(database, name.encode(), buffer.getvalue())
            count += 1
    return count


def _put(database: lmdb.Environment, key: bytes, value: bytes) -> None:
    while True:
        try:
            with database.begin(write=True) as transaction:
                transaction.put(key, value)
            return
        except lmdb.MapFullError:
            database.set_mapsize(database.info()["map_size"] + max(_STEP, 2 * len(value)))


def _check(folder: Path) -> None:
    """Refuse a file shorter than its own pages: LMDB maps it into memory, and reading past the end kills Python."""
    file = folder / "data.mdb"
    if not file.is_file():
        raise InputError("is no frame database (it has no data.mdb)", file=folder)
    with file.open("rb") as handle:
        start = handle.read(_META + 16)
        good = len(start) == _META + 16 and struct.unpack_from("<I", start, 16)[0] == _MAGIC
        page = struct.unpack_from("<I", start, 40)[0] if good else 0
        last = 0
        if good and 256 <= page <= 65536:
            handle.seek(page)
            second = handle.read(_META + 16)
            metas = [start] + ([second] if len(second) == _META + 16 else [])
            # The meta page of the newer transaction counts.
            newest = max(metas, key=lambda meta: struct.unpack_from("<Q", meta, _META + 8)[0])
            last = struct.unpack_from("<Q", newest, _META)[0]
    if not good or last < 1 or (last + 1) * page > file.stat().st_size:
        raise InputError("is damaged or cut off", file=file, fix="Copy it again")
