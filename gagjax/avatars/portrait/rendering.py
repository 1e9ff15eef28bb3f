"""Render a portrait avatar along a track, over its own background or a plain one."""

from __future__ import annotations

from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from gagjax.avatars.parameters import Parameters
from gagjax.avatars.portrait.avatar import PortraitAvatar
from gagjax.avatars.rendering import drawn
from gagjax.camera import Intrinsics, from_track
from gagjax.conventions.head_pose import folded
from gagjax.track import SHAPES, Track
from gagjax.typing import AnyArray


def frames(
    avatar: PortraitAvatar,
    track: Track,
    behind: Float[np.ndarray, "H W 3"] | tuple[float, float, float],
    *,
    size: int = 512,
    backend: str = "auto",
) -> Iterator[Float[np.ndarray, "size size 3"]]:
    """Render the frames of a track one by one; memory does not grow with its length.

    Args:
        avatar: The avatar to render.
        track: Performance, head pose and camera; its shape is ignored.
        behind: A background image or colour.
        size: Width and height.
        backend: As in `gagjax.splatting.rasterize`.

    Yields:
        float32 images in [0, 1].
    """
    plate = jax.image.resize(jnp.asarray(behind), (size, size, 3), "linear") if np.ndim(behind) == 3 else behind
    plate = jnp.broadcast_to(jnp.asarray(plate, jnp.float32), (size, size, 3))
    neck = np.zeros((len(track), 3), np.float32) if track.neck is None else track.neck
    track = folded(track, avatar.model, np.zeros(SHAPES, np.float32))
    lenses = None if track.intrinsics is None else np.asarray(track.intrinsics.squared(size).K)
    for i in range(len(track)):
        lens = None if lenses is None else Intrinsics(lenses if lenses.ndim == 2 else lenses[i], size, size)
        parameters = Parameters.of(
            jnp.asarray(track.expression[i]),
            jnp.asarray(track.jaw[i]),
            jnp.asarray(track.eyes[i]),
            jnp.asarray(neck[i]),
            camera=from_track(jnp.asarray(track.transform[i]), size, intrinsics=lens),
        )
        yield np.asarray(composed(avatar, parameters, plate, backend=backend))


@jax.jit(static_argnames=("backend",))
def composed(
    avatar: PortraitAvatar, parameters: Parameters, plate: Float[AnyArray, "H W 3"], *, backend: str = "auto"
) -> Float[AnyArray, "H W 3"]:
    """One frame composited over an image of its size."""
    picture, coverage = drawn(avatar, parameters, jnp.zeros(3), backend=backend)
    return picture + (1 - coverage[..., None]) * plate
