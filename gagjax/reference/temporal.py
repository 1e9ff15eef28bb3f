"""The original's temporal smoothing: a moving average and a random-walk Kalman filter in series, slerp for rotations.

Provenance: textbook methods (Kalman 1960; Shoemake 1985). With constant noise levels the Kalman gain settles at 0.27,
so the pair is two moving averages: 148 ms of lag at 25 fps as published, 256 ms in the code variant, which feeds the
average from the Kalman output.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from gagjax import so3
from gagjax.pytree import pytree, static
from gagjax.reference import Variant, check_variant
from gagjax.track import Channels, Track
from gagjax.typing import AnyArray, Scalar, Tree


class EmaKalmanState(NamedTuple):
    """Number of frames so far, the average, the output (the Kalman mean) and its variance."""

    frames: Int[Array, ""]
    average: Any
    output: Any
    variance: Float[Array, ""]


@pytree
class EmaKalman:
    """Moving average, then a random-walk Kalman filter on its output; frame 0 passes through.

    Args:
        alpha: Weight of the new frame in the average.
        process_noise: Kalman process variance per frame.
        measurement_noise: Kalman measurement variance.
        variant: "document": the average feeds on itself, the Kalman mean starts at frame 0. "code": the average feeds
            on the final output, and the Kalman mean starts at frame 1. Both start with variance 1.
        kalman: False uses the average only.
    """

    alpha: Scalar = 0.5
    process_noise: Scalar = 1e-3
    measurement_noise: Scalar = 1e-2
    variant: Variant = static(default="document")
    kalman: bool = static(default=True)

    def __post_init__(self) -> None:
        check_variant(self.variant)

    def init(self, first: Tree) -> EmaKalmanState:
        """The state before the first frame, see `gagjax.protocols`."""
        first = jax.tree.map(jnp.asarray, first)
        return EmaKalmanState(jnp.int32(0), first, first, jnp.float32(1))

    def step(self, state: EmaKalmanState, x: Tree) -> tuple[EmaKalmanState, Any]:
        """One observed frame, see `gagjax.protocols.Filter`."""
        feedback = state.output if self.variant == "code" else state.average
        average = jax.tree.map(
            lambda now, before: jnp.where(state.frames == 0, now, self.alpha * now + (1 - self.alpha) * before),
            x,
            feedback,
        )
        if not self.kalman:
            return EmaKalmanState(state.frames + 1, average, average, state.variance), average
        started = state.frames >= (2 if self.variant == "code" else 1)
        predicted = state.variance + self.process_noise
        gain = predicted / (predicted + self.measurement_noise)
        output = jax.tree.map(lambda mean, z: jnp.where(started, mean + gain * (z - mean), z), state.output, average)
        variance = jnp.where(started, (1 - gain) * predicted, 1)
        return EmaKalmanState(state.frames + 1, average, output, variance), output

    def predict(self, state: EmaKalmanState) -> tuple[EmaKalmanState, Any]:
        """One frame without an observation, see `gagjax.protocols.Filter`."""
        return state, state.output


class RigidState(NamedTuple):
    """Number of frames so far and the current output, (3, 4)."""

    frames: Int[Array, ""]
    output: Float[Array, "3 4"]


@pytree
class RigidEma:
    """Moving average of `[R | t]`: slerp from the last output for R, linear for t; frame 0 passes through.

    Args:
        alpha: Fraction of the way to the new frame.
        variant: "code" interpolates linearly and normalises where the quaternions' cosine is above 0.9995.
    """

    alpha: Scalar = 0.5
    variant: Variant = static(default="document")

    def __post_init__(self) -> None:
        check_variant(self.variant)

    def init(self, first: Float[AnyArray, "3 4"]) -> RigidState:
        """The state before the first frame, see `gagjax.protocols`."""
        return RigidState(jnp.int32(0), jnp.asarray(first))

    def step(self, state: RigidState, x: Float[AnyArray, "3 4"]) -> tuple[RigidState, Any]:
        """One observed frame, see `gagjax.protocols.Filter`."""
        q0 = so3.quaternion_from_matrix(state.output[:, :3])
        q1 = so3.quaternion_from_matrix(x[:, :3])
        q = so3.slerp(q0, q1, self.alpha)
        if self.variant == "code":
            cosine = jnp.sum(q0 * q1)
            near = q0 + self.alpha * (jnp.where(cosine < 0, -q1, q1) - q0)
            # The sum vanishes only where the cosine is -1, and there it is not selected.
            q = jnp.where(jnp.abs(cosine) > 0.9995, near / jnp.sqrt(jnp.sum(near * near) + 1e-30), q)
        moved = state.output[:, 3:] + self.alpha * (x[:, 3:] - state.output[:, 3:])
        output = jnp.concatenate([so3.matrix_from_quaternion(q), moved], axis=1)
        output = jnp.where(state.frames == 0, x, output)
        return RigidState(state.frames + 1, output), output

    def predict(self, state: RigidState) -> tuple[RigidState, Any]:
        """One frame without an observation, see `gagjax.protocols.Filter`."""
        return state, state.output


@pytree
class ReferenceTemporal:
    """The original's smoothing of every channel of a track, as one filter over a frame of `Channels`.

    Args:
        codes: Filter for expression, jaw, eyes, neck and other trackers' channels.
        camera: Filter for the camera and other trackers' rotation matrices.
        rotations: Names of extra channels that hold rotation matrices; `for_track` reads them from the track.
    """

    codes: EmaKalman
    camera: RigidEma
    rotations: tuple[str, ...] = static(default=())

    def for_track(self, track: Track) -> ReferenceTemporal:
        """This filter, bound to the names of the track's extra rotation channels."""
        return ReferenceTemporal(self.codes, self.camera, track.rotations)

    def init(self, first: Channels) -> tuple[Any, Any]:
        """The state before the first frame, see `gagjax.protocols`."""
        plain, rigid = self._split(first)
        return self.codes.init(plain), {name: self.camera.init(value) for name, value in rigid.items()}

    def step(self, state: tuple[Any, Any], x: Channels) -> tuple[tuple[Any, Any], Channels]:
        """One observed frame, see `gagjax.protocols.Filter`."""
        plain, rigid = self._split(x)
        codes, smooth = self.codes.step(state[0], plain)
        stepped = {name: self.camera.step(state[1][name], value) for name, value in rigid.items()}
        y = self._join(smooth, {name: both[1] for name, both in stepped.items()})
        return (codes, {name: both[0] for name, both in stepped.items()}), y

    def predict(self, state: tuple[Any, Any]) -> tuple[tuple[Any, Any], Channels]:
        """One frame without an observation, see `gagjax.protocols.Filter`."""
        return state, self._join(state[0].output, {name: own.output for name, own in state[1].items()})

    def _split(self, x: Channels) -> tuple[Channels, dict[str, Any]]:
        rigid = {"": x.transform}
        for name in self.rotations:
            rigid[name] = jnp.concatenate([x.extra[name], jnp.zeros((3, 1), x.extra[name].dtype)], axis=1)
        extra = {name: value for name, value in x.extra.items() if name not in self.rotations}
        return x._replace(transform=jnp.zeros(()), extra=extra), rigid

    def _join(self, plain: Channels, rigid: dict[str, Any]) -> Channels:
        extra = {**plain.extra, **{name: value[:, :3] for name, value in rigid.items() if name}}
        return plain._replace(transform=rigid[""], extra=dict(sorted(extra.items())))


def reference_temporal(variant: Variant = "document") -> ReferenceTemporal:
    """The temporal stage of `Stack.reference`."""
    return ReferenceTemporal(EmaKalman(variant=variant), RigidEma(variant=variant))
