"""Smoothing a clip that is too long for memory: the host walks through its parts.

What a part needs of the rest is handed on: the noise levels and cutoffs of the whole clip, the filters' states, and two
frames on either side. The clip itself, and the result, stay where they are; only a part of them is ever copied.
"""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gagjax.filters.adaptive import choice, levels, passes
from gagjax.filters.adaptive.gaps import Bridge
from gagjax.filters.adaptive.passes import REACH, Carry, Frames
from gagjax.filters.kalman import ConstantVelocity
from gagjax.long_clips.walk import Walk
from gagjax.typing import AnyArray, Tree, Values


class _Rows:
    """The frames of a clip by number, as NumPy arrays, missing ones bridged."""

    def __init__(self, xs: np.ndarray, valid: np.ndarray | None, walk: Walk) -> None:
        self.xs, self.valid, self.walk, self.frames = xs, valid, walk, len(xs)
        bridge = None if valid is None or valid.all() else Bridge.over(jnp.asarray(valid))
        self.bridge = None if bridge is None else jax.tree.map(np.asarray, bridge)

    def at(self, places: np.ndarray) -> np.ndarray:
        """Frames (N, C); beyond the ends the end itself is repeated."""
        first, last = int(places[0]), int(places[-1])
        places = np.clip(places, 0, self.frames - 1)
        if self.bridge is None or self.valid is None or self.valid[places].all():
            whole = first >= 0 and last < self.frames and last - first + 1 == len(places)
            return np.asarray(self.xs[first : last + 1] if whole else self.xs[places])
        before = self.xs[self.bridge.index[places]]
        share = np.asarray(self.bridge.share[places], before.dtype)[:, None]
        return before + share * (self.xs[self.bridge.following[places]] - before)

    def observed(self, places: np.ndarray) -> np.ndarray:
        """(N, 1) whether each was observed; False beyond the ends."""
        inside = (places >= 0) & (places < self.frames)
        if self.valid is not None:
            inside &= self.valid[np.clip(places, 0, self.frames - 1)]
        return inside[:, None]

    def around(self, places: np.ndarray) -> tuple[np.ndarray, ...]:
        """Frames, far apart, with their two neighbours on either side: five arrays (N, C)."""
        return tuple(self.at(places + k) for k in range(-REACH, REACH + 1))


