"""Scene cuts: frames across which nothing may be smoothed."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from gagjax import so3
from gagjax.conventions import track_units
from gagjax.filters.base import check_lengths
from gagjax.typing import AnyArray, Scalar


def scene_cuts(
    rotation: Float[AnyArray, "T 3 3"], valid: Bool[AnyArray, "T"] | None = None, angle: Scalar = 0.52
) -> Bool[Array, "T"]:
    """Detect frames at which the head rotation jumps by more than an angle and stays there.

    Args:
        rotation: Head or camera rotations, (T, 3, 3).
        valid: (T,) bool; frames marked False are skipped.
        angle: Radians; a value above pi warns, as it is probably in degrees.

    Returns:
        (T,) bool, True at the first frame of each new scene, but never at frame 0.
    """
    track_units.warn_of_degrees("angle", angle)
    return _cuts(rotation, valid, angle)


@jax.jit
def _cuts(rotation: Any, valid: Any, angle: Any) -> Any:
    frames = rotation.shape[0]
    check_lengths(frames, valid=valid)
    if frames < 3:
        return jnp.zeros(frames, bool)
    seen = jnp.ones(frames, bool) if valid is None else jnp.asarray(valid)
    ticks = jnp.arange(frames)
    until = jax.lax.cummax(jnp.where(seen, ticks, -1))
    onward = jax.lax.cummin(jnp.where(seen, ticks, frames), reverse=True)
    previous = jnp.concatenate([jnp.array([-1]), until[:-1]])
    following = jnp.concatenate([onward[1:], jnp.array([frames])])
    usable = seen & (previous >= 0)
    q = so3.quaternion_from_matrix(jnp.where(seen[:, None, None], rotation, jnp.eye(3, dtype=rotation.dtype)))
    before, after = q[jnp.maximum(previous, 0)], q[jnp.minimum(following, frames - 1)]

    def apart(a: AnyArray, b: AnyArray) -> Any:
        # |q_a . q_b| is the cosine of half the angle.
        return jnp.abs(jnp.sum(a * b, axis=-1)) < jnp.cos(angle / 2)

    # A single outlier returns in the next frame; a new scene does not.
    stays = (following >= frames) | (apart(before, after) & ~apart(q, after))
    return usable & apart(before, q) & stays
