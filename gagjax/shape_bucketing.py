"""Run clips of many lengths through a few compiled programs.

XLA compiles a program per shape. A clip is therefore padded to the next bucket length with frames marked as missing.
Stages do not read those, so the results for the clip's own frames are unchanged, up to rounding.
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
    """The length to which a clip is padded: 64, 96, 128, 192, 256, 384 and so on.

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
    """A pytree of arrays, time first, padded to `frames` by repeating the last frame."""

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
    """Whether a clip may be padded for these stages: not if one holds per-frame values, such as gaze targets."""
    return not any(np.ndim(leaf) > 0 and np.shape(leaf)[0] == frames for leaf in jax.tree.leaves(stages))


def _where(x: AnyArray, made: np.ndarray) -> Any:
    """A result, on the device to which the input array is committed."""
    return jax.device_put(made, x.sharding) if isinstance(x, jax.Array) and x.committed else made


def _on_host(x: AnyArray) -> bool:
    """Whether NumPy can view the array without a copy: slicing in XLA would compile once per length."""
    return isinstance(x, np.ndarray) or (
        is_concrete(x) and len(x.devices()) == 1 and all(d.platform == "cpu" for d in x.devices())
    )
