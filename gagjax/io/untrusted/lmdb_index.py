"""Read LMDB's file format with every offset checked.

LMDB itself maps the file into memory and follows its offsets unchecked: a damaged or hostile file crashes the process.
This reader only walks the tree of the main database and records where each value is.

Format (LMDB 0.9, data version 1, little-endian, 64-bit): pages of one size; pages 0 and 1 are meta pages, of which the
one with the higher transaction number is valid; branch and leaf pages hold offsets of nodes, sorted by key.
"""

from __future__ import annotations

import struct
from typing import BinaryIO, NamedTuple

_MAGIC, _VERSION = 0xBEEFC0DE, 1
_HEADER = 16  # bytes before the content of a page
_BRANCH, _LEAF, _OVERFLOW = 0x01, 0x02, 0x04
_BIG = 0x01  # a node whose value is on overflow pages
_LONGEST = 511  # maximum bytes of a key written by LMDB
_NO_ROOT = (1 << 64) - 1
_META = struct.Struct("<II8sQ48s48sQQ")  # magic, version, address, size, free and main database, last page, transaction


class Value(NamedTuple):
    """Position of a value in the file."""

    offset: int
    size: int


class DamagedError(ValueError):
    """The file is malformed."""


def index(file: BinaryIO, length: int) -> dict[bytes, Value]:
    """The position of each key's value, in key order.

    Args:
        file: The open `data.mdb`.
        length: Its length in bytes.

    Raises:
        DamagedError: If any offset in it points outside the file, or to a page of the wrong kind.
    """
    page, root, pages = _meta(file, length)
    found: dict[bytes, Value] = {}
    if root == _NO_ROOT:
        return found
    seen: set[int] = set()
    left = length  # values do not overlap, so together they are no larger than the file
    waiting = [root]
    while waiting:
        number = waiting.pop()
        if number in seen or not 2 <= number < pages:
            raise DamagedError(f"page {number} is outside the file or twice in the tree")
        seen.add(number)
        file.seek(number * page)
        data = file.read(page)
        if len(data) != page:
            raise DamagedError("cut off")
        own, _, flags, lower, _ = struct.unpack_from("<QHHHH", data)
        count = (lower - _HEADER) // 2
        if own != number or flags & (_BRANCH | _LEAF | _OVERFLOW) not in (_BRANCH, _LEAF) or not 0 < count < page // 2:
            raise DamagedError(f"page {number} is of a wrong kind")
        nodes = struct.unpack_from(f"<{count}H", data, _HEADER)
        if flags & _BRANCH:
            waiting += [_child(data, node) for node in reversed(nodes)]
        else:
            for node in nodes:
                key, value = _entry(file, data, node, number * page, page, length)
                found[key] = value
                left -= value.size + len(key)
                if left < 0:
                    raise DamagedError("its values lie on each other")
    return found


def _meta(file: BinaryIO, length: int) -> tuple[int, int, int]:
    """Page size, root page and number of pages."""
    file.seek(0)
    start = file.read(_HEADER + _META.size)
    if len(start) < _HEADER + _META.size:
        raise DamagedError("cut off")
    magic, version, _, _, free, _, _, _ = _META.unpack_from(start, _HEADER)
    if magic != _MAGIC or version != _VERSION:
        raise DamagedError("not LMDB's format, version 1")
    (page,) = struct.unpack_from("<I", free)
    if page & (page - 1) or not 512 <= page <= 65536:
        raise DamagedError(f"pages of {page} bytes")
    newest: tuple[int, int, int] | None = None
    for number in (0, 1):
        file.seek(number * page + _HEADER)
        data = file.read(_META.size)
        if len(data) < _META.size:
            break
        magic, version, _, _, _, main, last, transaction = _META.unpack(data)
        if magic == _MAGIC and version == _VERSION and (newest is None or transaction > newest[0]):
            newest = (transaction, struct.unpack_from("<Q", main, 40)[0], last)
    if newest is None or (newest[2] + 1) * page > length:
        raise DamagedError("cut off")
    return page, newest[1], newest[2] + 1


def _child(data: bytes, node: int) -> int:
    if not _HEADER <= node <= len(data) - 8:
        raise DamagedError("a node lies outside its page")
    low, high, top, _ = struct.unpack_from("<HHHH", data, node)
    return low | high << 16 | top << 32


def _entry(file: BinaryIO, data: bytes, node: int, base: int, page: int, length: int) -> tuple[bytes, Value]:
    if not _HEADER <= node <= len(data) - 8:
        raise DamagedError("a node lies outside its page")
    low, high, flags, size_of_key = struct.unpack_from("<HHHH", data, node)
    at, size = node + 8 + size_of_key, low | high << 16
    if at > page or flags & ~_BIG or not 0 < size_of_key <= _LONGEST:
        raise DamagedError("a node is of a wrong kind")
    key = data[node + 8 : at]
    if not flags & _BIG:
        if at + size > page:
            raise DamagedError("a value lies outside its page")
        return key, Value(base + at, size)
    if at + 8 > page:
        raise DamagedError("a node lies outside its page")
    (number,) = struct.unpack_from("<Q", data, at)
    offset = number * page + _HEADER
    if number < 2 or offset + size > length:
        raise DamagedError("a value lies outside the file")
    return key, Value(offset, size)
