"""Where a track came from: its file's content, so that a writer of the same format changes only what the track changed.

A reader keeps the content as it found it, and which of its frames each frame of the track is. The writer of that format
starts from the content and puts values in where they differ from what was read: entries that nothing understood, types,
shapes, order and untouched numbers stay as they were, to the bit.
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
        content: What the file held, never changed.
        frames: Which frame of the content each frame of the track is, (T,); -1 where it is none of them.
        before: What the file itself was written from: our own format carries the origin of the track it was given.

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
            index: Which frames of this track they are, (N,); -1 for a new frame.

        Returns:
            The same content with as many frames as the index.
        """
        index = np.asarray(index)
        frames = np.where(index >= 0, self.frames[index], -1)
        return dataclasses.replace(self, frames=frames, before=None if self.before is None else self.before.at(index))


def of(track: Track, format: str) -> Origin | None:
    """The origin of a track in a format, however many files of our own lie between; None where there is none."""
    found = track.origin
    while found is not None and found.format != format:
        found = found.before
    return found


def merged(original: object, read: Float[np.ndarray, "..."], new: Float[np.ndarray, "..."]) -> Any:
    """A field of a file with the numbers that changed put in.

    Args:
        original: The field as the file holds it: an array of any float type, or nested lists.
        read: The numbers that were read from it; longer in the last axis where fewer coefficients were padded.
        new: What they are now, of the shape of `read`.

    Returns:
        The original itself where nothing changed; otherwise its numbers with the changed ones replaced, in its type
        and shape. Integers become float32, and coefficients that the file did not have are added where they are used.

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
