"""The `lax.scan` that runs every filter; filters in series; missing frames.

A filter (`gagjax.protocols.Filter`) is a pytree whose leaves are its hyperparameters. Its state is explicit. Three pure
methods:

* `init(first) -> state`: the state before the first frame, such that stepping over `first` returns `first`;
* `step(state, x) -> (state, y)`: one observed frame;
* `predict(state) -> (state, y)`: one frame without an observation.

Optionally `with_dt(dt) -> filter` (`TimeStepped`): the same filter for a frame that lasts `dt` seconds.

Frames `x` and outputs `y` are pytrees of one structure, without the time axis.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float

from gagjax.errors import InputError
from gagjax.protocols import Filter, TimeStepped
from gagjax.pytree import check_pytree, is_concrete, pytree
from gagjax.typing import AnyArray, Mask, Scalar, Tree, Values

State = TypeVar("State")
Frame = Any


def scan(
    filter_: Filter[State],
    xs: Frame,
    state: State | None = None,
    valid: Bool[AnyArray, "T"] | None = None,
    dt: Float[AnyArray, "T"] | None = None,
    *,
    unroll: int = 1,
    method: str = "auto",
) -> tuple[Frame, State]:
    """Run a filter over a whole sequence as one compiled program.

    Args:
        filter_: The filter; a pytree, so changing a hyperparameter does not recompile.
        xs: A pytree of arrays, time first, (T, ...).
        state: Final state of an earlier call; None starts at the first valid frame.
        valid: (T,) bool; where False the value is never read (it may be NaN) and the filter only predicts. Frames
            before the first valid one return the filter's prediction from that first value.
        dt: (T,) seconds since the previous frame, for irregular time stamps; needs a filter with `with_dt`.
        unroll: Passed to `lax.scan`; more than 1 pays on GPUs only.
        method: "sequential", "parallel" (in logarithmic depth, equal up to rounding; linear filters only) or "auto":
            parallel on GPUs and TPUs for linear filters over 4096 frames and more, else sequential.

    Returns:
        The outputs, shaped like `xs`, and the state after the last frame.

    Raises:
        InputError: If the filter is no pytree, or lacks a method of one.
        ValueError: If there is no frame, none is valid and there is no state, the lengths differ, `dt` is given to a filter without `with_dt`, or the filter
            has no parallel form and one is asked for.

    Example:
        >>> import numpy as np
        >>> from gagjax.filters import Ema
        >>> ys, _ = scan(Ema(alpha=0.5), np.array([[0.0], [1.0], [1.0]], np.float32))
        >>> ys[:, 0].tolist()
        [0.0, 0.5, 0.75]
    """
    _check_filter(filter_, gaps=valid is not None)
    lengths = {np.shape(leaf)[0] if np.ndim(leaf) else None for leaf in jax.tree.leaves(xs)}
    if len(lengths) != 1 or None in lengths:
        raise ValueError(f"every array must be time first and of one length, got lengths {sorted(map(str, lengths))}")
    frames = jax.tree.leaves(xs)[0].shape[0]
    if frames == 0:
        raise ValueError("a sequence needs at least one frame")
    check_lengths(frames, valid=valid, dt=dt)
    if state is None:
        check_observed(valid)
    if dt is not None and not isinstance(filter_, TimeStepped):
        raise ValueError(f"{type(filter_).__name__} has no with_dt, so it cannot take a duration per frame")
    if method != "sequential":
        # Imported late to avoid a cycle: the parallel forms import the filters, which import this module.
        from gagjax.filters.parallel import choose, scan_parallel

        if choose(method, filter_, frames, state) == "parallel":
            return scan_parallel(filter_, xs, valid, dt)
    turns = None if unroll > 1 else _turns(frames, filter_, xs, state, valid, dt)
    return _call(_scan, filter_, xs, state, valid, dt, unroll, turns)


def _check_filter(filter_: object, gaps: bool) -> None:
    check_pytree(filter_, "filter")
    lacking = [
        name for name in ("init", "step", *(["predict"] if gaps else [])) if not callable(getattr(filter_, name, None))
    ]
    if lacking:
        raise InputError(
            f"{type(filter_).__name__} has no {' and no '.join(lacking)}",
            field="filter",
            fix="A filter has init(first), step(state, x) and predict(state): see gagjax.protocols.Filter",
        )


def check_lengths(frames: int, **per_frame: Values | Mask | None) -> None:
    """Refuse per-frame arrays of the wrong length; JAX would silently repeat the last value.

    Args:
        frames: Frames of the sequence.
        **per_frame: Arrays by name, each (T,) or None.

    Raises:
        InputError: If a shape differs.

    Example:
        >>> check_lengths(3, valid=np.ones(3, bool), dt=None)
    """
    for name, value in per_frame.items():
        if value is not None and np.shape(value) != (frames,):
            raise InputError(f"{name} has shape {np.shape(value)}, expected ({frames},)")


def check_observed(valid: AnyArray | None) -> None:
    """Refuse a sequence without a valid frame: its result would come from values that were never observed.

    Args:
        valid: (T,) or with further axes, or None; tracers are not checked.

    Raises:
        InputError: If no frame is valid.
    """
    if valid is not None and is_concrete(valid) and not np.asarray(valid).any():
        raise InputError("has no valid frame", field="valid", fix="A sequence needs one frame at least to start from")


def _turns(frames: int, *values: Any) -> Any:
    """The trip count of the loop over frames, hidden from XLA; None where `lax.scan` is used.

    `lax.scan` is used inside a larger program, which may be differentiated, and on accelerators, where a loop of
    dynamic length waits for the host every iteration. There a chunk may differ from the whole in the last digit.
    """
    traced = any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(values))
    return None if traced or (frames > 1 and jax.default_backend() != "cpu") else np.int32(frames)


def _call(program: Any, filter_: Any, xs: Frame, state: Any, valid: Any, dt: Any, unroll: int, turns: Any) -> Any:
    """Run a compiled `_scan_impl`; a single frame uses the program for two, with a loop of one iteration.

    XLA inlines a loop over one frame into the surrounding code, which rounds differently. Doubling the frame inside the
    program is not enough, since XLA fuses that into the loop as well.
    """
    if turns != 1:
        return program(filter_, xs, state, valid, dt, unroll, turns)
    twice = jax.tree.map(lambda x: (np if isinstance(x, np.ndarray) else jnp).concatenate([x, x]), (xs, valid, dt))
    ys, state = program(filter_, twice[0], state, *twice[1:], unroll, turns)
    return jax.tree.map(lambda y: y[:1], ys), state


def _scan_impl(
    filter_: Any, xs: Frame, state: Tree, valid: AnyArray | None, dt: AnyArray | None, unroll: int, turns: Tree = None
) -> tuple[Frame, Any]:
    if state is None:
        start = 0 if valid is None else jnp.argmax(valid)
        state = filter_.init(jax.tree.map(lambda x: x[start], xs))

    def body(carry: Tree, frame: Tree) -> tuple[Any, Frame]:
        x, seen, seconds = frame
        now = filter_.with_dt(seconds) if isinstance(filter_, TimeStepped) and seconds is not None else filter_
        if seen is None:
            return now.step(carry, x)
        coasted = now.predict(carry)
        # The value of a missing frame may be NaN, and NaN times zero is NaN in the gradient: it is replaced by the
        # prediction before the step, not only deselected after it.
        x = jax.tree.map(lambda value, guess: jnp.where(seen, value, guess), x, coasted[1])
        return jax.tree.map(lambda a, b: jnp.where(seen, a, b), now.step(carry, x), coasted)

    frames = (xs, valid, dt)
    length = jax.tree.leaves(xs)[0].shape[0]
    if turns is None and length > 1:
        state, ys = jax.lax.scan(body, state, frames, unroll=unroll)
        return ys, state
    if turns is None:
        # One frame inside a larger program: a second iteration, discarded, keeps XLA from inlining the loop.
        def once(carry: Any, frame: Any) -> tuple[Any, Frame]:
            after, y = body(carry, frame[1])
            return jax.tree.map(lambda a, b: jnp.where(frame[0], a, b), after, carry), y

        twice = jax.tree.map(lambda x: jnp.concatenate([x, x]), frames)
        state, ys = jax.lax.scan(once, state, (jnp.arange(2) < 1, twice))
        return jax.tree.map(lambda y: y[:1], ys), state

    # `lax.scan` tells XLA the trip count, so that short chunks are fused, and rounded, differently from long ones. This
    # loop is the same for every length.
    def at(place: Any) -> Any:
        return jax.tree.map(lambda x: jax.lax.dynamic_index_in_dim(x, place, keepdims=False), frames)

    def turn(carry: Tree) -> Any:
        place, state, ys = carry
        state, y = body(state, at(place))
        ys = jax.tree.map(lambda all_, one: jax.lax.dynamic_update_index_in_dim(all_, one, place, 0), ys, y)
        return place + 1, state, ys

    blank = jax.tree.map(lambda y: jnp.zeros((length, *y.shape), y.dtype), jax.eval_shape(body, state, at(0))[1])
    _, state, ys = jax.lax.while_loop(lambda carry: carry[0] < turns, turn, (jnp.int32(0), state, blank))
    return ys, state


_scan = jax.jit(_scan_impl, static_argnums=5)
_scan_donated = jax.jit(_scan_impl, static_argnums=5, donate_argnums=2)


@jax.jit
def _init_at(filter_: Filter[Any], xs: Frame, start: AnyArray | int) -> Any:
    return filter_.init(jax.tree.map(lambda x: x[start], xs))


def _advance(filter_: Any, xs: Frame, state: Any, valid: Any) -> tuple[Frame, Any]:
    turns = _turns(jax.tree.leaves(xs)[0].shape[0], filter_, xs, state, valid)
    return _call(_scan_donated, filter_, xs, state, valid, None, 1, turns)


def stream(filter_: Filter[State], chunks: Iterable[Any], state: State | None = None) -> Iterator[tuple[Frame, State]]:
    """Run a filter over chunks of a sequence, carrying the state from one to the next.

    On a CPU any chunking gives bitwise the result of one `scan`; on accelerators, and inside another compiled program,
    it may differ in the last digit. The state buffers are donated from chunk to chunk: use the last state, or keep a
    copy of an earlier one (`jax.tree.map(jnp.copy, state)`).

    Args:
        filter_: The filter.
        chunks: Chunks `xs`, or pairs `(xs, valid)`, each time first. Chunks without a valid frame before the first
            valid frame of the stream are held back until then.
        state: Final state of an earlier stream.

    Yields:
        The outputs of each chunk and the state after it.

    Raises:
        ValueError: If the stream ends before its first valid frame.
    """
    held: list[tuple[Frame, Any]] = []
    for chunk in chunks:
        xs, valid = chunk if type(chunk) is tuple and len(chunk) == 2 else (chunk, None)
        check_lengths(jax.tree.leaves(xs)[0].shape[0], valid=valid)
        if state is None:
            if valid is not None and not np.asarray(valid).any():
                held.append((xs, valid))
                continue
            start = 0 if valid is None else int(np.argmax(valid))
            state = _init_at(filter_, xs, start)
            for early in held:
                ys, state = _advance(filter_, early[0], state, early[1])
                yield ys, state
        ys, state = _advance(filter_, xs, state, valid)
        yield ys, state
    if held and state is None:
        raise ValueError("the stream ended before its first valid frame")


@pytree
class Chain:
    """Filters in series as one filter: the output of each is the observation of the next.

    Args:
        filters: In execution order; constructed by `chain`.
    """

    filters: tuple[Any, ...]

    def init(self, first: Frame) -> tuple[Any, ...]:
        """The state before the first frame, see `gagjax.protocols`."""
        states = []
        for each in self.filters:
            state = each.init(first)
            states.append(state)
            first = each.step(state, first)[1]
        return tuple(states)

    def step(self, state: tuple[Any, ...], x: Frame) -> tuple[tuple[Any, ...], Frame]:
        """One observed frame, see `gagjax.protocols.Filter`."""
        return self._run(lambda each, s, value: each.step(s, value), state, x)

    def predict(self, state: tuple[Any, ...]) -> tuple[tuple[Any, ...], Frame]:
        """One frame without an observation, see `gagjax.protocols.Filter`."""
        # Only the first filter misses its observation; the later ones observe its prediction.
        first, y = self.filters[0].predict(state[0])
        rest, y = Chain(self.filters[1:])._run(lambda each, s, value: each.step(s, value), state[1:], y)
        return (first, *rest), y

    def with_dt(self, dt: Scalar) -> Chain:
        """The filter for frames that last `dt` seconds."""
        return Chain(tuple(each.with_dt(dt) if isinstance(each, TimeStepped) else each for each in self.filters))

    def _run(self, call: Callable[..., tuple[Any, Frame]], state: tuple[Any, ...], x: Frame) -> tuple[Any, Frame]:
        states = []
        for each, own in zip(self.filters, state, strict=True):
            own, x = call(each, own, x)
            states.append(own)
        return tuple(states), x


def chain(*filters: Filter[Any]) -> Chain:
    """A filter that runs the given ones in series.

    Raises:
        ValueError: If none is given.
    """
    if not filters:
        raise ValueError("chain needs at least one filter")
    return Chain(tuple(filters))


def hold_last(xs: Tree, valid: Bool[AnyArray, "T"] | None) -> Any:
    """Fill missing frames for whole-clip stages: with the last valid frame before each, or else the first valid one.

    Args:
        xs: A pytree of arrays, time first.
        valid: (T,) frames to trust; None, or no valid frame, leaves everything unchanged.

    Raises:
        InputError: If `valid` has another length.

    Example:
        >>> import numpy as np
        >>> hold_last(np.array([np.nan, 1.0, np.nan, 3.0]), np.array([False, True, False, True])).tolist()
        [1.0, 1.0, 1.0, 3.0]
    """
    if valid is None:
        return xs
    check_lengths(jax.tree.leaves(xs)[0].shape[0], valid=valid)
    valid = jnp.asarray(valid)
    numbers = jnp.arange(valid.shape[0])
    last = jax.lax.cummax(jnp.where(valid, numbers, jnp.argmax(valid)))
    source = jnp.where(valid.any(), last, numbers)
    return jax.tree.map(lambda x: jnp.asarray(x)[source], xs)
