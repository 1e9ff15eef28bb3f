"""Retargeting: transfer a driver's expression to another face, relative to both neutrals.

FLAME separates identity from expression, so what leaks of the driver's identity into the expression is the neutral
offset that the tracker reports at rest. Only motion relative to it is transferred,

    out = target neutral + map (driver - driver neutral),

with unchanged amplitude unless `gain` or `map` scales it.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float

from gagjax import so3
from gagjax.errors import InputError
from gagjax.expression.closure import ClosureMatcher
from gagjax.expression.neutral import neutral, neutral_of_long
from gagjax.filters.base import hold_last
from gagjax.long_clips.walk import Walk
from gagjax.pytree import is_concrete, pytree
from gagjax.track import Channels
from gagjax.typing import AnyArray, Scalar


def soft_limit(
    deviation: Float[AnyArray, "*#batch C"], scale: Float[AnyArray, "C"] | Scalar = 1.0, sigmas: Scalar = 3.0
) -> Float[AnyArray, "*#batch C"]:
    """Compress the norm of implausibly large expressions, preserving direction.

    FLAME's coefficients have unit variance, so the norm of a plausible vector of C of them lies near sqrt(C), with a
    standard deviation of 1/sqrt(2). Norms up to sqrt(C) plus `sigmas` of these (12.1 for 100 columns) are unchanged;
    beyond, the norm saturates smoothly at 1.5 times that.

    Args:
        deviation: Deviations from neutral, (..., C).
        scale: Standard deviation of each column.
        sigmas: Where limiting begins.
    """
    start = jnp.sqrt(float(deviation.shape[-1])) + jnp.asarray(sigmas) / jnp.sqrt(2.0)
    square = ((deviation / scale) ** 2).sum(-1, keepdims=True)
    beyond = square > start**2
    length = jnp.sqrt(jnp.where(beyond, square, 1.0))
    room = 0.5 * start
    bent = start + room * jnp.tanh((length - start) / room)
    return deviation * jnp.where(beyond, bent / length, 1.0)


@pytree
class Retargeter:
    """Retargets the expression and jaw of a track to a target face: a stage of `Stack`.

    Args:
        target_neutral: The target's neutral expression, (100,), or None to keep the driver's.
        driver_neutral: The driver's neutral expression, (100,), or None to estimate it from the clip (`neutral`).
        target_jaw: The target's neutral jaw, axis-angle (3,), or None to leave the jaw unchanged.
        driver_jaw: The driver's neutral jaw, (3,), or None to estimate it; used with `target_jaw`.
        gain: Amplitude of the deviation from neutral; 1 keeps it.
        map: A linear map of the deviation, (100, 100), e.g. a `RegionEditor`'s matrix for per-region gains, or None.
        constraint: Blend of the result back towards the input, 0 to 1.
        limit: Where limiting of implausible deviations begins, in standard deviations (`soft_limit`).
        scale: Standard deviation of each coefficient, (100,) or a number; FLAME's are 1.
        closure: Matches lid and lip closure between the two faces (`ClosureMatcher.for_models`), or None.

    Raises:
        InputError: If a value has the wrong shape or lies outside its range.

    Example:
        >>> Retargeter(target_neutral=jnp.zeros(100)).gain.item()
        1.0
    """

    target_neutral: Float[AnyArray, "100"] | None = None
    driver_neutral: Float[AnyArray, "100"] | None = None
    target_jaw: Float[AnyArray, "3"] | None = None
    driver_jaw: Float[AnyArray, "3"] | None = None
    gain: Scalar = 1.0
    map: Float[AnyArray, "100 100"] | None = None
    constraint: Scalar = 0.0
    limit: Scalar = 3.0
    scale: Float[AnyArray, "*columns"] | float = 1.0
    closure: ClosureMatcher | None = None

    def __post_init__(self) -> None:
        wanted = {"target_neutral": (100,), "driver_neutral": (100,), "target_jaw": (3,), "driver_jaw": (3,)}
        for name, shape in (wanted | {"map": (100, 100)}).items():
            value = getattr(self, name)
            if value is not None:
                value = jnp.asarray(value, jnp.float32)
                if value.shape != shape:
                    raise InputError(f"has shape {value.shape}, expected {shape}", field=name)
                object.__setattr__(self, name, value)
        if is_concrete(self.constraint) and not 0 <= float(self.constraint) <= 1:
            raise InputError(f"must lie in [0, 1], got {float(self.constraint):g}", field="constraint")

    def apply(self, channels: Channels, *, valid: Bool[AnyArray, "T"] | None = None, dt: Scalar = 0.04) -> Channels:
        """Retarget a clip; see `gagjax.stack` for stages. Missing frames repeat the last valid one; `dt` is unused."""
        return _apply(self, channels, valid)

    def by_parts(self, channels: Channels, *, valid: Bool[np.ndarray, "T"], dt: Scalar, walk: Walk) -> Channels:
        """`apply` for a clip too long for memory; see `gagjax.protocols.ByParts`."""
        stage = self
        if stage.driver_neutral is None:
            stage = dataclasses.replace(stage, driver_neutral=neutral_of_long(np.asarray(channels.expression), valid))
        if stage.driver_jaw is None and stage.target_jaw is not None:
            stage = dataclasses.replace(stage, driver_jaw=neutral_of_long(np.asarray(channels.jaw), valid))
        frames = len(valid)
        source = np.asarray(hold_last(np.arange(frames), valid))
        leaves: list[Any]
        leaves, tree = jax.tree.flatten(channels)
        outs = [x if walk.made(x) else walk.room(x.shape) for x in leaves]
        walk.about("expression")
        walk.begin(frames)
        # From the end, for a frame that repeats an earlier one must find it as it was.
        for start in reversed(range(0, frames, walk.part)):
            mine = source[np.minimum(np.arange(start, start + walk.part), frames - 1)]
            after = jax.tree.leaves(_frames(stage, jax.tree.unflatten(tree, [x[mine] for x in leaves])))
            for out, y in zip(outs, after, strict=True):
                out[start : start + walk.part] = np.asarray(y)[: frames - start]
            walk.step(walk.part, *leaves, *outs)
        return jax.tree.unflatten(tree, outs)

    def resting(self, channels: Channels, valid: Bool[AnyArray, "T"] | None = None) -> Retargeter:
        """A copy with the driver's neutral estimated from this clip, ready to run frame by frame."""
        if self.driver_neutral is None:
            self = dataclasses.replace(self, driver_neutral=neutral(channels.expression, valid))
        if self.driver_jaw is None and self.target_jaw is not None:
            self = dataclasses.replace(self, driver_jaw=neutral(channels.jaw, valid))
        return self

    def frame(self, channels: Channels) -> Channels:
        """Retarget frames with the given driver's neutral (zero if unset); any leading axes."""
        psi = jnp.asarray(channels.expression)
        own = jnp.zeros(psi.shape[-1]) if self.driver_neutral is None else self.driver_neutral
        deviation: AnyArray = psi - own
        if self.map is not None:
            deviation = jnp.einsum("ab,...b->...a", self.map, deviation, precision="highest")
        deviation = soft_limit(self.gain * deviation, self.scale, self.limit)
        aim = jnp.asarray(own if self.target_neutral is None else self.target_neutral) + deviation
        out = aim + self.constraint * (psi - aim)
        return channels._replace(expression=out, jaw=self._jaw(channels.jaw))

    def _jaw(self, jaw: Float[AnyArray, "*#batch 3"]) -> Float[AnyArray, "*#batch 3"]:
        if self.target_jaw is None:
            return jaw
        own = jnp.zeros(3) if self.driver_jaw is None else self.driver_jaw
        turn = jnp.matmul(so3.exp(-own), so3.exp(jnp.asarray(jaw)), precision="highest")
        turn = so3.exp(self.gain * so3.log(turn))
        return so3.log(jnp.matmul(so3.exp(self.target_jaw), turn, precision="highest"))


