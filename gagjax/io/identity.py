"""File identity by content, not by name, size or time."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path


def content_hash(path: str | Path) -> str:
    """A hash of a file's content, or of the names and contents of all files in a folder.

    Args:
        path: A file or folder. Unreadable files count by name only.

    Returns:
        SHA-256 as 64 hexadecimal digits.

    Example:
        >>> import tempfile
        >>> one, two = (Path(tempfile.mkdtemp()) / "a.txt" for _ in range(2))
        >>> _ = one.write_text("x"), two.write_text("x")
        >>> content_hash(one) == content_hash(two)
        True
    """
    path = Path(path)
    if path.is_file():
        return _of_file(path)
    whole = hashlib.sha256()
    for each in sorted(path.rglob("*")):
        if each.is_file():
            whole.update(os.fsencode(each.relative_to(path)) + b"\0" + _of_file(each).encode())
    return whole.hexdigest()


def _of_file(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        return f"unreadable {error.errno}"