def smooth_vector(
    settings: levels.Settings, xs: np.ndarray, valid: np.ndarray | None, dt: Values, cuts: np.ndarray | None, walk: Walk
) -> np.ndarray:
    """Smooth the channels of a long clip (T, C), equal to `passes.smooth_vector` up to rounding.

    Args:
        settings: The smoother.
        xs: (T, C); may be a file's memory map.
        valid: (T,) frames to trust, or None.
        dt: Seconds per frame, one number or (T,).
        cuts: (T,) True where a new scene begins, or None.
        walk: The length of a part, where the result is kept, and who is told of the progress.

    Returns:
        (T, C), from `walk.room`.
    """
    rows, (frames, channels) = _Rows(xs, valid, walk), xs.shape
    length = max(REACH, min(walk.part, frames))
    parts = -(-frames // length)
    found = _levels(settings, rows)
    grid = passes.grid_of(settings)
    models = choice.candidates(grid, dt)
    seconds = None if np.ndim(dt) == 0 else np.asarray(dt, np.float32)

    def part(i: int) -> tuple[Any, ...]:
        places = np.arange(i * length - REACH, (i + 1) * length + REACH)
        mine = places[REACH:-REACH]
        inside = np.clip(mine, 0, frames - 1)
        new = None if cuts is None else np.asarray(cuts)[inside] & (mine < frames)
        return rows.at(places), rows.observed(mine), None if seconds is None else seconds[inside], new

    walk.begin(frames * 4)
    score, start = choice.at_first(models, jnp.zeros(channels)), frames
    for i in range(parts):
        read = part(i)
        score, used = _score(settings, found, models, score, *read[:3], np.arange(i * length, (i + 1) * length) >= 3)
        if start == frames and np.asarray(used).any():
            start = i * length + int(np.argmax(used))
        walk.step(length, xs)
    cutoff = passes.chosen(settings, score, found.still, grid)
    model = passes.model_of(cutoff, dt, channels)
    start = start if start < frames else 0
    first = (rows.at(np.arange(start, start + 1))[0] - found.first) / found.unit
    carry, starts = passes.begun(model, first, (channels,)), []
    for i in range(parts):
        starts.append(carry)
        if i + 1 < parts:
            carry = _ahead(settings, found, model, carry, *part(i))
        walk.step(length, xs)
    out = walk.room((frames, channels))
    later, halos = model.last(first), [(np.zeros((REACH, channels), np.float32),) * 2] * (parts + 2)
    for i in reversed(range(parts)):
        later, smooth, head, tail = _smooth(settings, found, model, starts.pop(), later, *part(i))
        out[i * length : (i + 1) * length] = np.asarray(smooth)[: frames - i * length]
        halos[i + 1] = (np.asarray(head), np.asarray(tail))
        walk.step(length, xs, out)
    sampled = np.arange(0, frames, levels.stride(frames))
    spread = _spread(settings, found, rows.around(sampled), rows.observed(sampled), out[sampled])
    for i in range(parts):
        mine = out[i * length : (i + 1) * length]
        padded = np.pad(mine, ((0, length - len(mine)), (0, 0)))
        done = _finish(settings, found, spread, *part(i)[:2], padded, halos[i][1], halos[i + 2][0])
        out[i * length : (i + 1) * length] = np.asarray(done)[: len(mine)]
        walk.step(length, xs, out)
    if valid is not None:
        seen = np.flatnonzero(valid)
        out[: seen[0]], out[seen[-1] + 1 :] = out[seen[0]], out[seen[-1]]
    return out


def _levels(settings: levels.Settings, rows: _Rows) -> levels.Levels:
    frames = rows.frames
    sampled = np.arange(0, frames, levels.stride(frames))
    triples = usable = None
    if frames >= 3:
        inner = np.arange(0, frames - 2, levels.stride(frames - 2))
        triples = tuple(rows.at(inner + k) for k in range(3))
        usable = rows.observed(inner) & rows.observed(inner + 1) & rows.observed(inner + 2)
    count = levels.observations(rows.valid, frames)
    first = rows.at(np.arange(1))[0]
    return _measure(settings, first, rows.around(sampled), rows.observed(sampled), triples, usable, count)


_measure = jax.jit(levels.measured)


def _split(rows: AnyArray, length: int) -> tuple[Any, ...]:
    return tuple(rows[k : k + length] for k in range(2 * REACH + 1))


def _judged(
    settings: levels.Settings, found: levels.Levels, rows: AnyArray, observed: AnyArray
) -> tuple[Any, Any, Any]:
    return levels.judged(settings, found, _split(rows, observed.shape[0]), observed)


@functools.partial(jax.jit, donate_argnums=3)
def _score(
    settings: levels.Settings,
    found: levels.Levels,
    models: ConstantVelocity,
    score: choice.Score,
    rows: AnyArray,
    observed: AnyArray,
    seconds: AnyArray | None,
    late: AnyArray,
) -> tuple[choice.Score, Any]:
    scaled, seen, _ = _judged(settings, found, rows, observed)
    return choice.scored(models, score, scaled, seen, seconds, late), seen.any(1)


@jax.jit
def _ahead(
    settings: levels.Settings,
    found: levels.Levels,
    model: ConstantVelocity,
    carry: Carry,
    rows: AnyArray,
    observed: AnyArray,
    *clock: AnyArray | None,
) -> Carry:
    scaled, seen, _ = _judged(settings, found, rows, observed)
    return passes.ahead(model, carry, Frames(scaled, seen, *clock))


@jax.jit
def _smooth(
    settings: levels.Settings,
    found: levels.Levels,
    model: ConstantVelocity,
    carry: Carry,
    later: Tree,
    rows: AnyArray,
    observed: AnyArray,
    *clock: AnyArray | None,
) -> tuple[Any, Any, Any, Any]:
    scaled, seen, sound = _judged(settings, found, rows, observed)
    later, smooth = passes.smoothed(model, carry, later, Frames(scaled, seen, *clock))
    error = passes.residual(scaled, sound, smooth)
    return later, smooth, error[:REACH], error[-REACH:]


@jax.jit
def _spread(
    settings: levels.Settings, found: levels.Levels, around: tuple[AnyArray, ...], observed: AnyArray, smooth: AnyArray
) -> Any:
    scaled, seen, sound = levels.judged(settings, found, around, observed)
    return levels.level_of_events(found, passes.residual(scaled, sound, smooth), seen, 1.0)


@jax.jit
def _finish(
    settings: levels.Settings,
    found: levels.Levels,
    spread: AnyArray,
    rows: AnyArray,
    observed: AnyArray,
    smooth: AnyArray,
    before: AnyArray,
    after: AnyArray,
) -> Any:
    scaled, _, sound = _judged(settings, found, rows, observed)
    error = jnp.concatenate([before, passes.residual(scaled, sound, smooth), after])
    return passes.finished(found, rows[REACH:-REACH], smooth, levels.events(settings, spread, error))
