"""Motion metrics, time first: a track against ground truth, or its jitter alone.

No single number is enough: a frozen face has no jitter, a raw track has no lag. Report jitter together with error, lag
and the preserved blink depth.

`points` stands for any (T, ..., D): the norm runs over the last axis, the mean over all others. Vertices are (T, V, 3);
for independent channels, pass `channels[..., None]` and the norm is the absolute value.
"""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from gagjax import so3
from gagjax.numerics import safe_sqrt
from gagjax.typing import AnyArray, FrameRate, Scalar

Points = Float[AnyArray, "T *dims D"]
Valid = Bool[AnyArray, "T"] | None


@jax.jit
def position_error(points: Points, truth: Points, valid: Valid = None) -> Float[Array, ""]:
    """Mean distance, in the unit of the points; for vertices in metres, 1000 times this is the vertex error in mm."""
    return _mean_norm(points - truth, valid, 0)


@functools.partial(jax.jit, static_argnames=("order",))
def difference_error(points: Points, truth: Points, valid: Valid = None, *, order: int = 2) -> Float[Array, ""]:
    """Mean norm of the error of the n-th finite differences; not divided by the frame time.

    Args:
        points: (T, ..., D).
        truth: The same shape.
        valid: (T,); differences that involve an invalid frame are excluded.
        order: 2 is the acceleration error, x_(t-1) - 2 x_t + x_(t+1); 3 the jerk error.

    Returns:
        In units per frame^order; depends on the frame rate. NaN if no difference is valid.

    Source: Zeng et al., SmoothNet, ECCV 2022 (acceleration error).
    """
    return _mean_norm(points - truth, valid, order)


def acceleration_error(points: Points, truth: Points, valid: Valid = None) -> Float[Array, ""]:
    """`difference_error` of order 2, per frame squared.

    Example:
        >>> import numpy as np
        >>> still, spike = np.zeros((5, 1, 1)), np.eye(5)[:, 2].reshape(5, 1, 1)
        >>> round(float(acceleration_error(spike, still)), 4)  # (1 + 2 + 1) / 3
        1.3333
    """
    return difference_error(points, truth, valid, order=2)


def jerk_error(points: Points, truth: Points, valid: Valid = None) -> Float[Array, ""]:
    """`difference_error` of order 3, per frame cubed."""
    return difference_error(points, truth, valid, order=3)


def jitter(points: Points, valid: Valid = None, *, order: int = 2, fps: FrameRate | None = None) -> Float[Array, ""]:
    """Mean norm of the motion's finite differences, without ground truth.

    Args:
        points: (T, ..., D).
        valid: (T,); differences that involve an invalid frame are excluded.
        order: 2 for acceleration, 3 for jerk.
        fps: Frame rate, for a result per second^order; None leaves it per frame^order.

    Returns:
        A number; natural motion has some jitter, so lower is better only down to that of the truth.
    """
    rate = 1.0 if fps is None else float(fps) ** order
    return difference_error(points, jnp.zeros_like(jnp.asarray(points)), valid, order=order) * rate


@functools.partial(jax.jit, static_argnames=("max_lag",))
def lag(
    signal: Float[AnyArray, "T *dims"], truth: Float[AnyArray, "T *dims"], *, max_lag: int = 12
) -> Float[Array, ""]:
    """Delay of a signal behind the truth in frames; negative if it is ahead.

    The argmax of the normalised cross-correlation of the frame-to-frame differences, summed over channels with equal
    weight; refined between frames by the parabola through the maximum and its neighbours.

    Args:
        signal: (T, ...), T larger than `max_lag + 2`.
        truth: The same shape. Channels that do not move in it are excluded.
        max_lag: The largest lag considered, frames.

    Returns:
        The lag in frames; NaN if nothing moves. Multiply by 1000 / fps for milliseconds.

    Raises:
        ValueError: If the sequence is not longer than `max_lag + 2`.
    """
    frames = signal.shape[0]
    if frames <= max_lag + 2:
        raise ValueError(f"{frames} frames are too few for lags up to {max_lag}")
    a = jnp.diff(jnp.asarray(signal).reshape(frames, -1), axis=0)
    b = jnp.diff(jnp.asarray(truth).reshape(frames, -1), axis=0)
    size = jnp.sqrt(jnp.mean(b**2, 0))
    weight = jnp.where(size > 0, 1 / jnp.where(size > 0, size, 1), 0)
    a, b = a * weight, b * weight
    padded = jnp.pad(a, ((max_lag + 1, max_lag + 1), (0, 0)))
    present = jnp.pad(jnp.ones(len(a)), (max_lag + 1, max_lag + 1))

    def at(shift: int | AnyArray) -> Any:
        moved = jax.lax.dynamic_slice_in_dim(padded, shift, len(b), 0)
        seen = jax.lax.dynamic_slice_in_dim(present, shift, len(b), 0)[:, None]
        energy = jnp.sum(moved**2) * jnp.sum(seen * b**2)
        return jnp.sum(moved * b) / jnp.sqrt(jnp.where(energy > 0, energy, 1))

    score = jax.vmap(at)(jnp.arange(2 * max_lag + 3))
    best = 1 + jnp.argmax(score[1:-1])
    before, here, after = score[best - 1], score[best], score[best + 1]
    bend = before - 2 * here + after
    part = jnp.where(bend < 0, 0.5 * (before - after) / jnp.where(bend < 0, bend, -1), 0)
    moves = jnp.any(weight > 0) & jnp.any(a != 0)
    return jnp.where(moves, best - (max_lag + 1) + jnp.clip(part, -0.5, 0.5), jnp.nan)


