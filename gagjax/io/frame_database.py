"""GAGAvatar's frame databases: LMDBs with frame names as keys and JPEG or PNG files as values."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import lmdb
import numpy as np
from jaxtyping import UInt8
from PIL import Image

from gagjax.errors import InputError
from gagjax.io import atomic, folders, images
from gagjax.io.untrusted import lmdb_index

_STEP = 1 << 26  # growth step of a database, bytes


class FrameDatabase(Mapping[str, UInt8[np.ndarray, "H W 3"]]):
    """The frames of an LMDB by name, decoded on access.

    Args:
        path: The folder with `data.mdb` (or the folder with `img_lmdb`). It may be read-only; the LMDB library is not
            used, because it trusts the file's content.

    Raises:
        InputError: If it does not exist or is damaged.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.path = folders.inner(self.path, "img_lmdb") or self.path
        if not self.path.is_dir() or not folders.has(self.path, "data.mdb"):
            raise InputError("is no frame database (it has no data.mdb)", file=self.path)
        data = self.path / "data.mdb"
        self._file = data.open("rb")
        try:
            places = lmdb_index.index(self._file, data.stat().st_size)
            self._names = {key.decode(): place for key, place in places.items()}
        except (lmdb_index.DamagedError, UnicodeDecodeError) as error:
            self._file.close()
            raise InputError(f"is no readable frame database ({error})", file=data, fix="Copy it again") from error

    def __getitem__(self, name: str) -> UInt8[np.ndarray, "H W 3"]:
        return images.decode(self.data(name), self.path, name)

    def data(self, name: str) -> bytes:
        """A frame's stored file, not decoded."""
        place = self._names[name]
        self._file.seek(place.offset)
        return self._file.read(place.size)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def __enter__(self) -> FrameDatabase:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


def write(
    path: str | Path,
    frames: Iterable[tuple[str, UInt8[np.ndarray, "H W 3"]]],
    *,
    quality: int = 95,
    force: bool = False,
) -> int:
    """Write frames as an LMDB that GAGAvatar reads.

    Args:
        path: The folder to create.
        frames: Pairs of name (`<video>_<number>`) and (H, W, 3) uint8 image.
        quality: JPEG quality.
        force: Replace an existing database.

    Returns:
        The number of frames written.

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
