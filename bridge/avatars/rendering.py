"""Pictures of an avatar along a track."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from bridge.avatars.avatar import Avatar
from bridge.avatars.parameters import Parameters
from bridge.camera import from_track
from bridge.rasterizer import rasterize
from gagjax.errors import InputError
from gagjax.track import SHAPES, Track

BACKGROUND = (0.80, 0.83, 0.86)


def frames(
    avatar: Avatar,
    track: Track,
    *,
    size: int = 512,
    background: tuple[float, float, float] = BACKGROUND,
    backend: str = "auto",
) -> Iterator[Float[np.ndarray, "H W 3"]]:
    """The pictures of a track one by one; memory does not grow with its length.

    Args:
        avatar: Whom to draw.
        track: Its performance and camera; the identity's shape is the track's where it has one, else the model's mean.
        size: Width and height.
        background: Colour behind the head.
        backend: Of `bridge.rasterize`.

    Yields:
        float32 pictures, not clipped; the built-in avatar's lie in [0, 1].

    Raises:
        InputError: If the size is not positive.
    """
    if size < 1:
        raise InputError(f"is {size}", field="size", fix="Use a positive number of pixels")
    shape = np.zeros(SHAPES, np.float32) if track.shape is None else np.asarray(track.shape, np.float32)
    fixed = shape.ndim == 1
    neck = np.zeros((len(track), 3), np.float32) if track.neck is None else track.neck
    channels = [np.asarray(x) for x in (track.transform, track.expression, track.jaw, track.eyes, neck)]
    colour = jnp.asarray(background, jnp.float32)
    for i in range(len(track)):
        now = (x[i] for x in channels)
        yield np.asarray(picture(avatar, shape if fixed else shape[i], *now, colour, size, backend))


def render(avatar: Avatar, track: Track, **options: Any) -> Float[np.ndarray, "T H W 3"]:
    """All pictures of a track as one array; arguments as in `frames`."""
    size = options.get("size", 512)
    out = np.empty((len(track), size, size, 3), np.float32)
    for i, frame in enumerate(frames(avatar, track, **options)):
        out[i] = frame
    return out


@jax.jit(static_argnames=("size", "backend"))
def picture(
    avatar: Avatar,
    shape: Float[Array, "S"],
    transform: Float[Array, "3 4"],
    expression: Float[Array, "100"],
    jaw: Float[Array, "3"],
    eyes: Float[Array, "6"],
    neck: Float[Array, "3"],
    background: Float[Array, "3"],
    size: int = 512,
    backend: str = "auto",
) -> Float[Array, "H W 3"]:
    """One picture; differentiable in every array, and jitted once a size."""
    camera = from_track(transform, size)
    pose = jnp.concatenate([jnp.zeros(3), jaw])  # the head's own turn lies in the camera
    return drawn(avatar, Parameters(expression, pose, eyes, neck, shape, camera), background, backend=backend)[0]


def drawn(
    avatar: Avatar, parameters: Parameters, background: Float[Array, "3"], *, backend: str = "auto"
) -> tuple[Float[Array, "H W 3"], Float[Array, "H W"]]:
    """One frame's picture and the avatar's coverage, differentiable in everything.

    Args:
        avatar: Whom to draw.
        parameters: The frame, with its camera.
        background: Colour behind the head.
        backend: Of `bridge.rasterize`.
    """
    if parameters.camera is None:
        raise ValueError("the parameters have no camera")
    gaussians = avatar.gaussians(parameters)
    return rasterize(gaussians, parameters.camera, backend=backend, background=background)  # type: ignore[arg-type]
