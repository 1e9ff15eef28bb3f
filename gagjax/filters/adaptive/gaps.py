"""Missing frames: bridged between their neighbours, held at the ends."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float, Int

from gagjax.typing import AnyArray


def neighbours(valid: AnyArray | None, frames: int) -> tuple[Any, Any, Any, Any]:
    """For every frame the nearest valid one before and after it, and whether it lies before or after all of them.

    Returns:
        Index before (or the first valid), index after (or the last valid), and two (T,) bools.
    """
    ticks = jnp.arange(frames)
    if valid is None:
        none = jnp.zeros(frames, bool)
        return ticks, ticks, none, none
    valid = jnp.asarray(valid)
    last = jax.lax.cummax(jnp.where(valid, ticks, -1))
    following = jax.lax.cummin(jnp.where(valid, ticks, frames), reverse=True)
    before, after = last < 0, following >= frames
    return jnp.where(before, following, last) % frames, jnp.where(after, last, following) % frames, before, after


class Bridge(NamedTuple):
    """How missing frames are bridged.

    Attributes:
        index: The nearest valid frame before each, (T,), or the first valid one; a valid frame is its own.
        following: Likewise after each.
        share: How far each lies between the two, (T,), 0 to 1.
    """

    index: Any
    following: Any
    share: Any

    @classmethod
    def over(cls, valid: Bool[AnyArray, "T"]) -> Bridge:
        """The bridges over the frames that are not valid, (T,)."""
        frames = valid.shape[0]
        index, following, _, _ = neighbours(valid, frames)
        share = (jnp.arange(frames) - index) / jnp.maximum(following - index, 1)
        return cls(index, following, jnp.clip(share, 0, 1))

    def of(self, xs: Float[AnyArray, "T C"], places: Int[AnyArray, "N"]) -> Any:
        """The frames `places` of an array, (N, C), in its unit."""
        before = xs[self.index[places]]
        return before + self.share[places][:, None] * (xs[self.following[places]] - before)


def held(smooth: AnyArray, before: AnyArray, after: AnyArray) -> Any:
    """An array with its first and last valid frame held to the ends; arguments as `neighbours` gives them."""
    first = jnp.argmin(before)
    last = smooth.shape[0] - 1 - jnp.argmin(after[::-1])
    wide = (slice(None),) + (None,) * (smooth.ndim - 1)
    return jnp.where(before[wide], smooth[first], jnp.where(after[wide], smooth[last], smooth))
