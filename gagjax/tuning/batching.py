"""Batches of clips of different lengths, with padding marked invalid."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Bool, Float

from gagjax.track import Track
from gagjax.typing import AnyArray, Tree


class Clip(NamedTuple):
    """One sequence, or a batch of them with a leading axis.

    Attributes:
        xs: Observations, a pytree of (T, ...) arrays.
        valid: (T,) bool; False where a frame is missing or padding.
        truth: Ground truth, like `xs`, or None.
        present: (T,) bool; False on padding only. Missing frames count in the error to the truth, padding never does.
        dt: () seconds per frame.
    """

    xs: Any
    valid: Bool[AnyArray, "T"]
    truth: Any
    present: Bool[AnyArray, "T"]
    dt: Float[AnyArray, ""]


def batch(
    sequences: Sequence[Any],
    truths: Sequence[Any] | None = None,
    valids: Sequence[Any] | None = None,
    fps: float = 25.0,
) -> Clip:
    """Stack sequences into one batch, padded to the longest.

    Args:
        sequences: Tracks, or pytrees of (T, ...) arrays; the lengths may differ.
        truths: Tracks or pytrees like them, or None.
        valids: (T,) bool each, for sequences that are not tracks; None means all valid.
        fps: Frame rate of sequences that are not tracks.

    Returns:
        A Clip with a leading axis of sequences.

    Raises:
        ValueError: If there is no sequence, or truths and sequences do not match.
    """
    if not sequences:
        raise ValueError("there is no clip to learn from")
    if truths is not None and [_length(t) for t in truths] != [_length(s) for s in sequences]:
        raise ValueError("every clip needs a truth of its own length")
    longest = max(_length(s) for s in sequences)
    valids = valids or [s.valid if isinstance(s, Track) else np.ones(_length(s), bool) for s in sequences]

    def stack(items: Sequence[Any]) -> Any:
        trees = [t.channels if isinstance(t, Track) else t for t in items]
        return jax.tree.map(lambda *leaves: np.stack([_padded(leaf, longest) for leaf in leaves]), *trees)

    present = np.stack([np.arange(longest) < _length(s) for s in sequences])
    valid = np.stack([np.concatenate([np.asarray(v, bool), np.zeros(longest - len(v), bool)]) for v in valids])
    dt = np.asarray([1 / float(s.fps) if isinstance(s, Track) else 1 / fps for s in sequences], np.float32)
    return Clip(stack(sequences), valid, None if truths is None else stack(truths), present, dt)


def _length(sequence: Tree) -> int:
    return len(sequence) if isinstance(sequence, Track) else len(jax.tree.leaves(sequence)[0])


def _padded(leaf: AnyArray, length: int) -> np.ndarray:
    leaf = np.asarray(leaf)
    leaf = leaf.astype(np.float32) if leaf.dtype == np.float64 and not jax.config.read("jax_enable_x64") else leaf
    return np.concatenate([leaf, np.repeat(leaf[-1:], length - len(leaf), 0)])
