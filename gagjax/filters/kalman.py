"""Kalman filters per channel: random walk, constant velocity and constant acceleration, with robust updates.

Each channel has its own state, a value and its derivatives, driven by white noise in the highest one:

    z_t = F z_(t-1) + noise(Q),    x_t = z_t[0] + noise(r).

All matrices are written out entry by entry: a channel's state has one to three entries, and elementwise code over all
channels is many times faster than a small matrix product per channel. Without a robust update the gain does not depend
on the data, so channels that share their hyperparameters share one covariance.
"""

from __future__ import annotations

import dataclasses
import math
from fractions import Fraction
from typing import Any, ClassVar, NamedTuple, TypeVar

import jax
import jax.numpy as jnp

from gagjax.filters import robust
from gagjax.pytree import fact, pytree, static
from gagjax.typing import AnyArray, FrameRate, Hyperparameter, Mask, Scalar, Tree, Values

# Variance of a diffuse prior in units of the measurement noise: large enough to be forgotten after one frame, small
# enough for float32.
DIFFUSE = 1e4
# Below this part of its diffuse prior a derivative counts as known.
KNOWN = 0.01

This = TypeVar("This", bound="Kinematic")


class Moments(NamedTuple):
    """The state of one array of channels.

    Attributes:
        mean: The value and its derivatives, each shaped like the frame.
        covariance: The upper triangle of the state's covariance, row by row; each entry shaped like the frame, or like
            the hyperparameters where the gain does not depend on the data.
        rejected: Consecutive frames that the gate refused, shaped like the covariance.
    """

    mean: tuple[Any, ...]
    covariance: tuple[Any, ...]
    rejected: Any


class UpdateInfo(NamedTuple):
    """The record of an update for the backward pass.

    Attributes:
        value: The filtered value.
        pull: The weighted innovation over its variance, `w e / s`.
        column: First column of the predicted covariance over the innovation's variance, one entry per derivative.
        weight: Weight of the observation, 0 where missing or refused.
        restart: Where the state was reinitialised, or None for filters that never do.
    """

    value: Any
    pull: Any
    column: tuple[Any, ...]
    weight: Any
    restart: Any


class Bridge(NamedTuple):
    """What a backward pass knows of a frame from the later ones.

    Attributes:
        state: The smoothed value and its derivatives as the next frame implies them, each shaped like the frame.
        end: Where no later frame is connected with this one, shaped like the frame.
    """

    state: tuple[Any, ...]
    end: Any


@pytree
class Noises:
    """The two noises of a Kalman filter.

    Args:
        process_noise: Variance that the highest derivative gains per unit of time; a scalar, or one per channel.
        measurement_noise: Variance of an observation; a scalar, or one per channel.
    """

    process_noise: Hyperparameter
    measurement_noise: Hyperparameter


@pytree
class FirstVariance(Noises):
    """Noises and the initial variance.

    Args:
        initial_variance: Variance of the first value; None means a diffuse prior.
    """

    initial_variance: Hyperparameter | None = None


@pytree
class Robustness:
    """Frame duration and outlier handling.

    Args:
        dt: Duration of a frame, in the unit of time of the process noise.
        gate: Refuse an observation off by more than this many standard deviations; None accepts all.
        huber: Weight observations by Huber's function beyond this many standard deviations.
        dof: Weight observations as if their noise were Student-t with these degrees of freedom.
        patience: Consecutive refused frames after which the state is reinitialised.
    """

    dt: Hyperparameter = fact(default=1.0)
    gate: Hyperparameter | None = None
    huber: Hyperparameter | None = None
    dof: Hyperparameter | None = None
    patience: int = static(default=3)


