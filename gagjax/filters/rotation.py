"""Filters of rotations. Frames are matrices (..., 3, 3); states are quaternions, so nothing drifts off SO(3)."""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from gagjax import so3
from gagjax.filters import robust
from gagjax.filters.kalman import DIFFUSE, KNOWN, Bridge, advanced, entries, noise_for_cutoff
from gagjax.filters.one_euro import check_one_euro, smoothing
from gagjax.numerics import safe_norm
from gagjax.pytree import fact, is_concrete, pytree, static
from gagjax.typing import AnyArray, Condition, FrameRate, Hyperparameter, Scalar, Tree, Values


class RotationEmaState(NamedTuple):
    """The average so far as a unit quaternion (..., 4)."""

    mean: Any


@pytree
class RotationEma:
    """Exponential moving average on SO(3): slerp from the average towards the new rotation, along the shorter arc.

    Args:
        alpha: Fraction of the way in (0, 1]; a scalar, or one per rotation.

    Raises:
        ValueError: If alpha is outside (0, 1].
    """

    alpha: Hyperparameter

    def __post_init__(self) -> None:
        if is_concrete(self.alpha) and not bool(np.all((self.alpha > 0) & (self.alpha <= 1))):
            raise ValueError(f"alpha must lie in (0, 1], got {self.alpha}")

    def init(self, first: Float[AnyArray, "*#batch 3 3"]) -> RotationEmaState:
        """At `first`."""
        return RotationEmaState(so3.quaternion_from_matrix(first))

    def step(self, state: RotationEmaState, x: AnyArray) -> tuple[RotationEmaState, Any]:
        """Slerp towards `x`."""
        mean = so3.slerp(state.mean, so3.quaternion_from_matrix(x), self.alpha)
        return RotationEmaState(mean), so3.matrix_from_quaternion(mean)

    def predict(self, state: RotationEmaState) -> tuple[RotationEmaState, Any]:
        """Hold the last rotation."""
        return state, so3.matrix_from_quaternion(state.mean)


class OneEuroRotationState(NamedTuple):
    """The filtered rotation as a unit quaternion (..., 4) and its low-passed angular velocity (..., 3), rad / s."""

    mean: Any
    slope: Any


@pytree
class OneEuroRotation:
    """One Euro filter on SO(3): the slope is the angular velocity, the low-pass a slerp.

    Args:
        min_cutoff: Cutoff at rest, Hz; a scalar, or one per rotation.
        beta: Rise of the cutoff with angular speed, Hz per (rad / s).
        derivative_cutoff: Cutoff of the angular velocity, Hz.
        fps: Frames per second.

    Raises:
        ValueError: If a hyperparameter is negative, or a cutoff or fps is zero.

    Source: Casiez, Roussel, Vogel, 1 Euro filter, CHI 2012, with differences taken on SO(3).
    """

    min_cutoff: Hyperparameter = 1.0
    beta: Hyperparameter = 0.0
    derivative_cutoff: Hyperparameter = 1.0
    fps: Hyperparameter = fact(default=25.0)

    def __post_init__(self) -> None:
        check_one_euro(self)

    def with_dt(self, dt: Scalar) -> OneEuroRotation:
        """The filter for frames that last `dt` seconds."""
        return dataclasses.replace(self, fps=1 / dt)

    def init(self, first: Float[AnyArray, "*#batch 3 3"]) -> OneEuroRotationState:
        """At rest at `first`."""
        mean = so3.quaternion_from_matrix(first)
        return OneEuroRotationState(mean, jnp.zeros_like(mean[..., 1:]))

    def step(self, state: OneEuroRotationState, x: AnyArray) -> tuple[OneEuroRotationState, Any]:
        """Low-pass the angular velocity, choose the cutoff, slerp towards `x`."""
        target = so3.quaternion_from_matrix(x)
        turn = so3.quaternion_log(so3.quaternion_multiply(so3.quaternion_conjugate(state.mean), target))
        slow = smoothing(self.derivative_cutoff, self.fps)
        slope = state.slope + slow * (turn * self.fps - state.slope)
        speed = safe_norm(slope)
        alpha = smoothing(self.min_cutoff + self.beta * speed, self.fps)
        mean = so3.slerp(state.mean, target, alpha)
        return OneEuroRotationState(mean, slope), so3.matrix_from_quaternion(mean)

    def predict(self, state: OneEuroRotationState) -> tuple[OneEuroRotationState, Any]:
        """Hold the last rotation."""
        return state, so3.matrix_from_quaternion(state.mean)


