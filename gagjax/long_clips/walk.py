"""How the host walks through a long clip: the length of a part, where results are kept, who is told of the progress."""

from __future__ import annotations

import mmap
import os
import tempfile
import weakref
from collections.abc import Callable
from pathlib import Path

import numpy as np

#: Frames of a part, unless told otherwise.
PART = 4096
#: Results of this many bytes and more are kept in a file.
LARGE = 64 << 20

#: What tells the kernel to drop pages; not on every system.
ADVICE: int | None = getattr(mmap, "MADV_DONTNEED", None)


class Walk:
    """A walk through a clip's parts.

    Large results are kept in files without a name, which end with the arrays: the pages that are written leave the
    process's memory at once, so that it holds a part and not the clip.

    Args:
        part: Frames of a part.
        folder: Where these files are made; None is the system's folder for temporary files. Where it has no room, a
            result is kept in memory.
        told: Called with the share of the work that is done, 0 to 1, and what it is.

    Example:
        >>> Walk(part=100).room((3, 2)).shape
        (3, 2)
    """

    def __init__(
        self,
        part: int = PART,
        folder: str | Path | None = None,
        told: Callable[[float, str], None] | None = None,
    ) -> None:
        if part < 1:
            raise ValueError(f"a part has at least one frame, got {part}")
        self.part, self._folder, self._told = part, folder, told
        self._total, self._done, self._what = 1, 0, ""
        self._made: list[weakref.ref[np.ndarray]] = []

    def about(self, what: str) -> None:
        """Say what the following work is."""
        self._what = what

    def begin(self, frames: int) -> None:
        """Begin a piece of work of so many frames, passes counted one by one."""
        self._total, self._done = max(1, frames), 0

    def step(self, frames: int, *arrays: np.ndarray) -> None:
        """So many frames are done; the memory of mapped files that `arrays` lie in is given back."""
        self._done += frames
        for each in arrays:
            _give_back(each)
        if self._told is not None:
            self._told(min(1.0, self._done / self._total), self._what)

    def room(self, shape: tuple[int, ...]) -> np.ndarray:
        """An array for a result, float32."""
        size = 4 * int(np.prod(shape))
        made = None if size < LARGE else self._in_file(shape, size)
        made = np.empty(shape, np.float32) if made is None else made
        self._made.append(weakref.ref(made))
        return made

    def made(self, x: np.ndarray) -> bool:
        """Whether an array is this walk's own, and may be written over."""
        return any(each() is x for each in self._made)

    def _in_file(self, shape: tuple[int, ...], size: int) -> np.ndarray | None:
        try:
            with tempfile.TemporaryFile(dir=self._folder) as file:
                if hasattr(os, "posix_fallocate"):
                    os.posix_fallocate(file.fileno(), 0, size)  # a page without room on the disk would end the process
                else:
                    file.truncate(size)
                return np.memmap(file, np.float32, "r+", shape=shape)
        except OSError:
            return None


def _give_back(x: np.ndarray) -> None:
    """Drop the pages of a file that is mapped and shared with it: they are read again when they are needed."""
    base: object = x
    while isinstance(base, np.ndarray):
        if isinstance(base, np.memmap) and getattr(base, "mode", "") in ("r", "r+") and ADVICE is not None:
            held = getattr(base, "_mmap", None)
            if held is not None:
                held.madvise(ADVICE)
                return
        base = base.base