@functools.partial(jax.jit, static_argnames=("reach",))
def blink_depth(
    closing: Float[AnyArray, "T"], truth: Float[AnyArray, "T"], *, threshold: float = 0.5, reach: int = 3
) -> Float[Array, ""]:
    """Preserved blink depth: depth in the signal over depth in the truth, averaged over blinks.

    A blink is a maximum of the truth within `reach` frames that lies above `threshold`. Depths are relative to each
    signal's own median; the signal's depth is its largest value within `reach` frames of the blink, so that lag is not
    counted twice.

    Args:
        closing: Eyelid closure, (T,); any unit.
        truth: True eyelid closure, (T,).
        threshold: Minimum height of a peak above the truth's median.
        reach: Frames to either side.

    Returns:
        1 if blinks are preserved, 0 if they are removed, above 1 if they overshoot; NaN without blinks.
    """
    window = 2 * reach + 1

    def highest(x: AnyArray) -> Any:
        return jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, (window,), (1,), "SAME")

    truth = truth - jnp.median(truth)
    closing = closing - jnp.median(closing)
    peak = (truth >= highest(truth)) & (truth > threshold)
    # A lid that stays closed for several frames is one blink, counted at its first frame.
    first = peak & ~jnp.concatenate([jnp.zeros(1, bool), peak[:-1]])
    ratio = highest(closing) / jnp.where(first, truth, 1)
    return jnp.sum(jnp.where(first, ratio, 0)) / jnp.sum(first)


@jax.jit
def angle_between(a: Float[AnyArray, "*#batch 3"], b: Float[AnyArray, "*#batch 3"]) -> Float[Array, "*#batch"]:
    """Angle between two directions, degrees, by atan2(|a x b|, a . b): exact for small angles, always defined."""
    across = jnp.cross(a, b)
    square = jnp.sum(across**2, -1)
    length = safe_sqrt(square)
    return jnp.rad2deg(jnp.arctan2(length, jnp.sum(a * b, -1)))


@jax.jit
def rotation_error(
    rotation: Float[AnyArray, "*#batch 3 3"], truth: Float[AnyArray, "*#batch 3 3"]
) -> Float[Array, "*#batch"]:
    """Angle of the relative rotation, degrees."""
    turn = jnp.einsum("...ji,...jk->...ik", truth, rotation, precision="highest")
    return jnp.rad2deg(jnp.linalg.norm(so3.log(turn), axis=-1))


@jax.jit
def gaze_error(eyes: Float[AnyArray, "T 6"], truth: Float[AnyArray, "T 6"]) -> Float[Array, "T 2"]:
    """Angle between estimated and true gaze direction of each eye, degrees: left, right.

    Args:
        eyes: Left and right eye rotation, axis-angle, (T, 6), radians.
        truth: The same.
    """
    return angle_between(_forward(eyes), _forward(truth))


@jax.jit
def eye_divergence(eyes: Float[AnyArray, "T 6"]) -> Float[Array, "T"]:
    """Angle between the two eyes' directions, degrees."""
    forward = _forward(eyes)
    return angle_between(forward[..., 0, :], forward[..., 1, :])


@jax.jit
def average_expression_distance(expression: Float[AnyArray, "T N"], truth: Float[AnyArray, "T N"]) -> Float[Array, ""]:
    """AED as mean absolute difference of expression coefficients.

    Published AEDs use another face model's 64 coefficients and differ in definition (mean absolute difference or mean
    norm): compare within one table only.
    """
    return jnp.mean(jnp.abs(expression - truth))


@jax.jit
def average_pose_distance(transform: Float[AnyArray, "T 3 4"], truth: Float[AnyArray, "T 3 4"]) -> Float[Array, ""]:
    """APD as mean absolute difference of the head's yaw, pitch and roll, radians (rotation vector of the difference)."""
    turn = jnp.einsum("tji,tjk->tik", truth[..., :3], transform[..., :3], precision="highest")
    return jnp.mean(jnp.abs(so3.log(turn)))


def _forward(eyes: AnyArray) -> Any:
    """Directions (T, 2, 3) of both eyes, whose axis at rest is +z."""
    return so3.exp(jnp.reshape(eyes, (*eyes.shape[:-1], 2, 3)))[..., :, 2]


def _mean_norm(error: AnyArray, valid: AnyArray | None, order: int) -> Any:
    if error.shape[0] <= order:
        raise ValueError(f"a difference of order {order} needs more than {error.shape[0]} frames")
    square = jnp.sum(jnp.diff(error, n=order, axis=0) ** 2, -1)
    norm = safe_sqrt(square)
    norm = norm.reshape(norm.shape[0], -1).mean(1)
    if valid is None:
        return norm.mean()
    whole = functools.reduce(jnp.logical_and, [jnp.asarray(valid)[i : len(norm) + i] for i in range(order + 1)])
    return jnp.sum(jnp.where(whole, norm, 0)) / jnp.sum(whole)


def as_milliseconds(frames: Scalar, fps: FrameRate) -> float:
    """Frames as milliseconds at a frame rate."""
    return float(np.asarray(frames)) * 1000 / float(fps)
