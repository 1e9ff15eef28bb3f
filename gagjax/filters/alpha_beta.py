"""Causal smoothing of channels of unknown noise level, for live use."""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from gagjax import so3
from gagjax.pytree import fact, is_concrete, pytree, static
from gagjax.typing import AnyArray, Hyperparameter, Scalar, Tree

This = TypeVar("This", bound="AlphaBeta")


class LiveState(NamedTuple):
    """The state of `LiveVelocity`, each entry a pytree like the frame.

    Attributes:
        mean: The filtered value.
        velocity: Its velocity, per second.
        scale: Running mean square of the innovations, outliers clipped.
        rejected: Consecutive frames refused.
        count: Frames observed so far, a number.
    """

    mean: Any
    velocity: Any
    scale: Any
    rejected: Any
    count: Any


class Verdict(NamedTuple):
    """The verdict on an innovation: its weight, whether to reinitialise, and the updated statistics."""

    weight: Any
    restart: Any
    scale: Any
    rejected: Any


@pytree
class AlphaBeta:
    """Base of the fixed-gain filters: hyperparameters, gains and outlier rejection.

    Args:
        cutoff: Cutoff of the filter, Hz; a scalar, or one per channel.
        damping: Time constant of the velocity's decay without observations, seconds.
        gate: Innovations above this multiple of their running size are refused.
        memory: Averaging time of the running size, seconds.
        fps: Frames per second.
        patience: Consecutive refused frames after which the state is reinitialised.
    """

    cutoff: Hyperparameter = 2.5
    damping: Scalar = 0.11
    gate: Scalar = 5.0
    memory: Scalar = 1.0
    fps: Scalar = fact(default=25.0)
    patience: int = static(default=2)

    def __post_init__(self) -> None:
        for name in ("cutoff", "damping", "gate", "memory", "fps"):
            value = getattr(self, name)
            if is_concrete(value) and not bool(np.all(value > 0)):
                raise ValueError(f"{name} must be positive, got {value}")
        if self.patience < 1:
            raise ValueError(f"patience must be at least one frame, got {self.patience}")

    def with_dt(self: This, dt: Scalar) -> This:
        """The filter for frames that last `dt` seconds."""
        return dataclasses.replace(self, fps=1 / dt)

    def gains(self) -> tuple[Any, Any, Any]:
        """Gains of value and velocity, and the velocity's decay factor per frame."""
        kept = jnp.exp(-2 * jnp.pi * self.cutoff / self.fps)
        return 1 - kept**2, (1 - kept) ** 2 * self.fps, jnp.exp(-1 / (self.damping * self.fps))

    def judge(self, square: AnyArray, scale: AnyArray, rejected: AnyArray, count: AnyArray) -> Verdict:
        """Compare squared innovations with their running mean square.

        Args:
            square: Squared innovations of one array's channels.
            scale: Their running mean square.
            rejected: Consecutive frames refused, per channel.
            count: Frames observed before this one.
        """
        scale = jnp.where(count <= 1, square, scale)
        ratio = square / jnp.where(scale > 0, scale, 1)
        far = jnp.where(scale > 0, ratio > self.gate**2, square > 0)
        if square.size >= 8:
            # A bad frame affects most channels at once, so each then needs less evidence of its own.
            far = far | (jnp.mean(ratio > (0.55 * self.gate) ** 2) > 0.5)
        far = far & (count > 3)
        rejected = jnp.where(far, rejected + 1, 0)
        restart = rejected >= self.patience
        share = 1 / jnp.minimum(count + 0.5, self.memory * self.fps)
        grown = jnp.where(restart, jnp.maximum(scale, square / 9), scale)
        scale = grown + share * (1.05 * jnp.minimum(square, 9 * grown) - grown)
        weight = jnp.where(far & ~restart, 0.0, 1.0)
        return Verdict(weight, restart, scale, jnp.where(restart, 0, rejected))


