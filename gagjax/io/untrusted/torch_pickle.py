"""torch tensors inside ordinary pickles, as written by `pickle.dump` of a dict of tensors.

Each tensor embeds its storage as bytes, a small file in torch's format from before version 1.6: four pickles (a magic
number, a version, the writer's system, the storage by reference), the list of references, and the data. The first
pickles are only scanned, never executed; the reference is read with the allow-list.
"""

from __future__ import annotations

import io
import pickletools
from typing import Any

import numpy as np

from gagjax.io.untrusted.unpickle import Marker, Refused, load

MAGIC = b"\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."
SIZES = {"f8": 8, "f4": 4, "f2": 2, "bf": 2, "i8": 8, "i4": 4, "i2": 2, "i1": 1, "u1": 1, "b1": 1, "c8": 8, "c16": 16}


def storage_bytes(data: object, kinds: dict[str, str | None]) -> tuple[np.ndarray, str | None]:
    """The bytes of a storage embedded in a pickle, and their type.

    Args:
        data: A file of torch's old format that holds one storage.
        kinds: torch's storage classes with their type codes; None is untyped.

    Returns:
        The data, (bytes,) uint8, and its type code.

    Raises:
        Refused: If it is anything else.
    """
    if not isinstance(data, bytes | bytearray) or MAGIC not in data[:16]:
        raise Refused("it holds a tensor whose storage is none of torch's")
    stream = io.BytesIO(data)
    parts = [_pickle_from(stream, data) for _ in range(5)]
    seen: list[tuple[str, str | None, int]] = []

    def storage(pid: object) -> None:
        if not isinstance(pid, tuple) or len(pid) < 5 or pid[0] != "storage" or not isinstance(pid[1], Marker):
            raise Refused("it refers to data in an unknown way")
        key, count = pid[2], pid[4]
        if not isinstance(key, str) or type(count) is not int or not 0 <= count <= len(data):
            raise Refused("it refers to data in an unknown way")
        seen.append((key, kinds[pid[1].name.removeprefix("torch.")], count))

    names: dict[tuple[str, str], Any] = {("torch", name): Marker(f"torch.{name}") for name in kinds}
    names["torch.storage", "UntypedStorage"] = Marker("torch.UntypedStorage")
    load(parts[3], names, storage)
    keys = load(parts[4])
    if len(seen) != 1 or keys != [seen[0][0]]:
        raise Refused("it holds a tensor with several storages")
    _, code, count = seen[0]
    start = stream.tell() + 8
    size = count * (1 if code is None else SIZES[code])
    said = int.from_bytes(data[start - 8 : start], "little", signed=True)
    if said != count or start + size != len(data):
        raise Refused("it holds a tensor whose storage is cut off")
    return np.frombuffer(data, np.uint8, size, start), code


def _pickle_from(stream: io.BytesIO, data: bytes | bytearray) -> bytes:
    start = stream.tell()
    for _ in pickletools.genops(stream):
        pass
    return bytes(data[start : stream.tell()])
