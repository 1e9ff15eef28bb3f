"""The content of a track's source file, so that a writer of the same format changes only modified values.

A reader stores the unmodified content, and the index of each track frame in it. The writer of that format starts from
this content and replaces only values that differ from those read: unknown entries, types, shapes, order and unmodified
numbers are preserved bit for bit.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from gagjax.track import Track


@dataclasses.dataclass(frozen=True, eq=False)
class Origin:
    """A file's content.

    Attributes:
        format: Name of the format, as in `gagjax.io.tracks.FORMATS`.
        content: The file's content, never modified.
        frames: Index in the content of each frame of the track, (T,); -1 for new frames.
        before: The origin stored in the file, if any: gagjax's own format keeps the origin of the written track.

    Example:
        >>> Origin("vhap", {}, np.arange(4)).at(np.array([2, 3, -1])).frames.tolist()
        [2, 3, -1]
    """

    format: str
    content: Any
    frames: Int[np.ndarray, "T"]
    before: Origin | None = None

    def at(self, index: Int[np.ndarray, "N"]) -> Origin:
        """The origin of a track with other frames.

        Args:
            index: Indices into this track's frames, (N,); -1 for a new frame.

        Returns:
            The same content with one frame per index.
        """
        index = np.asarray(index)
        frames = np.where(index >= 0, self.frames[index], -1)
        return dataclasses.replace(self, frames=frames, before=None if self.before is None else self.before.at(index))


def of(track: Track, format: str) -> Origin | None:
    """The origin of a track in a format, also through files of gagjax's own format; None if there is none."""
    found = track.origin
    while found is not None and found.format != format:
        found = found.before
    return found


def merged(original: object, read: Float[np.ndarray, "..."], new: Float[np.ndarray, "..."]) -> Any:
    """A field of a file with changed numbers replaced.

    Args:
        original: The field as the file holds it: an array of any float type, or nested lists.
        read: The numbers read from it; longer in the last axis if coefficients were padded.
        new: The current numbers, with the shape of `read`.

    Returns:
        The original itself if nothing changed; otherwise a copy with the changed numbers replaced, of its type and
        shape. Integers become float32, and coefficients missing in the file are added if used.

    Example:
        >>> merged(np.array([[0.1, 0.2]]), np.float32([0.1, 0.2, 0]), np.float32([0.1, 0.5, 0]))
        array([[0.1, 0.5]])
    """
    if np.array_equal(read, new, equal_nan=True):
        return original
    held = np.asarray(original)
    kind = held.dtype if held.dtype.kind == "f" else np.dtype(np.float32)
    columns = held.shape[-1] if held.ndim else 1
    wide = read.shape[-1] if read.ndim else 1
    if columns < wide:
        if not new[..., columns:].any():
            read, new = read[..., :columns], new[..., :columns]
        else:
            held = np.concatenate([held, np.zeros((*held.shape[:-1], wide - columns), kind)], -1)
    same = (read == new) | (np.isnan(read) & np.isnan(new))
    made = np.where(same.reshape(held.shape), held, new.reshape(held.shape).astype(kind)).astype(kind)
    return made.tolist() if isinstance(original, list) else made