@pytree
class LiveVelocity(AlphaBeta):
    """Fixed-gain constant-velocity filter that refuses outliers, whatever the channel's unit.

    A critically damped alpha-beta filter with decaying velocity. Innovations are compared with their own running size,
    so neither noise nor motion level has to be known. Two consecutive refused frames count as a real change, and the
    state is reinitialised: a blink passes one frame late and at full depth.

    Args:
        cutoff: Cutoff of the filter, Hz; a scalar, or one per channel.
        damping: Time constant of the velocity's decay without observations, seconds.
        gate: Innovations above this multiple of their running size are refused.
        memory: Averaging time of the running size, seconds.
        fps: Frames per second.
        patience: Consecutive refused frames after which the state is reinitialised.

    Raises:
        ValueError: If a hyperparameter is not positive.

    Source: Brookner, Tracking and Kalman Filtering Made Easy, 1998, section 1.2 (fading memory, critical damping).
    """

    def init(self, first: Tree) -> LiveState:
        """At rest at `first`."""
        mean = jax.tree.map(jnp.asarray, first)
        zero = jax.tree.map(jnp.zeros_like, mean)
        none = jax.tree.map(lambda x: jnp.zeros(x.shape, jnp.int32), mean)
        return LiveState(mean, zero, zero, none, jnp.float32(0))

    def step(self, state: LiveState, x: Tree) -> tuple[LiveState, Any]:
        """Predict, judge, correct."""
        alpha, beta, lasting = self.gains()

        def one(
            mean: AnyArray, velocity: AnyArray, scale: AnyArray, rejected: AnyArray, value: AnyArray
        ) -> tuple[Any, ...]:
            velocity = lasting * velocity
            guess = mean + velocity / self.fps
            error = value - guess
            verdict = self.judge(error**2, scale, rejected, state.count)
            corrected = guess + alpha * verdict.weight * error
            return (
                jnp.where(verdict.restart, value, corrected),
                jnp.where(verdict.restart, 0, velocity + beta * verdict.weight * error),
                verdict.scale,
                verdict.rejected,
            )

        parts = jax.tree.map(one, state.mean, state.velocity, state.scale, state.rejected, x)
        mean, velocity, scale, rejected = _transposed(x, parts, 4)
        return LiveState(mean, velocity, scale, rejected, state.count + 1), mean

    def predict(self, state: LiveState) -> tuple[LiveState, Any]:
        """Coast at a decaying velocity."""
        lasting = self.gains()[2]
        velocity = jax.tree.map(lambda v: lasting * v, state.velocity)
        mean = jax.tree.map(lambda m, v: m + v / self.fps, state.mean, velocity)
        return state._replace(mean=mean, velocity=velocity), mean


@pytree
class LiveRotation(AlphaBeta):
    """`LiveVelocity` on SO(3): frames are matrices (..., 3, 3), the state a quaternion and an angular velocity.

    Args:
        cutoff: Cutoff of the filter, Hz.
        damping: Time constant of the angular velocity's decay without observations, seconds.
        gate: Innovations above this multiple of their running angle are refused.
        memory: Averaging time of the running angle, seconds.
        fps: Frames per second.
        patience: Consecutive refused frames after which the state is reinitialised.

    Raises:
        ValueError: If a hyperparameter is not positive.
    """

    def init(self, first: Float[AnyArray, "*#batch 3 3"]) -> LiveState:
        """At rest at `first`."""
        mean = so3.quaternion_from_matrix(first)
        zero = jnp.zeros_like(mean[..., 0])
        return LiveState(mean, jnp.zeros_like(mean[..., 1:]), zero, zero.astype(jnp.int32), jnp.float32(0))

    def step(self, state: LiveState, x: AnyArray) -> tuple[LiveState, Any]:
        """Predict, judge, correct."""
        alpha, beta, lasting = self.gains()
        target = so3.quaternion_from_matrix(x)
        velocity = lasting * state.velocity
        guess = so3.quaternion_multiply(state.mean, so3.quaternion_exp(velocity / self.fps))
        error = so3.quaternion_log(so3.quaternion_multiply(so3.quaternion_conjugate(guess), target))
        verdict = self.judge(jnp.sum(error**2, axis=-1) / 3, state.scale, state.rejected, state.count)
        restart = verdict.restart[..., None]
        gained = verdict.weight[..., None] * error
        mean = jnp.where(restart, target, so3.quaternion_multiply(guess, so3.quaternion_exp(alpha * gained)))
        mean = mean / jnp.sqrt(jnp.sum(mean**2, axis=-1, keepdims=True))
        velocity = jnp.where(restart, 0, velocity + beta * gained)
        after = LiveState(mean, velocity, verdict.scale, verdict.rejected, state.count + 1)
        return after, so3.matrix_from_quaternion(mean)

    def predict(self, state: LiveState) -> tuple[LiveState, Any]:
        """Coast at a decaying angular velocity."""
        velocity = self.gains()[2] * state.velocity
        mean = so3.quaternion_multiply(state.mean, so3.quaternion_exp(velocity / self.fps))
        return state._replace(mean=mean, velocity=velocity), so3.matrix_from_quaternion(mean)


def _transposed(frame: Tree, parts: Tree, count: int) -> Any:
    outer = jax.tree.structure(frame)
    return jax.tree.transpose(outer, jax.tree.structure((0,) * count), parts)
