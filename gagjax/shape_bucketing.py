"""Clips of many lengths through a few compiled programs.

XLA compiles a program for one shape. A clip is therefore lengthened to the next of a few lengths by frames that are
marked as missing: a stage reads nothing from those, so the frames of the clip come out as they would have, up to rounding.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gagjax.pytree import is_concrete
from gagjax.typing import AnyArray, Tree

SHORTEST = 64


def bucket(frames: int) -> int:
    """The length to which a clip is lengthened: 64, 96, 128, 192, 256, 384 and so on.

    Example:
        >>> [bucket(n) for n in (1, 64, 65, 100, 1000)]
        [64, 64, 96, 128, 1024]
    """
    power = SHORTEST
    while power < frames:
        power *= 2
    shorter = power * 3 // 4
    return shorter if SHORTEST <= frames <= shorter else power


def lengthen(xs: Tree, frames: int) -> Any:
    """A pytree of arrays, time first, its last frame repeated until it has so many frames."""

    def each(x: AnyArray) -> Any:
        missing = frames - x.shape[0]
        if missing == 0:
            return x
        if not _on_host(x):
            return jnp.concatenate([x, jnp.repeat(x[-1:], missing, axis=0)])
        host = np.asarray(x)
        return _where(x, np.concatenate([host, np.repeat(host[-1:], missing, axis=0)]))

    return jax.tree.map(each, xs)


def shorten(xs: Tree, frames: int) -> Any:
    """The first frames of a pytree of arrays, time first."""

    def each(x: AnyArray) -> Any:
        if x.shape[0] == frames:
            return x
        return jax.device_put(_where(x, np.asarray(x)[:frames])) if _on_host(x) else x[:frames]

    return jax.tree.map(each, xs)


def fits(stages: Tree, frames: int) -> bool:
    """Whether stages may see a longer clip: not where one holds values for each frame, such as a gaze target a frame."""
    return not any(np.ndim(leaf) > 0 and np.shape(leaf)[0] == frames for leaf in jax.tree.leaves(stages))


def _where(x: AnyArray, made: np.ndarray) -> Any:
    """What was made of an array, on the device that somebody has put the array on."""
    return jax.device_put(made, x.sharding) if isinstance(x, jax.Array) and x.committed else made


def _on_host(x: AnyArray) -> bool:
    """Whether NumPy can have the array for nothing: what XLA cuts or joins, it compiles for every length."""
    return isinstance(x, np.ndarray) or (
        is_concrete(x) and len(x.devices()) == 1 and all(d.platform == "cpu" for d in x.devices())
    )
