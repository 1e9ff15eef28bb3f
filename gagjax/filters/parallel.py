"""The linear filters in logarithmic depth: the sequential results, up to rounding, for parallel devices.

Filtering and smoothing are products of associative elements, which `lax.associative_scan` computes in parallel. The
covariance is computed first: it does not depend on the data and is shared by channels with the same hyperparameters.
The means and the smoother's adjoint are then affine recurrences with known coefficients.

Source: Sarkka, Garcia-Fernandez, Temporal parallelization of Bayesian smoothers, IEEE TAC 66(1), 2021.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from gagjax.filters.ema import Ema, EmaState
from gagjax.filters.kalman import Kinematic, Moments, upper
from gagjax.typing import AnyArray, Tree

# Below this many frames, launching the levels costs more than it saves.
LONG = 4096
METHODS = ("auto", "sequential", "parallel")


def choose(method: str, filter_: object, frames: int, state: Tree = None) -> str:
    """Choose the form of scan.

    "auto" is "parallel" for an Ema or a Kalman filter without robust weights, from the start of a sequence of at least
    4096 frames, where JAX's default device is a GPU or TPU; otherwise "sequential". On a CPU the sequential form is
    memory-bound and never slower.

    Args:
        method: "auto", "sequential" or "parallel".
        filter_: The filter.
        frames: Length of the sequence.
        state: Final state of an earlier call.

    Raises:
        ValueError: If the method is unknown, or "parallel" is requested of a filter that has no parallel form.
    """
    if method not in METHODS:
        raise ValueError(f"method must be one of {', '.join(METHODS)}, got {method!r}")
    able = state is None and (isinstance(filter_, Ema) or (isinstance(filter_, Kinematic) and not filter_.adaptive))
    if method == "parallel" and not able:
        raise ValueError(
            f"{type(filter_).__name__} has no parallel form here: it must be an Ema or a Kalman filter without gate, "
            "huber and dof, from the start of a sequence"
        )
    if method == "auto":
        return "parallel" if able and frames >= LONG and jax.default_backend() != "cpu" else "sequential"
    return method


@jax.jit
def scan_parallel(filter_: Any, xs: Tree, valid: AnyArray | None, dt: AnyArray | None) -> tuple[Any, Any]:
    """`scan` in logarithmic depth."""
    tree: Any
    leaves, tree = jax.tree.flatten(xs)
    ends = [_filter(filter_, x, valid, dt)[:2] for x in leaves]
    state = tree.unflatten([each for _, each in ends])
    return tree.unflatten([y for y, _ in ends]), EmaState(state) if isinstance(filter_, Ema) else state


@jax.jit
def rts_parallel(filter_: Any, xs: Tree, valid: AnyArray | None, dt: AnyArray | None) -> Any:
    """`rts` in logarithmic depth."""
    return jax.tree.map(lambda x: _smooth(filter_, x, valid, dt), xs)


def _filter(filter_: Any, x: AnyArray, valid: AnyArray | None, dt: AnyArray | None) -> tuple[Any, Any, Any]:
    x = jnp.asarray(x)
    start = 0 if valid is None else jnp.argmax(valid)
    first = x[start]
    seen = _column(jnp.ones(len(x), bool) if valid is None else jnp.asarray(valid), x.ndim)
    weight = seen.astype(x.dtype)
    filled = jnp.where(seen, x, first)
    if isinstance(filter_, Ema):
        alpha = weight * filter_.alpha
        (y,) = _affine([[1 - alpha]], [alpha * filled], [first])
        return y, y[-1], None
    origin = filter_.init(first)
    if dt is not None:
        filter_ = filter_.with_dt(_column(jnp.asarray(dt), x.ndim))
    before, covariance = _covariances(filter_, origin, weight, x.ndim)
    ahead = filter_.ahead(Moments((), before, jnp.zeros(())))
    column, inverse = filter_.gain(ahead.covariance, weight)
    n, f = filter_.order, filter_.transition()
    # z_t = (I - K H) F z_(t-1) + K x_t
    closed = [[(f[j - i] if j >= i else 0.0) - weight * column[i] * f[j] for j in range(n)] for i in range(n)]
    initial = [first, *(jnp.zeros_like(first) for _ in range(n - 1))]
    means = _affine(closed, [weight * c * filled for c in column], initial)
    earlier = [jnp.concatenate([z[None], mean[:-1]]) for z, mean in zip(initial, means, strict=True)]
    error = filled - sum(f[j] * earlier[j] for j in range(n))
    last = Moments(
        tuple(mean[-1] for mean in means),
        tuple(p[-1].reshape(q.shape) for p, q in zip(covariance, origin.covariance, strict=True)),
        origin.rejected,
    )
    return means[0], last, (filter_, column, weight, weight * inverse * error)


def _smooth(filter_: Any, x: AnyArray, valid: AnyArray | None, dt: AnyArray | None) -> Any:
    value, _, (filter_, column, weight, pull) = _filter(filter_, x, valid, dt)
    n, f = filter_.order, filter_.transition()
    # l_(t-1) = F^T ((I - K H)^T l_t - H^T u_t), from the last frame to the first.
    inner = [[float(i == j) - (weight * column[j] if i == 0 else 0.0) for j in range(n)] for i in range(n)]
    matrix = [[sum(f[j - k] * inner[k][i] for k in range(j + 1)) for i in range(n)] for j in range(n)]
    offset = [-f[j] * pull for j in range(n)]
    ones = jnp.ones(value.shape[:1] + (1,) * (value.ndim - 1), value.dtype)
    adjoint = _affine(
        [[(a * ones)[::-1] for a in row] for row in matrix],
        [(b * ones)[::-1] for b in offset],
        [jnp.zeros_like(value[0])] * n,
    )
    # Entry t of the scan is the adjoint from frame t to t - 1; a frame needs that of its successor.
    later = [jnp.concatenate([each[::-1][1:], jnp.zeros_like(each[:1])]) for each in adjoint]
    return value - filter_.noise() * sum(c * each for c, each in zip(column, later, strict=True))


def _affine(matrix: list[list[Any]], offset: list[Any], start: list[Any]) -> list[Any]:
    """The solution of `z_t = A_t z_(t-1) + b_t`, time first, A_t entry by entry and broadcastable to b_t."""
    n = len(offset)
    frames = offset[0].shape[0]
    a = [[jnp.broadcast_to(e, (frames, *jnp.shape(e)[1:])) if jnp.ndim(e) else e for e in row] for row in matrix]
    wide = jnp.broadcast_shapes(*(jnp.shape(e)[1:] for row in a for e in row))
    a = [[jnp.broadcast_to(e, (frames, *wide)) for e in row] for row in a]
    b = [
        each.at[0].add(sum(a[i][j][0] * start[j] for j in range(n)))
        for i, each in enumerate(jnp.broadcast_to(e, (frames, *start[0].shape)) for e in offset)
    ]

    def combine(one: Tree, two: Tree) -> Any:
        a1, b1 = one
        a2, b2 = two
        return (
            [[sum(a2[i][k] * a1[k][j] for k in range(n)) for j in range(n)] for i in range(n)],
            [sum((a2[i][k] * b1[k] for k in range(n)), b2[i]) for i in range(n)],
        )

    return jax.lax.associative_scan(combine, (a, b))[1]


def _covariances(filter_: Kinematic, state: Moments, weight: AnyArray, ndim: int) -> tuple[Any, Any]:
    """The state's covariance before and after every frame, entry by entry, time first."""
    n, f, r = filter_.order, filter_.transition(), filter_.noise()
    shape = jnp.broadcast_shapes(
        jnp.shape(weight), jnp.shape(r), jnp.shape(filter_.process_noise), jnp.shape(filter_.dt)
    )
    shape = (weight.shape[0], *shape[1:]) if len(shape) == ndim else (weight.shape[0], *(1,) * (ndim - 1))

    def full(value: AnyArray | float) -> Any:
        return jnp.broadcast_to(value, shape)

    def square(entries: Tree) -> Any:
        return jnp.stack([jnp.stack([full(e) for e in row], -1) for row in entries], -2)

    transition = square([[f[j - i] if j >= i else 0.0 for j in range(n)] for i in range(n)])
    disturbance = square([[filter_.disturbance(min(i, j), max(i, j)) for j in range(n)] for i in range(n)])
    variance = full(weight) * disturbance[..., 0, 0] + r
    gain = full(weight)[..., None] * disturbance[..., :, 0] / variance[..., None]
    shrink = jnp.eye(n) - gain[..., :, None] * jnp.eye(n)[0]
    row = transition[..., 0, :]
    elements = (
        _times(shrink, transition),
        _times(shrink, disturbance),
        (full(weight) / variance)[..., None, None] * row[..., :, None] * row[..., None, :],
    )
    known = dict(zip(upper(n), state.covariance, strict=True))
    before = jnp.stack(
        [jnp.stack([jnp.broadcast_to(known[min(i, j), max(i, j)], shape[1:]) for j in range(n)], -1) for i in range(n)],
        -2,
    )
    initial = (jnp.zeros_like(before), before, jnp.zeros_like(before))
    elements = jax.tree.map(lambda a, b: jnp.concatenate([a[None], b]), initial, elements)
    posterior = jax.lax.associative_scan(_combine, elements)[1]
    entries = [posterior[..., i, j] for i, j in upper(n)]
    return tuple(e[:-1] for e in entries), tuple(e[1:] for e in entries)


