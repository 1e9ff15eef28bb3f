"""The passes through a clip, part by part, with what the filters know handed from one part to the next.

A smoother's backward pass needs what its forward pass saw, several arrays of the clip's size. Here the forward pass keeps
its state at the start of each part alone; the backward pass runs it again through one part at a time. So memory does not
depend on how much a filter remembers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gagjax.filters.adaptive import choice, levels
from gagjax.filters.adaptive.gaps import Bridge, held, neighbours
from gagjax.filters.adaptive.levels import (
    Levels,
    Settings,
    events,
    judged,
    level_of_events,
    measured,
    observations,
    once,
)
from gagjax.filters.kalman import ConstantVelocity
from gagjax.filters.rotation import RotationConstantVelocity
from gagjax.protocols import HasAdjoint, TimeStepped
from gagjax.typing import AnyArray, Tree, Values

REACH = 2  # frames on either side that decide on a frame
LONGEST = 256  # frames of a part: what a backward pass reads of it stays in the cache


class Carry(NamedTuple):
    """What a forward pass hands on: the filter's state, and which channels have yet to begin a new scene."""

    state: Any
    pending: Any


class Frames(NamedTuple):
    """A part of a clip for a filter.

    Attributes:
        x: (P, ...).
        seen: What to use of it, (P, C), or (P,) for rotations.
        seconds: Durations, (P,), or None.
        cuts: (P,) True where a new scene begins, or None.
    """

    x: Any
    seen: Any
    seconds: Any
    cuts: Any


class Choice(NamedTuple):
    """What the first pass finds: each channel's cutoff, (C,), and the first frame of which anything is used."""

    cutoff: Any
    start: Any


