"""The track stages of a stack over a clip in parts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool

from gagjax.filters.base import Chain, chain, stream
from gagjax.long_clips.walk import Walk
from gagjax.protocols import ByParts, Filter, TimeStepped, TrackStage
from gagjax.track import Channels
from gagjax.typing import Scalar


def run_stages(
    stages: Sequence[Filter[Any] | TrackStage],
    channels: Channels,
    valid: Bool[np.ndarray, "T"],
    dt: Scalar,
    walk: Walk,
) -> Channels:
    """Run track stages in order, in parts; equal to `gagjax.stack.run_stages` up to rounding.

    Filters are run as a stream. A stage that sees the whole clip and has no `by_parts` gets the whole clip.

    Args:
        stages: Filters, and stages that see the whole sequence.
        channels: NumPy arrays, time first, (T, ...).
        valid: (T,) frames that were observed.
        dt: Seconds per frame.
        walk: The length of a part, and where results are kept.

    Returns:
        The channels of all T frames, NumPy arrays.
    """
    filters: list[Filter[Any]] = []
    for stage in [*stages, None]:
        if stage is not None and not isinstance(stage, TrackStage):
            filters.append(stage.with_dt(dt) if isinstance(stage, TimeStepped) else stage)
            continue
        if filters:
            channels = _streamed(chain(*filters), channels, valid, walk)
            filters, valid = [], np.ones(len(valid), bool)
        if isinstance(stage, ByParts):
            channels = stage.by_parts(channels, valid=valid, dt=dt, walk=walk)
        elif stage is not None:
            done: Any = stage.apply(jax.tree.map(jnp.asarray, channels), valid=jnp.asarray(valid), dt=dt)
            channels = jax.tree.map(np.asarray, done)
        if stage is not None:
            valid = np.ones(len(valid), bool)
    return channels


def _streamed(filter_: Chain, channels: Channels, valid: np.ndarray, walk: Walk) -> Channels:
    frames = len(valid)
    leaves: list[Any]
    tree: Any
    leaves, tree = jax.tree.flatten(channels)
    outs = [x if walk.made(x) else walk.room(x.shape) for x in leaves]

    def chunks() -> Iterator[tuple[Any, Any]]:
        for start in range(0, frames, walk.part):
            part = slice(start, start + walk.part)
            yield tree.unflatten([np.array(x[part]) for x in leaves]), valid[part]

    walk.about("filtering")
    walk.begin(frames)
    start = 0
    for ys, _ in stream(filter_, chunks()):
        made = jax.tree.leaves(ys)
        count = made[0].shape[0]
        for out, y in zip(outs, made, strict=True):
            out[start : start + count] = np.asarray(y)
        start += count
        walk.step(count, *leaves, *outs)
    return jax.tree.unflatten(tree, outs)
