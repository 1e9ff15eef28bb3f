"""A rig: several calibrated cameras that film one head at the same time.

The track says where the head is in front of the first camera. Every other camera is known relative to the first, so a
correction of the head's motion moves it in all pictures at once.
"""

from __future__ import annotations

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from gagjax.camera import Camera, Intrinsics, from_track
from gagjax.pytree import pytree, static
from gagjax.typing import AnyArray


@pytree
class Rig:
    """The cameras of a clip, and which picture is whose.

    Args:
        time: Frame of each picture, (N,).
        camera: Camera of each picture, (N,).
        relative: From the first camera to each, `X_c = X_first @ R + t` in the axes and units of a track's `transform`:
            (C, 3, 4), or (C, T, 3, 4) where the rig moves.
        lens: Intrinsics in pixels of the square pictures, (C, 3, 3).
        names: Names of the cameras.
    """

    time: Int[AnyArray, "N"]
    camera: Int[AnyArray, "N"]
    relative: Float[AnyArray, "C 3 4"] | Float[AnyArray, "C T 3 4"]
    lens: Float[AnyArray, "C 3 3"]
    names: tuple[str, ...] = static(default=())

    def __len__(self) -> int:
        return self.lens.shape[0]

    def transform(
        self, reference: Float[AnyArray, "3 4"], time: Int[AnyArray, ""], camera: Int[AnyArray, ""]
    ) -> Float[Array, "3 4"]:
        """From the head at rest to a camera.

        Args:
            reference: From the head at rest to the first camera.
            time: The frame.
            camera: The camera.
        """
        relative = jnp.asarray(self.relative)[camera]
        relative = relative[time] if relative.ndim == 3 else relative
        return moved_by(reference, relative)

    def view(
        self, reference: Float[AnyArray, "3 4"], time: Int[AnyArray, ""], camera: Int[AnyArray, ""], size: int
    ) -> Camera:
        """The camera of one picture of `size` pixels; arguments as in `transform`."""
        lens = Intrinsics(jnp.asarray(self.lens)[camera], size, size)
        return from_track(self.transform(reference, time, camera), size, intrinsics=lens)

    def pictures(self, frames: Bool[np.ndarray, "T"], without: Sequence[int] | np.ndarray = ()) -> np.ndarray:
        """The pictures of some frames by all cameras but some, as indices."""
        return np.flatnonzero(frames[np.asarray(self.time)] & ~np.isin(np.asarray(self.camera), without))


def moved_by(reference: Float[AnyArray, "3 4"], relative: Float[AnyArray, "3 4"]) -> Float[Array, "3 4"]:
    """One rigid map after another, both `[R | t]` for row vectors."""
    rotation = jnp.matmul(reference[:, :3], relative[:, :3], precision="highest")
    shift = jnp.matmul(reference[:, 3], relative[:, :3], precision="highest") + relative[:, 3]
    return jnp.concatenate([rotation, shift[:, None]], 1)


def between(first: Float[np.ndarray, "*T 3 4"], other: Float[np.ndarray, "*T 3 4"]) -> Float[np.ndarray, "*T 3 4"]:
    """From the first camera to another, both given from the world: `relative` of a `Rig`, float64.

    Args:
        first: World to the first camera, `[R | t]` for row vectors.
        other: World to the other camera.
    """
    first, other = np.asarray(first, np.float64), np.asarray(other, np.float64)
    rotation = np.swapaxes(first[..., :3], -1, -2) @ other[..., :3]
    shift = other[..., 3] - np.einsum("...a,...ab->...b", first[..., 3], rotation)
    return np.concatenate([rotation, shift[..., None]], -1)
