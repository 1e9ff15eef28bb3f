"""Motion fitted jointly with appearance: small track corrections, in units of a prior on their size."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from gagjax import so3
from gagjax.avatars.parameters import Parameters
from gagjax.camera import Intrinsics, from_track
from gagjax.conventions.head_pose import has_pose
from gagjax.errors import InputError
from gagjax.pytree import pytree
from gagjax.track import Track
from gagjax.typing import AnyArray

# Plausible size of a correction, one unit each: a tenth of a coefficient's prior deviation, a degree of jaw and head,
# two of the eyes, 4 mm laterally and 20 mm in depth (at five world units to a metre). This is a prior of the fit, not a
# model of one tracker: benchmarks perturb tracks with noise of other sizes.
_UNITS = (
    np.full(100, 0.1),
    np.full(3, np.deg2rad(1.0)),
    np.full(6, np.deg2rad(2.0)),
    np.full(3, np.deg2rad(1.0)),
    np.array([0.02, 0.02, 0.1]),
)
COLUMNS = sum(map(len, _UNITS))
_SPLIT = np.cumsum([len(x) for x in _UNITS])[:-1]


@pytree
class Motion:
    """The arrays of a track used by a fit, and the unit of its corrections.

    Args:
        expression: (T, 100).
        jaw: (T, 3).
        eyes: (T, 6).
        neck: (T, 3).
        transform: (T, 3, 4).
        unit: The prior's size in each column, (115,); 0 for fixed columns.
        lens: Intrinsics in pixels of the frames, (3, 3) or (T, 3, 3); None means GAGAvatar's.
    """

    expression: Float[AnyArray, "T 100"]
    jaw: Float[AnyArray, "T 3"]
    eyes: Float[AnyArray, "T 6"]
    neck: Float[AnyArray, "T 3"]
    transform: Float[AnyArray, "T 3 4"]
    unit: Float[AnyArray, "115"]
    lens: Float[AnyArray, "3 3"] | Float[AnyArray, "T 3 3"] | None = None

    @classmethod
    def of(cls, track: Track, size: int | None = None) -> Motion:
        """The motion of a track. Expression columns that never move stay fixed: the tracker does not estimate them.

        Args:
            track: The track, its head at rest (`head_pose.folded`).
            size: Width and height of the frames, if the track has intrinsics.

        Raises:
            InputError: If the head itself moves.
        """
        if has_pose(track.extra):
            raise InputError("moves the head itself", field="track", fix="Pass head_pose.folded(track, model)")
        own = track.intrinsics is not None and size is not None
        neck = np.zeros((len(track), 3)) if track.neck is None else track.neck
        unit = np.concatenate(_UNITS)
        unit[:100] *= np.ptp(np.asarray(track.expression), axis=0) > 0
        values: tuple[Any, ...] = (track.expression, track.jaw, track.eyes, neck, track.transform, unit)
        if own:
            values = (*values, track.intrinsics.squared(size).K)  # type: ignore[union-attr, arg-type]
        return cls(*(jnp.asarray(x, jnp.float32) for x in values))

    def frame(
        self, index: int | Int[AnyArray, ""], change: Float[AnyArray, "115"], size: int
    ) -> tuple[Parameters, Float[Array, "3 4"]]:
        """One corrected frame with its camera for images of `size`, and the camera in the track's convention."""
        expression, jaw, eyes, turn, shift = jnp.split(change * self.unit, _SPLIT)
        moved = moved_camera(self.transform[index], turn, shift)
        parameters = Parameters.of(
            self.expression[index] + expression,
            self.jaw[index] + jaw,
            self.eyes[index] + eyes,
            self.neck[index],
            camera=from_track(moved, size, intrinsics=self._lens(index, size)),
        )
        return parameters, moved

    def _lens(self, index: int | Int[AnyArray, ""], size: int) -> Intrinsics | None:
        if self.lens is None:
            return None
        return Intrinsics(self.lens if self.lens.ndim == 2 else self.lens[index], size, size)


def moved_camera(
    transform: Float[AnyArray, "3 4"], turn: Float[AnyArray, "3"], shift: Float[AnyArray, "3"]
) -> Float[Array, "3 4"]:
    """A track's camera, rotated about the head's origin and translated."""
    rotation = jnp.matmul(so3.exp(turn), transform[:, :3], precision="highest")
    return jnp.concatenate([rotation, (transform[:, 3] + shift)[:, None]], 1)


def corrected(track: Track, changes: Float[AnyArray, "T 115"]) -> Track:
    """The track with corrections applied."""
    motion = Motion.of(track)
    expression, jaw, eyes, turn, shift = jnp.split(jnp.asarray(changes) * motion.unit, _SPLIT, axis=1)
    return dataclasses.replace(
        track,
        expression=np.asarray(motion.expression + expression),
        jaw=np.asarray(motion.jaw + jaw),
        eyes=np.asarray(motion.eyes + eyes),
        transform=np.asarray(jax.vmap(moved_camera)(motion.transform, turn, shift)),
    )
