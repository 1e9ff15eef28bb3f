"""Atomic outputs: written under a hidden name beside the target, synced, then renamed."""

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
except ImportError:  # Windows: leftovers of a killed run are not detected
    fcntl = None  # type: ignore[assignment]

MARK = ".partial-"
_ATTEMPTS = 1000  # each failure means that another run has made progress
#: Errors of a disk that cannot be written: full, over a quota or file size limit, read-only, failing.
FULL = tuple(getattr(errno, name) for name in ("ENOSPC", "EDQUOT", "EFBIG", "EROFS", "EIO") if hasattr(errno, name))


@contextlib.contextmanager
def output(path: str | Path, force: bool = False, *, folder: bool = False) -> Iterator[Path]:
    """A temporary path that becomes `path` if the block succeeds and is removed otherwise.

    The temporary path is beside the target (a rename across file systems would be a copy) and keeps its suffix (by
    which writers choose the format). Leftovers of a killed run are removed by the next one.

    Args:
        path: The output; missing parent folders are created.
        force: Replace an existing output. In an existing folder, files with the same names are replaced, others kept.
        folder: Whether the output is a folder; the block gets it created and empty.

    Yields:
        The path to write to. A file already exists, empty.

    Raises:
        InputError: If `path` exists and `force` is False, it is a folder instead of a file (or the reverse), or it
            cannot be written.

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
        # Check again: another process may have created the target in the meantime.
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
    """Convert errors of an unwritable disk to an error about the output.

    Raises:
        InputError: If the disk becomes unwritable inside the block, for example because it is full.
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
    """The path, if `output` may write it; for a check before long work.

    Raises:
        InputError: As in `output`.
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
    # Temporary files and folders are private; outputs get the default permissions.
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
    """Create a temporary path and its lock, and remove leftovers.

    Between creation and locking of a file another run may remove it as a leftover, and a failing run removes the
    folders that it created; in both cases start over.
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
    """Whether a path still refers to an open file that no other run is about to remove."""
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
    """A lock held during writing, which shows other runs that the writer is alive."""
    if fcntl is None:
        return None
    handle = os.open(path, os.O_RDONLY)
    with contextlib.suppress(OSError):  # some network file systems have no locks
        # Waits for a run that checks whether this is a leftover, and so sees the outcome.
        fcntl.flock(handle, fcntl.LOCK_SH)
    return handle


def _remove_leftovers(target: Path) -> None:
    if fcntl is None:
        return
    start = f".{target.stem}{MARK}"
    for found in target.parent.iterdir():
        if not found.name.startswith(start) or found.is_symlink() or found.suffix != target.suffix:
            continue
        with contextlib.suppress(OSError):  # locked: its writer is active
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
                raise  # else another run has just created the folder
    # An existing folder may hold other files: ours are replaced one by one, each atomically, others are kept.
    for made in sorted(temporary.rglob("*")):
        place = target / made.relative_to(temporary)
        if made.is_dir():
            place.mkdir(exist_ok=True)
        else:
            made.replace(place)
    shutil.rmtree(temporary)
