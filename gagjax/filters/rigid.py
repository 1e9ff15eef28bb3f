"""Filtering of rigid transforms: rotation and translation together."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax.numpy as jnp
from jaxtyping import Float

from gagjax.protocols import Bridges, TimeStepped
from gagjax.pytree import pytree
from gagjax.typing import AnyArray, Condition, Scalar, Tree


@pytree
class RigidTransform:
    """Filter a rigid transform `[R | t]`: R on SO(3), and the image of a pivot point.

    If t itself were filtered, a jump of R alone would displace the head; the image of a point inside the head moves
    only when the head does.

    Args:
        rotation: A filter of rotation matrices.
        translation: A filter of vectors.
        pivot: The point whose image is filtered, (3,), in the units of t; the world's origin by default, which in
            GAGAvatar's tracks is the head. `X_camera = X @ R + t`, as in `Track.transform`.

    Example:
        >>> from gagjax.filters import Ema, RotationEma
        >>> RigidTransform(RotationEma(0.5), Ema(0.5)).pivot.tolist()
        [0.0, 0.0, 0.0]
    """

    rotation: Any
    translation: Any
    pivot: Float[AnyArray, "3"] = dataclasses.field(default_factory=lambda: jnp.zeros(3, jnp.float32))

    def with_dt(self, dt: Scalar) -> RigidTransform:
        """The filter for frames that last `dt` seconds."""
        parts = {name: getattr(self, name) for name in ("rotation", "translation")}
        return dataclasses.replace(
            self, **{name: each.with_dt(dt) if isinstance(each, TimeStepped) else each for name, each in parts.items()}
        )

    def init(self, first: Float[AnyArray, "*#batch 3 4"]) -> tuple[Any, Any]:
        """The states of the two filters."""
        rotation, place = self._split(first)
        return self.rotation.init(rotation), self.translation.init(place)

    def step(self, state: tuple[Any, Any], x: Float[AnyArray, "*#batch 3 4"]) -> tuple[tuple[Any, Any], Any]:
        """Advance both filters by one observed frame."""
        rotation, place = self._split(x)
        first, rotation = self.rotation.step(state[0], rotation)
        second, place = self.translation.step(state[1], place)
        return (first, second), self._join(rotation, place)

    def predict(self, state: tuple[Any, Any]) -> tuple[tuple[Any, Any], Any]:
        """Advance both filters by one missing frame."""
        first, rotation = self.rotation.predict(state[0])
        second, place = self.translation.predict(state[1])
        return (first, second), self._join(rotation, place)

    def observe(
        self, state: tuple[Any, Any], x: AnyArray, seen: Condition | None = None
    ) -> tuple[tuple[Any, Any], tuple[Any, Any]]:
        """One frame, for Kalman-type parts; see `gagjax.protocols.HasAdjoint`."""
        rotation, place = self._split(x)
        first, turned = self.rotation.observe(state[0], rotation, seen)
        second, moved = self.translation.observe(state[1], place, seen)
        return (first, second), (turned, moved)

    def adjoint(self, later: tuple[Any, Any], info: tuple[Any, Any]) -> tuple[Any, tuple[Any, Any]]:
        """One step of the backward pass of both."""
        rotation, first = self.rotation.adjoint(later[0], info[0])
        place, second = self.translation.adjoint(later[1], info[1])
        return self._join(rotation, place), (first, second)

    def last(self, frame: AnyArray) -> tuple[Any, Any]:
        """The adjoint after the last frame."""
        rotation, place = self._split(frame)
        return self.rotation.last(rotation), self.translation.last(place)

    def factors(self, frame: AnyArray) -> tuple[Any, Any]:
        """See `gagjax.protocols.Bridges`; of the parts that have it."""
        parts = zip((self.rotation, self.translation), self._split(frame), strict=True)
        first, second = (part.factors(x) if isinstance(part, Bridges) else None for part, x in parts)
        return first, second

    def advanced(self, factors: Tree, state: Tree, info: Tree) -> tuple[Any, Any]:
        """See `gagjax.protocols.Bridges`."""
        parts = zip((self.rotation, self.translation), factors, state, info, strict=True)
        pairs = [part.advanced(f, s, i) if isinstance(part, Bridges) else (f, s) for part, f, s, i in parts]
        return (pairs[0][0], pairs[1][0]), (pairs[0][1], pairs[1][1])

    def bridge(self, y: Tree, later: Tree, info: Tree, state: Tree, factors: Tree, ahead: Tree) -> tuple[Any, Any]:
        """See `gagjax.protocols.Bridges`."""
        rotation, place = self._split(y)
        first, second = ahead
        if isinstance(self.rotation, Bridges):
            rotation, first = self.rotation.bridge(rotation, later[0], info[0], state[0], factors[0], first)
        if isinstance(self.translation, Bridges):
            place, second = self.translation.bridge(place, later[1], info[1], state[1], factors[1], second)
        return self._join(rotation, place), (first, second)

    def unbridged(self, frame: AnyArray) -> tuple[Any, Any]:
        """See `gagjax.protocols.Bridges`."""
        parts = zip((self.rotation, self.translation), self._split(frame), strict=True)
        first, second = (part.unbridged(x) if isinstance(part, Bridges) else None for part, x in parts)
        return first, second

    def _split(self, x: AnyArray) -> tuple[Any, Any]:
        x = jnp.asarray(x)
        rotation = x[..., :3]
        return rotation, x[..., 3] + jnp.sum(self.pivot[:, None] * rotation, axis=-2)

    def _join(self, rotation: AnyArray, place: AnyArray) -> Any:
        return jnp.concatenate([rotation, (place - jnp.sum(self.pivot[:, None] * rotation, axis=-2))[..., None]], -1)