class RotationMoments(NamedTuple):
    """The state of `RotationConstantVelocity`.

    Attributes:
        rotation: Unit quaternions (..., 4).
        velocity: Angular velocity in the body frame, (..., 3), rad / s.
        covariance: Upper triangle of one axis's covariance (the same for all axes), each (...).
        rejected: Consecutive frames that the gate refused, (...).
    """

    rotation: Any
    velocity: Any
    covariance: tuple[Any, Any, Any]
    rejected: Any


class RotationInfo(NamedTuple):
    """The record of an update for the backward pass; `turn` is the predicted rotation since the previous frame."""

    rotation: Any
    turn: Any
    pull: Any
    column: tuple[Any, Any]
    weight: Any
    restart: Any


@pytree
class RotationConstantVelocity:
    """Kalman filter of a rotation with drifting angular velocity and an error state in the tangent space.

    Noise is the same about every axis, so the covariance is that of one axis, and the filter is equivariant under
    constant rotations from either side.

    Args:
        process_noise: Spectral density of the angular acceleration, rad^2 / s^3; a scalar, or one per rotation.
        measurement_noise: Variance of an observation about each axis, rad^2; a scalar, or one per rotation.
        dt: Duration of a frame in seconds.
        gate: Refuse an observation off by more than this many standard deviations; None accepts all.
        huber: Weight observations by Huber's function beyond this many standard deviations.
        dof: Weight observations as if their noise were Student-t with these degrees of freedom.
        patience: Consecutive refused frames after which the state is reinitialised.

    Source: Sola, Deray, Atchuthan, A micro Lie theory for state estimation in robotics, 2018 (error states on SO(3)).
    """

    process_noise: Hyperparameter
    measurement_noise: Hyperparameter
    dt: Hyperparameter = fact(default=1.0)
    gate: Hyperparameter | None = None
    huber: Hyperparameter | None = None
    dof: Hyperparameter | None = None
    patience: int = static(default=3)

    def __post_init__(self) -> None:
        robust.check_noise(self)

    @classmethod
    def from_cutoff(
        cls, cutoff: Values, noise: Values, fps: FrameRate | AnyArray, **robustness: Any
    ) -> RotationConstantVelocity:
        """The filter whose smoother halves the amplitude of small motion at `cutoff`.

        Args:
            cutoff: Frequency in Hz.
            noise: Standard deviation of an observation about each axis, radians.
            fps: Frames per second.
            **robustness: gate, huber, dof, patience.
        """
        process_noise, r, dt = noise_for_cutoff(cutoff, noise, fps)
        return cls(process_noise, r, dt, **robustness)

    def with_dt(self, dt: Scalar) -> RotationConstantVelocity:
        """The filter for frames that last `dt` seconds."""
        return dataclasses.replace(self, dt=dt)

    def init(self, first: Float[AnyArray, "*#batch 3 3"]) -> RotationMoments:
        """Diffuse prior at the first observation."""
        return self._fresh(so3.quaternion_from_matrix(first))

    def step(self, state: RotationMoments, x: AnyArray) -> tuple[RotationMoments, Any]:
        """Predict, then correct by an observed frame."""
        state, info = self.observe(state, x)
        return state, so3.matrix_from_quaternion(info.rotation)

    def predict(self, state: RotationMoments) -> tuple[RotationMoments, Any]:
        """Continue at the current angular velocity."""
        ahead = self._ahead(state)
        return ahead, so3.matrix_from_quaternion(ahead.rotation)

    def observe(
        self, state: RotationMoments, x: AnyArray, seen: Condition | None = None
    ) -> tuple[RotationMoments, RotationInfo]:
        """One frame, see `gagjax.protocols.HasAdjoint`."""
        turn = self.dt * state.velocity
        ahead = self._ahead(state)
        rotation, velocity, covariance, rejected = ahead
        x = x if seen is None else jnp.where(seen, x, jnp.eye(3, dtype=jnp.asarray(x).dtype))
        target = so3.quaternion_from_matrix(x)
        r = self._noise()
        error = so3.quaternion_log(so3.quaternion_multiply(so3.quaternion_conjugate(rotation), target))
        trust, refused = robust.weight_vector(error, covariance[0] + r, self.gate, self.huber, self.dof)
        observed = jnp.asarray(True if seen is None else seen)
        weight = trust * observed
        restart = None
        if self.gate is not None:
            rejected = jnp.where(observed, jnp.where(refused, rejected + 1, 0), rejected)
            restart = rejected >= self.patience
            fresh = self._fresh(target)
            rotation = jnp.where(restart[..., None], fresh.rotation, rotation)
            velocity = jnp.where(restart[..., None], 0, velocity)
            covariance = jax.tree.map(lambda a, b: jnp.where(restart, a, b), fresh.covariance, covariance)
            rejected = jnp.where(restart, 0, rejected)
            error = jnp.where(restart[..., None], 0, error)
            weight = jnp.where(restart, 1, weight)
        a, b, c = covariance
        variance = weight * a + r
        inverse = jnp.where(variance > 0, 1 / jnp.where(variance > 0, variance, 1), 0)
        column = (a * inverse, b * inverse)
        error = jnp.where(observed, error, 0)
        gained = weight[..., None] * error
        rotation = so3.quaternion_multiply(rotation, so3.quaternion_exp(column[0][..., None] * gained))
        rotation = rotation / jnp.sqrt(jnp.sum(rotation**2, axis=-1, keepdims=True))
        velocity = velocity + column[1][..., None] * gained
        covariance = (r * column[0], r * column[1], c - weight * column[1] * b)
        info = RotationInfo(rotation, turn, inverse[..., None] * gained, column, weight, restart)
        return RotationMoments(rotation, velocity, covariance, rejected), info

    def adjoint(self, later: tuple[Any, Any], info: RotationInfo) -> tuple[Any, tuple[Any, Any]]:
        """One step of the backward pass, see `Kinematic.adjoint`; the adjoint is in the body frame."""
        drag = info.column[0][..., None] * later[0] + info.column[1][..., None] * later[1]
        change = so3.quaternion_exp(-self._noise()[..., None] * drag)
        value = so3.matrix_from_quaternion(so3.quaternion_multiply(info.rotation, change))
        inner = later[0] - (info.pull + info.weight[..., None] * drag)
        # The body frame rotated by `turn` since the previous frame, and by half of it on average in between.
        half = rotate(so3.quaternion_exp(info.turn / 2), inner)
        earlier = rotate(so3.quaternion_exp(info.turn / 2), half), later[1] + self.dt * half
        if info.restart is not None:
            earlier = tuple(jnp.where(info.restart[..., None], 0, each) for each in earlier)  # type: ignore[assignment]
        return value, earlier

    def factors(self, frame: AnyArray) -> Any:
        """See `gagjax.protocols.Bridges`."""
        return self.init(frame).covariance

    def advanced(self, factors: Tree, state: RotationMoments, info: RotationInfo) -> tuple[Any, RotationMoments]:
        """See `gagjax.protocols.Bridges`."""
        fresh = self._fresh(info.rotation).covariance
        factors = advanced(factors, fresh, [1.0, self.dt], self.process_noise, self.dt, self._noise(), info)
        (a, b), (_, c) = entries(factors)
        return factors, state._replace(covariance=(a, b, c))

    def bridge(self, y: Tree, later: Tree, info: Tree, state: Tree, factors: Tree, ahead: Tree) -> tuple[Any, Any]:
        """See `gagjax.protocols.Bridges`; the state is a unit quaternion and the velocity in its frame."""
        (a, b), (_, c) = ((each[..., None] for each in row) for row in entries(factors))
        unknown = c > KNOWN * self._fresh(info.rotation).covariance[2][..., None]
        hung = unknown & ~ahead.end[..., None]
        own = so3.quaternion_multiply(state.rotation, so3.quaternion_exp(-(a * later[0] + b * later[1])))
        spin = state.velocity - (b * later[0] + c * later[1])
        rotation = jnp.where(hung, ahead.state[0], own)
        velocity = jnp.where(hung, ahead.state[1], spin)
        missing = (info.weight == 0)[..., None]
        y = jnp.where((hung & missing)[..., None], so3.matrix_from_quaternion(rotation), y)
        drag = info.column[0][..., None] * later[0] + info.column[1][..., None] * later[1]
        inner = later[0] - (info.pull + info.weight[..., None] * drag)
        # Undo the disturbance of the frame, then turn back.
        q, dt = jnp.asarray(self.process_noise)[..., None], jnp.asarray(self.dt)[..., None]
        velocity = velocity + q * (dt**2 / 2 * inner + dt * later[1])
        moved = q * (dt**3 / 3 * inner + dt**2 / 2 * later[1]) - dt * velocity
        rotation = so3.quaternion_multiply(rotation, so3.quaternion_exp(moved))
        rotation = rotation / jnp.sqrt(jnp.sum(rotation**2, axis=-1, keepdims=True))
        end = jnp.zeros_like(ahead.end)
        return y, Bridge((rotation, velocity), end if info.restart is None else end | info.restart)

    def unbridged(self, frame: AnyArray) -> Any:
        """See `gagjax.protocols.Bridges`."""
        zero = jnp.zeros_like(jnp.asarray(frame)[..., 0])
        one = jnp.concatenate([jnp.ones_like(zero[..., :1]), zero], -1)
        return Bridge((one, zero), jnp.ones(zero.shape[:-1], bool))

    def last(self, frame: AnyArray) -> tuple[Any, Any]:
        """The adjoint after the last frame: zeros."""
        zero = jnp.zeros_like(jnp.asarray(frame)[..., 0])
        return zero, zero

    def _noise(self) -> Any:
        return jnp.maximum(self.measurement_noise, 1e-6 * self.process_noise * self.dt**3)

    def _fresh(self, rotation: AnyArray) -> RotationMoments:
        zero = jnp.zeros_like(rotation[..., 0])
        r, q = self._noise(), self.process_noise
        covariance = (
            zero + DIFFUSE * (r + q * self.dt**3),
            zero,
            zero + DIFFUSE * (r / self.dt**2 + q * self.dt),
        )
        return RotationMoments(rotation, jnp.zeros_like(rotation[..., 1:]), covariance, zero.astype(jnp.int32))

    def _ahead(self, s: RotationMoments) -> RotationMoments:
        a, b, c = s.covariance
        dt, q = self.dt, self.process_noise
        covariance = (a + 2 * dt * b + dt**2 * c + q * dt**3 / 3, b + dt * c + q * dt**2 / 2, c + q * dt)
        rotation = so3.quaternion_multiply(s.rotation, so3.quaternion_exp(dt * s.velocity))
        return RotationMoments(rotation, s.velocity, covariance, s.rejected)


def rotate(q: Float[AnyArray, "*#batch 4"], v: Float[AnyArray, "*#batch 3"]) -> Float[AnyArray, "*#batch 3"]:
    """Rotate vectors by unit quaternions."""
    across = 2 * jnp.cross(q[..., 1:], v)
    return v + q[..., :1] * across + jnp.cross(q[..., 1:], across)