@pytree
class Kinematic(Robustness, Noises):
    """Base of the Kalman filters; `order` is the length of a channel's state."""

    order: ClassVar[int]

    def __post_init__(self) -> None:
        robust.check_noise(self)

    @property
    def adaptive(self) -> bool:
        """Whether the gain depends on the data."""
        return not (self.gate is None and self.huber is None and self.dof is None)

    def with_dt(self: This, dt: Scalar) -> This:
        """The filter for frames that last `dt`."""
        return dataclasses.replace(self, dt=dt)

    def init(self, first: Tree) -> Any:
        """Diffuse prior at the first observation."""
        return jax.tree.map(self._fresh, first)

    def step(self, state: Tree, x: Tree) -> tuple[Any, Any]:
        """Predict, then correct by an observed frame."""
        state, info = self.observe(state, x)
        return state, jax.tree.map(lambda _, each: each.value, x, info)

    def predict(self, state: Tree) -> tuple[Any, Any]:
        """Predict a missing frame."""
        ahead = jax.tree.map(self.ahead, state, is_leaf=_is_moments)
        return ahead, jax.tree.map(lambda each: each.mean[0], ahead, is_leaf=_is_moments)

    def observe(self, state: Tree, x: Tree, seen: Mask | None = None) -> tuple[Any, Any]:
        """One frame, with the info for the backward pass.

        Args:
            state: The state after the previous frame.
            x: The frame.
            seen: Whether the frame was observed; None means yes.

        Returns:
            The state, and an `UpdateInfo` for every array of the frame.
        """
        tree: Any
        leaves, tree = jax.tree.flatten(x)
        pairs = [self._observe(s, leaf, seen) for s, leaf in zip(tree.flatten_up_to(state), leaves, strict=True)]
        return tree.unflatten([s for s, _ in pairs]), tree.unflatten([i for _, i in pairs])

    def adjoint(self, later: tuple[Any, ...], info: UpdateInfo) -> tuple[Any, tuple[Any, ...]]:
        """One step of the backward pass: the smoothed frame, and the adjoint for the previous frame.

        The modified Bryson-Frazier form of the Rauch-Tung-Striebel smoother: it carries the adjoint of the state
        instead of the smoothed state, and so neither inverts nor stores a covariance.

        Args:
            later: The adjoint from the next frame; zeros at the end, see `last`.
            info: The info of this frame from `observe`.

        Source: Bierman, Fixed interval smoothing with discrete measurements, 1973.
        """
        tree: Any
        infos, tree = jax.tree.flatten(info, is_leaf=_is_info)
        pairs = [self._adjoint(each, i) for each, i in zip(tree.flatten_up_to(later), infos, strict=True)]
        return tree.unflatten([y for y, _ in pairs]), tree.unflatten([e for _, e in pairs])

    def factors(self, frame: Tree) -> Any:
        """See `gagjax.protocols.Bridges`."""
        return jax.tree.map(lambda x: self._fresh(x).covariance, frame)

    def advanced(self, factors: Tree, state: Tree, info: Tree) -> tuple[Any, Any]:
        """See `gagjax.protocols.Bridges`."""
        tree: Any
        infos, tree = jax.tree.flatten(info, is_leaf=_is_info)
        parts = zip(tree.flatten_up_to(factors), tree.flatten_up_to(state), infos, strict=True)
        pairs = [self._advanced(*each) for each in parts]
        return tree.unflatten([f for f, _ in pairs]), tree.unflatten([s for _, s in pairs])

    def bridge(self, y: Tree, later: Tree, info: Tree, state: Tree, factors: Tree, ahead: Tree) -> tuple[Any, Any]:
        """See `gagjax.protocols.Bridges`."""
        if self.order == 1:  # one number, whose spread a gap does not make worse
            return y, ahead
        tree: Any
        infos, tree = jax.tree.flatten(info, is_leaf=_is_info)
        parts = [tree.flatten_up_to(each) for each in (y, later, state, factors, ahead)]
        pairs = [self._bridge(y, adjoint, s, f, z, i) for y, adjoint, s, f, z, i in zip(*parts, infos, strict=True)]
        return tree.unflatten([y for y, _ in pairs]), tree.unflatten([z for _, z in pairs])

    def unbridged(self, frame: Tree) -> Any:
        """See `gagjax.protocols.Bridges`."""
        return jax.tree.map(
            lambda x: Bridge((jnp.zeros_like(x),) * self.order, jnp.ones(jnp.shape(x), bool)),
            frame,
        )

    def lean(self, info: Tree) -> Any:
        """The info without what `restored` can recompute: long smoothing passes are memory-bound."""
        return jax.tree.map(lambda each: each._replace(pull=None), info, is_leaf=_is_info)

    def restored(self, info: Tree, x: Tree) -> Any:
        """The full `UpdateInfo` of an observed frame from the lean one and the frame: `w e / s = w (x - value) / r`."""
        r = self.noise()
        scale = jnp.where(r > 0, 1 / jnp.where(r > 0, r, 1), 0)

        def one(each: UpdateInfo, value: AnyArray) -> UpdateInfo:
            left = jnp.where(each.weight > 0, value - each.value, 0)
            return each._replace(pull=(each.weight * scale) * left)

        return jax.tree.map(one, info, x, is_leaf=_is_info)

    def last(self, frame: Tree) -> Any:
        """The adjoint after the last frame: zeros."""
        return jax.tree.map(lambda x: (jnp.zeros_like(x),) * self.order, frame)

    def transition(self) -> list[Any]:
        """The first row of F: 1, dt, dt^2 / 2."""
        return [self.dt**k / math.factorial(k) for k in range(self.order)]

    def initial_covariance(self) -> list[Any]:
        """Variances of the state before its first frame, value first."""
        r, q = self.noise(), jnp.asarray(self.process_noise)
        return [
            DIFFUSE * (r / self.dt ** (2 * k) + q * self.dt ** (2 * (self.order - k) - 1)) for k in range(self.order)
        ]

    def noise(self) -> Any:
        """The measurement noise, kept above zero."""
        # Kept above zero where the process noise is: frames without an observation divide by it.
        return jnp.maximum(self.measurement_noise, 1e-6 * self.process_noise * self.dt ** (2 * self.order - 1))

    def gain(self, covariance: tuple[Any, ...], weight: Values) -> tuple[tuple[Any, ...], Any]:
        """First column of a predicted covariance over the innovation's variance, and one over that variance."""
        variance = weight * covariance[0] + self.noise()
        # Zero noise and zero variance: 0 / 0, where any gain is correct.
        inverse = jnp.where(variance > 0, 1 / jnp.where(variance > 0, variance, 1), 0)
        return tuple(covariance[j] * inverse for j in range(self.order)), inverse

    def shrunk(self, covariance: tuple[Any, ...], column: tuple[Any, ...], weight: Values) -> tuple[Any, ...]:
        """A predicted covariance after the update."""
        p, r = dict(zip(upper(self.order), covariance, strict=True)), self.noise()
        # The first row as a product, not a difference: no cancellation where the gain is close to one.
        return tuple(r * column[j] if i == 0 else p[i, j] - weight * column[i] * p[0, j] for i, j in upper(self.order))

    def _fresh(self, x: AnyArray) -> Moments:
        x = jnp.asarray(x)
        n = self.order
        diagonal = [jnp.asarray(each, x.dtype) for each in self.initial_covariance()]
        shape = jnp.broadcast_shapes(
            *(jnp.shape(v) for v in (*diagonal, self.process_noise, self.measurement_noise, self.dt)),
            x.shape if self.adaptive else (),
        )
        zero = jnp.zeros(shape, x.dtype)
        covariance = tuple(diagonal[i] + zero if i == j else zero for i, j in upper(n))
        return Moments((x, *(jnp.zeros_like(x) for _ in range(n - 1))), covariance, jnp.zeros(shape, jnp.int32))

    def ahead(self, s: Moments) -> Moments:
        """The state predicted one frame ahead."""
        n, f = self.order, self.transition()
        mean = tuple(sum((f[j - i] * s.mean[j] for j in range(i + 1, n)), s.mean[i]) for i in range(len(s.mean)))
        p = dict(zip(upper(n), s.covariance, strict=True))
        moved = {
            (i, j): sum((f[k - i] * p[min(k, j), max(k, j)] for k in range(i + 1, n)), p[min(i, j), max(i, j)])
            for i in range(n)
            for j in range(n)
        }
        covariance = tuple(
            sum((f[k - j] * moved[i, k] for k in range(j + 1, n)), moved[i, j]) + self.disturbance(i, j)
            for i, j in upper(n)
        )
        return Moments(mean, covariance, s.rejected)

    def disturbance(self, i: int, j: int) -> Any:
        """Entry (i, j) of Q, i <= j."""
        power = 2 * self.order - 1 - i - j
        scale = power * math.factorial(self.order - 1 - i) * math.factorial(self.order - 1 - j)
        return self.process_noise * self.dt**power / scale

    def _observe(self, s: Moments, x: AnyArray, seen: Mask | None) -> tuple[Moments, UpdateInfo]:
        x = jnp.asarray(x)
        ahead = self.ahead(s)
        mean, covariance, rejected = ahead
        r = self.noise()
        error = x - mean[0] if seen is None else jnp.where(seen, x - mean[0], 0)
        weight: Any = 1.0 if seen is None else jnp.asarray(seen, x.dtype)
        restart = None
        if self.adaptive:
            trust, refused = robust.weight(error, covariance[0] + r, self.gate, self.huber, self.dof)
            weight = weight * trust
            if self.gate is not None:
                observed = True if seen is None else seen
                rejected = jnp.where(observed, jnp.where(refused, rejected + 1, 0), rejected)
                # This many consecutive refusals are not outliers: the motion itself has changed.
                restart = rejected >= self.patience
                fresh = self._fresh(jnp.where(restart, x, mean[0]))
                mean, covariance, rejected = jax.tree.map(
                    lambda a, b: jnp.where(restart, a, b), fresh, ahead._replace(rejected=rejected)
                )
                error, weight = jnp.where(restart, 0, error), jnp.where(restart, 1, weight)
        column, inverse = self.gain(covariance, weight)
        mean = tuple(m + (weight * c) * error for m, c in zip(mean, column, strict=True))
        covariance = self.shrunk(covariance, column, weight)
        info = UpdateInfo(mean[0], (weight * inverse) * error, column, weight + jnp.zeros_like(column[0]), restart)
        return Moments(mean, covariance, rejected), info

    def _advanced(self, factors: tuple[Any, ...], s: Moments, info: UpdateInfo) -> tuple[Any, Moments]:
        fresh = tuple(jnp.asarray(each, info.value.dtype) for each in self._fresh(info.value).covariance)
        factors = advanced(factors, fresh, self.transition(), self.process_noise, self.dt, self.noise(), info)
        rows = entries(factors)
        return factors, s._replace(covariance=tuple(rows[i][j] for i, j in upper(self.order)))

    def _bridge(
        self, y: Tree, later: Tree, s: Moments, factors: tuple[Any, ...], ahead: Bridge, info: UpdateInfo
    ) -> tuple[Any, Bridge]:
        n, p, q = self.order, entries(factors), self.disturbance
        unknown = sum(p[k][k] > KNOWN * initial for k, initial in enumerate(self.initial_covariance()) if k) > 0
        missing = info.weight == 0
        # In the first frames of any other gap the covariance is still small, and its product with the adjoint precise.
        hung = (unknown | (missing & (p[0][0] > 100 * self.noise()))) & ~ahead.end
        own = [m - sum(p[i][j] * later[j] for j in range(n)) if i else y for i, m in enumerate(s.mean)]
        state = [jnp.where(hung, a, b) for a, b in zip(ahead.state, own, strict=True)]
        y = jnp.where(hung & missing, state[0], y)
        drag = sum(c * each for c, each in zip(info.column, later, strict=True))
        inner = (later[0] - (info.pull + info.weight * drag), *later[1:])
        # From x_t = F x_(t-1) - Q l_t: undo the disturbance, then go back along the motion.
        state = [z + sum(q(min(i, j), max(i, j)) * inner[j] for j in range(n)) for i, z in enumerate(state)]
        back = [(-1) ** k * each for k, each in enumerate(self.transition())]
        earlier = tuple(sum((back[j - i] * state[j] for j in range(i + 1, n)), state[i]) for i in range(n))
        end = jnp.zeros_like(ahead.end)
        return y, Bridge(earlier, end if info.restart is None else end | info.restart)

    def _adjoint(self, later: tuple[Any, ...], info: UpdateInfo) -> tuple[Any, tuple[Any, ...]]:
        drag = sum(c * each for c, each in zip(info.column, later, strict=True))
        value = info.value - self.noise() * drag
        inner = (later[0] - (info.pull + info.weight * drag), *later[1:])
        f = self.transition()
        earlier = tuple(sum((f[j - i] * inner[i] for i in range(j)), inner[j]) for j in range(self.order))
        if info.restart is not None:
            earlier = tuple(jnp.where(info.restart, 0, each) for each in earlier)
        return value, earlier


