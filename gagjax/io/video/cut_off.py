"""Detect truncated video files by container size. Frame counts are unreliable: edits and gaps change them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

_EBML, _SEGMENT = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"


def missing_bytes(path: Path, stream: Any) -> int:
    """Number of bytes by which a file is shorter than its container states; 0 if it states nothing.

    Args:
        path: The file.
        stream: Its video stream, which holds the index of an MP4.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(4096)
    if head[:4] == b"RIFF":
        end = 8 + int.from_bytes(head[4:8], "little")
    elif head[:4] == _EBML:
        end = _segment_end(head)
    elif head[4:8] == b"ftyp":
        end = max((entry.pos + entry.size for entry in stream.index_entries), default=0)
    else:
        end = 0
    return max(0, end - size)


def _segment_end(head: bytes) -> int:
    """The end of Matroska's single segment; 0 if its size is unknown, as in a live recording."""
    length, after = _number(head, 4)
    at = after + length
    if head[at : at + 4] != _SEGMENT:
        return 0
    length, after = _number(head, at + 4)
    unknown = (1 << 7 * (after - at - 4)) - 1
    return 0 if length == unknown else after + length


def _number(data: bytes, at: int) -> tuple[int, int]:
    """An EBML variable-length integer at a position, and its end."""
    if at >= len(data) or not data[at]:
        return 0, at + 1
    width = 9 - data[at].bit_length()
    return int.from_bytes(data[at : at + width], "big") & ((1 << 7 * width) - 1), at + width