@pytree
class LiveRetargeter:
    """`Retargeter` as a causal filter over `Channels`: the driver's neutral is the given one, or zero if unset.

    Args:
        retargeter: The retargeting to apply.
    """

    retargeter: Retargeter

    def init(self, first: Channels) -> Channels:
        """The state before the first frame, see `gagjax.protocols`."""
        return self.retargeter.frame(jax.tree.map(jnp.asarray, first))

    def step(self, state: Channels, x: Channels) -> tuple[Channels, Channels]:
        """One observed frame, see `gagjax.protocols.Filter`."""
        y = self.retargeter.frame(x)
        return y, y

    def predict(self, state: Channels) -> tuple[Channels, Channels]:
        """One frame without an observation, see `gagjax.protocols.Filter`."""
        return state, state


@jax.jit
def _apply(stage: Retargeter, channels: Channels, valid: AnyArray | None) -> Channels:
    return _frames(stage.resting(channels, valid), hold_last(channels, valid))


@jax.jit
def _frames(stage: Retargeter, before: Channels) -> Channels:
    after = stage.frame(before)
    return after if stage.closure is None else after._replace(expression=stage.closure.match(before, after))


def default_stage() -> Retargeter:
    """The stage that `Stack.default` runs: relative to the driver's own neutral, amplitude kept, outliers limited.

    It leaves ordinary tracks unchanged. Pass the target's neutral to `Retargeter` to retarget to another face.
    """
    return Retargeter()


def live_stage() -> LiveRetargeter:
    """The same as a causal filter, for `Stack.live`; deviations are from zero."""
    return LiveRetargeter(default_stage())