def parted(frames: int, longest: int = LONGEST) -> tuple[int, int]:
    """The length of a part and their number; the last may reach beyond the clip.

    Example:
        >>> parted(250), parted(1000), parted(1)
        ((250, 1), (250, 4), (2, 1))
    """
    parts = -(-frames // longest)
    return max(REACH, -(-frames // parts)), parts


def begun(filter_: HasAdjoint, first: AnyArray, shape: tuple[int, ...]) -> Carry:
    """The state before the first frame; `shape` is that of a frame's mask."""
    return Carry(filter_.init(first), jnp.zeros(shape, bool))


def _observed(filter_: HasAdjoint, carry: Carry, frame: Frames) -> tuple[Carry, Any]:
    now = filter_ if frame.seconds is None or not isinstance(filter_, TimeStepped) else filter_.with_dt(frame.seconds)
    (state, pending), new = carry, None
    if frame.cuts is not None:
        # A scene cannot start at a value that is missing.
        pending = pending | frame.cuts
        new, pending = pending & frame.seen, pending & ~frame.seen
        state = jax.tree.map(lambda a, b: jnp.where(new, a, b), now.init(frame.x), state)
    state, info = now.observe(state, frame.x, frame.seen)
    return Carry(state, pending), (info, new)


def ahead(filter_: HasAdjoint, carry: Carry, part: Frames) -> Carry:
    """The state after a part."""
    return jax.lax.scan(lambda c, f: (_observed(filter_, c, f)[0], None), carry, part)[0]


def smoothed(filter_: HasAdjoint, carry: Carry, later: Tree, part: Frames) -> tuple[Any, Any]:
    """A part, smoothed.

    Args:
        filter_: A Kalman-type filter.
        carry: The state before the part.
        later: The adjoint from the part after it; `filter_.last` at the end of the clip.
        part: The part.

    Returns:
        The adjoint for the part before it, and the frames (P, ...).
    """

    def backward(later: Tree, frame: Tree) -> tuple[Any, Any]:
        (info, new), seconds = frame
        now = filter_ if seconds is None or not isinstance(filter_, TimeStepped) else filter_.with_dt(seconds)
        y, earlier = now.adjoint(later, info)
        if new is not None:
            earlier = jax.tree.map(lambda each: jnp.where(new, 0, each), earlier)
        return earlier, y

    infos = jax.lax.scan(lambda c, f: _observed(filter_, c, f), carry, part)[1]
    return jax.lax.scan(backward, later, (infos, part.seconds), reverse=True)


def chosen(settings: Settings, score: choice.Score, still: AnyArray, grid: AnyArray, together: bool = False) -> Any:
    """Each channel's cutoff (C,), out of K in `grid`; the channels' costs help each other."""
    cost = choice.cost(score)
    cost = jnp.where(still, 0, cost - cost.min(0))
    shared = cost.sum(1, keepdims=True) / jnp.maximum(1, (~still).sum())
    cost = shared + 0 * cost if together else cost + settings.pooling * shared
    return grid[jnp.argmin(cost, axis=0)]


def grid_of(settings: Settings) -> Any:
    """The cutoffs that are tried, (K,), Hz."""
    return settings.lowest * (settings.highest / settings.lowest) ** jnp.linspace(0, 1, settings.candidates)


def model_of(cutoff: Values, dt: Values, channels: int) -> ConstantVelocity:
    """The filter of C channels in units of their noise."""
    return ConstantVelocity.from_cutoff(
        jnp.broadcast_to(cutoff, (channels,)), jnp.ones(channels), 1 / choice.typical(dt)
    )


class _Clip(NamedTuple):
    """A clip as the passes read it: in parts, missing frames bridged, ends repeated `REACH` times.

    Bridged is what is read, when it is read: another copy of a long clip would be the largest thing in memory.
    """

    xs: Any
    bridge: Bridge | None
    observed: Any  # (N,), of whole parts
    seconds: Any
    cuts: Any
    frames: int
    length: int
    parts: int

    def rows(self, places: AnyArray) -> Any:
        """Frames by number, (N, C); beyond the ends the end itself is repeated."""
        places = jnp.clip(places, 0, self.frames - 1)
        return self.xs[places] if self.bridge is None else self.bridge.of(self.xs, places)

    def around(self, i: AnyArray | int) -> tuple[Any, ...]:
        """The frames of a part with their neighbours: five arrays (P, C)."""
        rows = self._window(i)
        return tuple(rows[k : k + self.length] for k in range(2 * REACH + 1))

    def _window(self, i: AnyArray | int) -> Any:
        places = i * self.length + jnp.arange(-REACH, self.length + REACH)
        if self.parts == 1:
            if self.bridge is None:
                return jnp.pad(self.xs, ((REACH, self.length - self.frames + REACH), (0, 0)), mode="edge")
            return self.rows(places)

        def sliced() -> Any:
            # XLA gathers rows by an index ten times more slowly than it copies a slice.
            start = i * self.length
            ends = [jnp.clip(places[k], 0, self.frames - 1) for k in (0, 1, -2, -1)]
            single = [jax.lax.dynamic_slice_in_dim(self.xs, k, 1) for k in ends]
            inside = jax.lax.dynamic_slice_in_dim(self.xs, start, self.length)
            return jnp.concatenate([*single[:REACH], inside, *single[REACH:]])

        whole = (i + 1) * self.length <= self.frames
        if self.bridge is not None:
            whole = (
                whole
                & (
                    self.bridge.index[jnp.clip(places, 0, self.frames - 1)] == jnp.clip(places, 0, self.frames - 1)
                ).all()
            )
        return jax.lax.cond(whole, sliced, lambda: self.rows(places))

    def of(self, xs: AnyArray | None, i: AnyArray | int) -> Any:
        """A part of an array (N, ...)."""
        if xs is None or self.parts == 1:
            return xs
        return jax.lax.dynamic_slice_in_dim(xs, i * self.length, self.length)

    def sampled(self) -> tuple[Any, ...]:
        """As `around`, of the frames that statistics are taken of, and whether each was observed, (M, 1)."""
        step = levels.stride(self.frames)
        return self.strided(range(-REACH, REACH + 1), self.frames, step), self.observed[: self.frames : step, None]

    def strided(self, offsets: range, count: int, step: int) -> tuple[Any, ...]:
        """For each offset every `step`-th of `count` frames from it on."""
        if step == 1 and self.parts == 1:
            rows = self._window(0)
            return tuple(rows[REACH + k : REACH + k + count] for k in offsets)
        return tuple(self.rows(k + jnp.arange(0, count, step)) for k in offsets)

    def levels(self, settings: Settings, valid: AnyArray | None, together: bool = False) -> Levels:
        """The noise levels."""
        around, observed = self.sampled()
        triples = usable = None
        if self.frames >= 3:
            inside, step = self.frames - 2, levels.stride(self.frames - 2)
            triples = self.strided(range(3), inside, step)
            seen = [self.observed[k : k + inside : step] for k in range(3)]
            usable = (seen[0] & seen[1] & seen[2])[:, None]
        count = observations(valid, self.frames)
        return measured(settings, self.rows(jnp.arange(1))[0], around, observed, triples, usable, count, together)


def _clip(xs: AnyArray, valid: AnyArray | None, dt: Values, cuts: AnyArray | None) -> _Clip:
    frames = xs.shape[0]
    length, parts = parted(frames)
    rest = parts * length - frames

    def padded(x: AnyArray | None, mode: str = "edge") -> Any:
        return None if x is None else jnp.pad(jnp.asarray(x), (0, rest), mode=mode)

    observed = jnp.ones(frames, bool) if valid is None else jnp.asarray(valid)
    seconds = padded(choice.durations(dt))
    bridge = None if valid is None else Bridge.over(valid)
    return _Clip(xs, bridge, padded(observed, "constant"), seconds, padded(cuts, "constant"), frames, length, parts)


def _choose(settings: Settings, clip: _Clip, found: Levels, dt: Values, together: bool = False) -> Choice:
    grid = grid_of(settings)
    models = choice.candidates(grid, dt)

    def body(carry: tuple[choice.Score, Any], i: AnyArray | int) -> tuple[Any, None]:
        score, start = carry
        scaled, seen, _ = judged(settings, found, clip.around(i), clip.of(clip.observed, i)[:, None], together)
        number = i * clip.length + jnp.arange(clip.length)
        score = choice.scored(models, score, scaled, seen, clip.of(clip.seconds, i), number >= 3)
        return (score, jnp.minimum(start, jnp.where(seen.any(1), number, clip.frames).min())), None

    none = choice.at_first(models, jnp.zeros_like(found.first)), jnp.asarray(clip.frames)
    (score, start), _ = _walk(body, none, clip.parts)
    return Choice(chosen(settings, score, found.still, grid, together), jnp.where(start < clip.frames, start, 0))


def _walk(body: Callable[[Any, Any], tuple[Any, Any]], carry: Tree, parts: int, reverse: bool = False) -> Any:
    """A scan over the parts; of a single part without a loop, so that short clips compile as one."""
    if parts == 1:
        carry, y = body(carry, 0)
        return carry, jax.tree.map(lambda each: jnp.asarray(each)[None], y)
    return jax.lax.scan(body, carry, jnp.arange(parts), reverse=reverse)


def _backwards(
    filter_: HasAdjoint, first: AnyArray, part: Callable[[Any], Frames], parts: int, made: Callable[[Any, Any], Any]
) -> Any:
    """What `made` makes of every part's number and smoothed frames, one after the other."""
    start = begun(filter_, first, jax.eval_shape(lambda: part(0).seen).shape[1:])
    starts = jax.tree.map(lambda x: x[None], start)
    if parts > 1:
        starts = jax.lax.scan(lambda c, i: (ahead(filter_, c, part(i)), c), start, jnp.arange(parts))[1]

    def body(later: Tree, i: AnyArray | int) -> tuple[Any, Any]:
        later, ys = smoothed(filter_, jax.tree.map(lambda x: x[i], starts), later, part(i))
        return later, made(i, ys)

    return _walk(body, filter_.last(first), parts, reverse=True)[1]


def smooth_vector(settings: Settings, xs: AnyArray, valid: AnyArray | None, dt: Values, cuts: AnyArray | None) -> Any:
    """Smooth the channels of a clip (T, C); arguments as for `AdaptiveSmoother`."""
    clip = _clip(xs, valid, dt, cuts)
    found = clip.levels(settings, valid)
    choice_ = _choose(settings, clip, found, dt)

    def judge(i: AnyArray | int) -> tuple[Any, Any, Any]:
        return judged(settings, found, clip.around(i), clip.of(clip.observed, i)[:, None])

    def part(i: AnyArray | int) -> Frames:
        scaled, seen, _ = judge(i)
        return Frames(scaled, seen, clip.of(clip.seconds, i), clip.of(clip.cuts, i))

    def made(i: AnyArray | int, smooth: AnyArray) -> Any:
        scaled, _, sound = judge(i)
        error = residual(scaled, sound, smooth)
        return smooth, error[:REACH], error[-REACH:]

    model = model_of(choice_.cutoff, dt, xs.shape[1])
    first = (clip.rows(choice_.start[None])[0] - found.first) / found.unit
    smooth, heads, tails = _backwards(model, first, part, clip.parts, made)
    sampled, observed = clip.sampled()
    sample = smooth.reshape(-1, xs.shape[1])[: clip.frames : levels.stride(clip.frames)]
    scaled, seen, sound = judged(settings, found, sampled, observed)
    spread = level_of_events(found, residual(scaled, sound, sample), seen, 1.0)
    none = jnp.zeros_like(heads[:1])
    before, after = jnp.concatenate([none, tails[:-1]]), jnp.concatenate([heads[1:], none])

    def finish(out: AnyArray, i: AnyArray | int) -> tuple[Any, None]:
        mine = jax.lax.dynamic_index_in_dim(out, i, keepdims=False)
        scaled, _, sound = judge(i)
        error = jnp.concatenate([before[i], residual(scaled, sound, mine), after[i]])
        mine = finished(found, clip.around(i)[REACH], mine, events(settings, spread, error))
        # In the place of what it was made from.
        return jax.lax.dynamic_update_index_in_dim(out, mine, i, 0), None

    out = _walk(finish, smooth, clip.parts)[0].reshape(-1, xs.shape[1])[: clip.frames]
    return out if valid is None else held(out, *neighbours(valid, clip.frames)[2:])


def residual(scaled: AnyArray, sound: AnyArray, smooth: AnyArray) -> Any:
    """What smoothing took off each frame, (P, C); zero where a frame is not sound."""
    return jnp.where(sound, scaled - smooth, 0)


def finished(found: Levels, xs: AnyArray, smooth: AnyArray, kept: AnyArray) -> Any:
    """Smoothed frames in the channels' own unit, with their events; a channel whose noise is nothing as it came."""
    return jnp.where(found.still, xs, found.first + found.unit * (smooth + kept))


def smooth_rotations(
    settings: Settings, xs: AnyArray, valid: AnyArray | None, dt: Values, cuts: AnyArray | None
) -> Any:
    """Smooth rotation matrices (T, 3, 3); arguments as for `AdaptiveSmoother.rotations`."""
    from gagjax import so3

    frames = xs.shape[0]
    index, _, before, after = neighbours(valid, frames)
    filled = xs if valid is None else xs[index]
    # All statistics come from the tangent space at the middle of the motion; the smoothing itself does not.
    clip = _clip(tangent(filled), valid, dt, cuts)
    found = clip.levels(settings, valid, together=True)
    cutoff, start = _choose(settings, clip, found, dt, together=True)
    around = clip.strided(range(-REACH, REACH + 1), clip.parts * clip.length, 1)
    _, seen, sound = judged(settings, found, around, clip.observed[:, None], together=True)
    seen = once(seen[:, 0])
    filter_ = RotationConstantVelocity.from_cutoff(cutoff[0], found.unit[0], 1 / choice.typical(dt))
    matrices = filled
    if clip.parts * clip.length > frames:
        matrices = jnp.pad(filled, ((0, clip.parts * clip.length - frames), (0, 0), (0, 0)), mode="edge")

    def part(i: AnyArray | int) -> Frames:
        return Frames(*(clip.of(each, i) for each in (matrices, seen, clip.seconds, clip.cuts)))

    smooth = _backwards(filter_, filled[start], part, clip.parts, lambda i, ys: ys)
    smooth = smooth.reshape(-1, 3, 3)[:frames]
    error = so3.log(jnp.swapaxes(smooth, -1, -2) @ filled)
    error = jnp.where(sound[:frames], error, 0)
    step = levels.stride(frames)
    spread = level_of_events(found, error[::step], seen[:frames:step, None], found.unit)
    kept = events(settings, spread, jnp.pad(error, ((REACH, REACH), (0, 0))))
    return held(jnp.matmul(smooth, so3.exp(kept), precision="highest"), before, after)


def surprise(settings: Settings, xs: AnyArray, valid: AnyArray | None, dt: Values) -> Any:
    """See `AdaptiveSmoother.surprise`; the channels are (T, C)."""
    clip = _clip(xs, valid, dt, None)
    found = clip.levels(settings, valid)
    around = clip.strided(range(-REACH, REACH + 1), clip.frames, 1)
    scaled, seen, _ = judged(settings, found, around, clip.observed[: clip.frames, None])
    cost = choice.surprise(choice.candidates(jnp.reshape(settings.lowest, 1), dt), scaled, seen, dt)[0]
    return jnp.where(found.still, 0, cost).sum() / (2 * clip.frames * jnp.maximum(1, (~found.still).sum()))


def tangent(turns: AnyArray) -> Any:
    """Rotations as vectors about the middle of their motion, (T, 3)."""
    from gagjax import so3

    middle = so3.quaternion_from_matrix(so3.project(jnp.mean(turns, axis=0)))
    q = so3.quaternion_from_matrix(turns)
    return so3.quaternion_log(so3.quaternion_multiply(so3.quaternion_conjugate(middle), q))