def noise_for_cutoff(cutoff: Values, noise: Values, fps: FrameRate | AnyArray) -> tuple[Any, Any, Any]:
    """Process noise, measurement noise and dt of a constant-velocity model whose smoother has the given cutoff."""
    rate = jnp.asarray(float(fps) if isinstance(fps, Fraction) else fps, float)
    r = jnp.asarray(noise, float) ** 2
    return (2 * jnp.pi * jnp.asarray(cutoff, float)) ** 4 * r / rate, r, 1 / rate


def advanced(
    factors: tuple[Any, ...],
    fresh: tuple[Any, ...],
    transition: list[Any],
    process_noise: Values,
    dt: Values,
    noise: Values,
    info: Tree,
) -> tuple[Any, ...]:
    """The factors L D L' of a state's covariance after a frame, without a difference of large numbers.

    An observation of the value changes the first entry of D alone; a step in time is a weighted Gram-Schmidt.

    Args:
        factors: D on the diagonal and L' above it, row by row, before the frame.
        fresh: The same of the prior.
        transition: The first row of F.
        process_noise: Spectral density of the highest derivative's noise.
        dt: Duration of the frame.
        noise: Variance of an observation.
        info: The record of the update, with its `weight` and `restart`.

    Source: Thornton, Bierman, Gram-Schmidt algorithms for covariance propagation, 1975.
    """
    n, own = len(transition), dict(zip(upper(len(transition)), factors, strict=True))
    zero = jnp.zeros_like(factors[0])
    one = zero + 1
    lower = [[own[j, i] if j < i else one if i == j else zero for j in range(n)] for i in range(n)]
    moved = [[sum(transition[k - i] * lower[k][j] for k in range(i, n)) for j in range(n)] for i in range(n)]
    rows, weights = moved, [own[i, i] for i in range(n)]
    for i, (row, scale) in enumerate(_disturbances(n)):
        weights.append(zero + process_noise * dt ** (2 * (n - i) - 1) * scale)
        rows = [[*old, zero + c * dt ** (i - k)] for k, (old, c) in enumerate(zip(rows, row, strict=True))]
    found = {}
    for i in range(n):
        size = sum(w * x**2 for w, x in zip(weights, rows[i], strict=True))
        found[i, i] = size
        for j in range(i + 1, n):
            across = sum(w * x * y for w, x, y in zip(weights, rows[i], rows[j], strict=True))
            share = jnp.where(size > 0, across / jnp.where(size > 0, size, 1), 0)
            found[i, j] = share
            rows[j] = [y - share * x for x, y in zip(rows[i], rows[j], strict=True)]
    entries = [found[at] for at in upper(n)]
    if info.restart is not None:
        entries = [jnp.where(info.restart, a, b) for a, b in zip(fresh, entries, strict=True)]
    total = info.weight * entries[0] + noise
    entries[0] = entries[0] * jnp.where(total > 0, noise / jnp.where(total > 0, total, 1), 0)
    return tuple(entries)