def _combine(one: Tree, two: Tree) -> Any:
    """Compose two filtering elements: first `one`, then `two`."""
    a1, c1, j1 = one
    a2, c2, j2 = two
    eye = jnp.eye(a1.shape[-1], dtype=a1.dtype)
    through = _times(a2, _inverse(eye + _times(c1, j2)))
    back = _times(_turned(a1), _inverse(eye + _times(j2, c1)))
    return (
        _times(through, a1),
        _times(_times(through, c1), _turned(a2)) + c2,
        _times(_times(back, j2), a1) + j1,
    )


def _times(a: Tree, b: Tree) -> Any:
    return jnp.matmul(a, b, precision="highest")


def _turned(a: Tree) -> Any:
    return jnp.swapaxes(a, -1, -2)


def _inverse(m: Tree) -> Any:
    if m.shape[-1] == 1:
        return 1 / m
    if m.shape[-1] == 2:
        a, b, c, d = m[..., 0, 0], m[..., 0, 1], m[..., 1, 0], m[..., 1, 1]
        adjugate = jnp.stack([jnp.stack([d, -b], -1), jnp.stack([-c, a], -1)], -2)
        return adjugate / (a * d - b * c)[..., None, None]
    return jnp.linalg.inv(m)


def _column(value: AnyArray, ndim: int) -> Any:
    return value.reshape(value.shape[0], *(1,) * (ndim - 1))
