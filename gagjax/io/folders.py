"""Access to untrusted folders: regular files only, no links, pipes or devices.

An untrusted folder may hold links to the reader's own files, whose content would end up in an output, or pipes and
devices, on which a read blocks forever.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Callable, Iterable
from pathlib import Path

from gagjax.errors import InputError

_FIX = "Put a copy of the file there"
_KINDS = ((stat.S_ISLNK, "a link"), (stat.S_ISFIFO, "a pipe"), (stat.S_ISSOCK, "a socket"), (stat.S_ISDIR, "a folder"))


def regular(path: Path) -> Path:
    """The path, if it is a regular file and not a link.

    Raises:
        InputError: If it is anything else; the message says what.
    """
    try:
        mode = path.lstat().st_mode
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", file=path) from error
    if not stat.S_ISREG(mode):
        kind = next((name for of, name in _KINDS if of(mode)), "a device")
        raise InputError(f"is {kind}; of a folder only regular files inside it are read", file=path, fix=_FIX)
    return path


def has(folder: Path, name: str) -> bool:
    """Whether a folder holds a file with the given name.

    Raises:
        InputError: If that name is not a regular file.
    """
    path = folder / name
    if not os.path.lexists(path):
        return False
    return regular(path).is_file()


def inner(folder: Path, name: str) -> Path | None:
    """The subfolder with the given name; None if there is none.

    Raises:
        InputError: If it is a link.
    """
    path = folder / name
    if path.is_symlink():
        raise InputError("is a link; of a folder only what lies inside it is read", file=path, fix=_FIX)
    return path if path.is_dir() else None


def files(folder: Path, wanted: Callable[[Path], bool]) -> list[Path]:
    """The files of a folder that satisfy a predicate, sorted by name.

    Raises:
        InputError: If one of them is not a regular file.
    """
    return [regular(path) for path in sorted(folder.iterdir()) if wanted(path)]


def copy(source: Path, target: Path, *, leave_out: Iterable[str] = ()) -> None:
    """Copy the files of a folder into a new one.

    Args:
        source: The folder; it may hold only regular files.
        target: The folder to create.
        leave_out: Names of files to skip.

    Raises:
        InputError: If it holds anything else; then nothing is copied.
    """
    skipped = set(leave_out)
    found = [regular(path) for path in sorted(source.iterdir()) if path.name not in skipped]
    target.mkdir()
    copy_files(found, target)


def copy_files(paths: Iterable[Path], target: Path) -> None:
    """Copy regular files into an existing folder.

    Raises:
        InputError: If one cannot be read.
    """
    for path in paths:
        # Without following a link placed there since the check, and without blocking on a pipe.
        flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
        try:
            handle = os.open(path, flags)
        except OSError as error:
            raise InputError(f"cannot be read: {error.strerror}", file=path) from error
        with os.fdopen(handle, "rb") as incoming, (target / path.name).open("wb") as outgoing:
            shutil.copyfileobj(incoming, outgoing)