def entries(factors: tuple[Any, ...]) -> list[list[Any]]:
    """The covariance L D L', as rows, from what `advanced` gives."""
    n = {1: 1, 3: 2, 6: 3}[len(factors)]
    own = dict(zip(upper(n), factors, strict=True))

    def lower(i: int, j: int) -> Any:
        return own[j, i] if j < i else 1.0

    return [
        [sum(lower(i, k) * own[k, k] * lower(j, k) for k in range(min(i, j) + 1)) for j in range(n)] for i in range(n)
    ]


def _disturbances(n: int) -> list[tuple[list[float], float]]:
    """The columns of L and the entries of D of Q = L D L', for one unit of time and noise."""
    q = [
        [1 / ((2 * n - 1 - i - j) * math.factorial(n - 1 - i) * math.factorial(n - 1 - j)) for j in range(n)]
        for i in range(n)
    ]
    columns = []
    for i in range(n):
        scale = q[i][i]
        column = [q[k][i] / scale if k >= i else 0.0 for k in range(n)]
        columns.append((column, scale))
        q = [[q[a][b] - column[a] * column[b] * scale for b in range(n)] for a in range(n)]
    return columns


def upper(n: int) -> list[tuple[int, int]]:
    """The entries of an upper triangle, row by row."""
    return [(i, j) for i in range(n) for j in range(i, n)]


