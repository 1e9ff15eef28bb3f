"""Outputs that are whole or absent: written under a hidden name beside the target, synced, then renamed."""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from gagjax.errors import ExistsError, InputError

try:
    import fcntl
except ImportError:  # Windows: leftovers of a killed run are not recognised there
    fcntl = None  # type: ignore[assignment]

MARK = ".partial-"
_ATTEMPTS = 1000  # each is lost to another run at most, which has gone on by it
#: What a disk says that takes no more: full, over a quota or a file size, read-only, broken.
FULL = tuple(getattr(errno, name) for name in ("ENOSPC", "EDQUOT", "EFBIG", "EROFS", "EIO") if hasattr(errno, name))


@contextlib.contextmanager
def output(path: str | Path, force: bool = False, *, folder: bool = False) -> Iterator[Path]:
    """A path to write to that becomes `path` when the block ends well, and vanishes when it does not.

    The temporary path lies beside the target (a rename across file systems would be a copy) and keeps its suffix
    (writers choose the format by it). What a killed run has left behind is removed by the next one.

    Args:
        path: Where the output belongs; missing parent folders are made.
        force: Replace what is there. In a folder that exists, files of the same names are replaced and others kept.
        folder: The output is a folder; the block finds it made and empty.

    Yields:
        The path to write to. For a file it exists already, empty.

    Raises:
        InputError: If `path` exists and `force` is False, or it is a folder where a file is meant (or the reverse),
            or it cannot be written.

    Example:
        >>> import tempfile, pathlib
        >>> target = pathlib.Path(tempfile.mkdtemp()) / "note.txt"
        >>> with output(target) as temporary:
        ...     _ = temporary.write_text("whole")
        >>> target.read_text()
        'whole'
    """
    target = Path(path)
    check(target, force, folder=folder)
    made = _missing_parents(target)
    try:
        temporary, lock = _begin(target, folder)
    except OSError as error:
        _remove_empty(made)
        raise InputError(
            f"cannot be written: {error.strerror or error}", file=target, fix="Choose another place with -o"
        ) from error
    try:
        with no_room(target):
            yield temporary
        _sync(temporary)
        # Once more: another process may have made the target while this one was at work.
        check(target, force, folder=folder)
        _rename(temporary, target)
    except BaseException:
        _remove(temporary)
        _remove_empty(made)
        raise
    finally:
        if lock is not None:
            os.close(lock)


@contextlib.contextmanager
def no_room(target: str | Path) -> Iterator[None]:
    """Errors of a disk that takes no more as one about the output.

    Raises:
        InputError: If the disk is full, or the like, inside the block.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in FULL:
            raise
        raise InputError(
            f"cannot be written: {os.strerror(error.errno or 0)}", file=target, fix="Make room, or choose another place"
        ) from error


def check(path: str | Path, force: bool = False, *, folder: bool = False) -> Path:
    """The path, if `output` may write it: to be asked before long work.

    Raises:
        InputError: As `output` raises it.
    """
    target = Path(path)
    if target.is_dir() and not folder:
        raise InputError("is a folder; the output is a file", file=target, fix="Add a file name")
    if folder and target.exists() and not target.is_dir():
        raise InputError("is a file; the output is a folder", file=target, fix="Choose another name")
    if (target.exists() or target.is_symlink()) and not force:
        raise ExistsError(target)
    return target


def _create(target: Path, folder: bool) -> Path:
    prefix = f".{target.stem}{MARK}"
    # Temporary files and folders are private; an output has the permissions of anything new.
    mask = os.umask(0)
    os.umask(mask)
    if folder:
        made = tempfile.mkdtemp(prefix=prefix, dir=target.parent)
        Path(made).chmod(0o777 & ~mask)
        return Path(made)
    handle, made = tempfile.mkstemp(prefix=prefix, suffix=target.suffix, dir=target.parent)
    os.close(handle)
    Path(made).chmod(0o666 & ~mask)
    return Path(made)


def _begin(target: Path, folder: bool) -> tuple[Path, int | None]:
    """A new temporary path and the lock on it, leftovers removed.

    Between the making of a file and its lock another run may take it for a leftover and remove it, and one that fails
    removes the folders that it made: then all begins again.
    """
    for attempt in itertools.count():
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            _remove_leftovers(target)
            temporary = _create(target, folder)
            lock = _lock(temporary)
        except FileNotFoundError:
            if attempt >= _ATTEMPTS:
                raise
            continue
        if lock is None or _is_still(temporary, lock):
            return temporary, lock
        os.close(lock)
    raise AssertionError


def _is_still(path: Path, handle: int) -> bool:
    """Whether a name still stands for an open file, and nobody is about to remove it."""
    try:
        there, mine = path.stat(), os.fstat(handle)
    except FileNotFoundError:
        return False
    return (there.st_dev, there.st_ino) == (mine.st_dev, mine.st_ino)


def _missing_parents(target: Path) -> list[Path]:
    return [parent for parent in target.parents if not parent.exists()]


def _remove_empty(folders: list[Path]) -> None:
    for folder in folders:
        with contextlib.suppress(OSError):
            folder.rmdir()


def _lock(path: Path) -> int | None:
    """A lock held while the output is written, by which others see that its writer lives."""
    if fcntl is None:
        return None
    handle = os.open(path, os.O_RDONLY)
    with contextlib.suppress(OSError):  # some network file systems have no locks
        # Waits for one who is looking whether it is a leftover, and thus sees what came of it.
        fcntl.flock(handle, fcntl.LOCK_SH)
    return handle


def _remove_leftovers(target: Path) -> None:
    if fcntl is None:
        return
    start = f".{target.stem}{MARK}"
    for found in target.parent.iterdir():
        if not found.name.startswith(start) or found.is_symlink() or found.suffix != target.suffix:
            continue
        with contextlib.suppress(OSError):  # locked: its writer is at work
            handle = os.open(found, os.O_RDONLY)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                _remove(found)
            finally:
                os.close(handle)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    for each in [path, *path.rglob("*")] if path.is_dir() else [path]:
        if each.is_file():
            with each.open("rb") as file:
                os.fsync(file.fileno())


def _rename(temporary: Path, target: Path) -> None:
    if not target.is_dir():
        try:
            temporary.replace(target)
            return
        except OSError:
            if not target.is_dir():
                raise  # else another run has made the folder just now
    # An existing folder may hold what is not ours: its files are replaced one by one, each in one step, others stay.
    for made in sorted(temporary.rglob("*")):
        place = target / made.relative_to(temporary)
        if made.is_dir():
            place.mkdir(exist_ok=True)
        else:
            made.replace(place)
    shutil.rmtree(temporary)