def _is_moments(value: object) -> bool:
    return isinstance(value, Moments)


def _is_info(value: object) -> bool:
    return isinstance(value, UpdateInfo)


@pytree
class Kalman(Kinematic, FirstVariance):
    """Random-walk Kalman filter: the value drifts, there is no velocity.

    With constant noise its gain settles at `K = P / (P + r)`, `P = (q + sqrt(q^2 + 4 q r)) / 2`, which depends on
    q / r only: from there on it is an exponential average with `alpha = K`.

    Args:
        process_noise: Variance that the value gains per unit of dt; a scalar, or one per channel.
        measurement_noise: Variance r of an observation; a scalar, or one per channel.
        initial_variance: Variance of the first value; None means a diffuse prior.
        dt: Duration of a frame, in the unit of time of process_noise; 1 counts in frames.
        gate: Refuse an observation off by more than this many standard deviations; None accepts all.
        huber: Weight observations by Huber's function beyond this many standard deviations.
        dof: Weight observations as if their noise were Student-t with these degrees of freedom.
        patience: Consecutive refused frames after which the state is reinitialised.

    Source: Kalman, A new approach to linear filtering and prediction problems, 1960.

    Example:
        >>> Kalman(process_noise=1e-3, measurement_noise=1e-2).patience
        3
    """

    order: ClassVar[int] = 1

    def initial_covariance(self) -> list[Any]:
        """The variance before the first frame."""
        return Kinematic.initial_covariance(self) if self.initial_variance is None else [self.initial_variance]


@pytree
class ConstantVelocity(Kinematic):
    """Kalman filter of a value whose velocity drifts (white-noise acceleration).

    Its steady smoother (`rts`) has the zero-phase response `1 / (1 + (f / fc)^4)`, `(2 pi fc)^4 = q / (r dt)`: see
    `from_cutoff`.

    Args:
        process_noise: Spectral density q of the acceleration, units^2 / s^3; a scalar, or one per channel.
        measurement_noise: Variance r of an observation, units^2; a scalar, or one per channel.
        dt: Duration of a frame in seconds.
        gate: Refuse an observation off by more than this many standard deviations; None accepts all.
        huber: Weight observations by Huber's function beyond this many standard deviations.
        dof: Weight observations as if their noise were Student-t with these degrees of freedom.
        patience: Consecutive refused frames after which the state is reinitialised.

    Source: Bar-Shalom, Li, Kirubarajan, Estimation with Applications to Tracking and Navigation, 2001, section 6.2.

    Example:
        >>> round(float(ConstantVelocity.from_cutoff(4.0, noise=0.01, fps=25).process_noise), 3)
        1.596
    """

    order: ClassVar[int] = 2

    @classmethod
    def from_cutoff(
        cls, cutoff: Values, noise: Values, fps: FrameRate | AnyArray, **robustness: Any
    ) -> ConstantVelocity:
        """The filter whose smoother halves the amplitude at `cutoff`.

        Args:
            cutoff: Frequency in Hz; a scalar, or one per channel.
            noise: Standard deviation of an observation, in the channel's unit.
            fps: Frames per second.
            **robustness: gate, huber, dof, patience.
        """
        process_noise, r, dt = noise_for_cutoff(cutoff, noise, fps)
        return cls(process_noise, r, dt, **robustness)


@pytree
class ConstantAcceleration(Kinematic):
    """Kalman filter of a value whose acceleration drifts (white-noise jerk).

    Args:
        process_noise: Spectral density of the jerk, units^2 / s^5; a scalar, or one per channel.
        measurement_noise: Variance of an observation, units^2; a scalar, or one per channel.
        dt: Duration of a frame in seconds.
        gate: Refuse an observation off by more than this many standard deviations; None accepts all.
        huber: Weight observations by Huber's function beyond this many standard deviations.
        dof: Weight observations as if their noise were Student-t with these degrees of freedom.
        patience: Consecutive refused frames after which the state is reinitialised.

    Source: Bar-Shalom, Li, Kirubarajan, Estimation with Applications to Tracking and Navigation, 2001, section 6.2.
    """

    order: ClassVar[int] = 3
