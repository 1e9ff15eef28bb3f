"""Pictures of an avatar along a track."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from gagjax.avatars.parameters import Parameters
from gagjax.camera import Intrinsics, from_track
from gagjax.conventions.head_pose import folded
from gagjax.errors import InputError
from gagjax.protocols import Avatar, DrawsSmaller, FinishesPictures
from gagjax.splatting import rasterize
from gagjax.track import SHAPES, Track
from gagjax.typing import AnyArray

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
        track: Its performance, the head's pose and the camera; the identity's shape is the track's where it has one, else
            the model's mean.
        size: Width and height. A camera whose picture is not square is shown whole, with borders.
        background: Colour behind the head.
        backend: Of `gagjax.splatting.rasterize`.

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
    track = folded(track, avatar.model, shape if fixed else shape[0])
    lens = None if track.intrinsics is None else np.asarray(track.intrinsics.squared(size).K)
    channels = [np.asarray(x) for x in (track.transform, track.expression, track.jaw, track.eyes, neck)]
    colour = jnp.asarray(background, jnp.float32)
    for i in range(len(track)):
        now = (x[i] for x in channels)
        seen = lens if lens is None or lens.ndim == 2 else lens[i]
        yield np.asarray(picture(avatar, shape if fixed else shape[i], *now, colour, size, backend, seen))


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
    shape: Float[AnyArray, "S"],
    transform: Float[AnyArray, "3 4"],
    expression: Float[AnyArray, "100"],
    jaw: Float[AnyArray, "3"],
    eyes: Float[AnyArray, "6"],
    neck: Float[AnyArray, "3"],
    background: Float[AnyArray, "3"],
    size: int = 512,
    backend: str = "auto",
    lens: Float[AnyArray, "3 3"] | None = None,
) -> Float[Array, "H W 3"]:
    """One picture; differentiable in every array, and jitted once a size.

    Args:
        avatar: Whom to draw.
        shape: FLAME shape coefficients.
        transform: Camera `[R | t]` of the head at rest (`head_pose.folded`).
        expression: FLAME expression coefficients.
        jaw: Jaw rotation, axis-angle, radians.
        eyes: Left and right eye rotation, axis-angle, radians.
        neck: Neck rotation, axis-angle, radians.
        background: Colour behind the head.
        size: Width and height in pixels.
        backend: Of `gagjax.splatting.rasterize`.
        lens: Intrinsics in pixels of this picture; None is GAGAvatar's.

    Returns:
        The picture, not clipped.
    """
    camera = from_track(transform, size, intrinsics=None if lens is None else Intrinsics(lens, size, size))
    parameters = Parameters.of(expression, jaw, eyes, neck, shape, camera)
    return drawn(avatar, parameters, background, backend=backend)[0]


def drawn(
    avatar: Avatar, parameters: Parameters, background: Float[AnyArray, "3"], *, backend: str = "auto"
) -> tuple[Float[Array, "H W 3"], Float[Array, "H W"]]:
    """One frame's picture and the avatar's coverage, differentiable in everything.

    Args:
        avatar: Whom to draw.
        parameters: The frame, with its camera.
        background: Colour behind the head.
        backend: Of `gagjax.splatting.rasterize`.
    """
    features, coverage = mapped(avatar, parameters, background, backend=backend)
    if not isinstance(avatar, FinishesPictures):
        return features, coverage
    picture = avatar.finish(features)
    return picture, jax.image.resize(coverage, picture.shape[:2], "linear")


def mapped(
    avatar: Avatar, parameters: Parameters, background: Float[AnyArray, "3"], *, backend: str = "auto"
) -> tuple[Float[Array, "h w C"], Float[Array, "h w"]]:
    """What the avatar's Gaussians give before it makes a picture of them (`finish`); arguments as in `drawn`.

    Raises:
        InputError: If the avatar is drawn at a fraction of the picture that is no whole number of pixels.
    """
    camera = parameters.camera
    if camera is None:
        raise ValueError("the parameters have no camera")
    factor = avatar.factor if isinstance(avatar, DrawsSmaller) else 1
    if camera.width % factor or camera.height % factor:
        raise InputError(f"is {camera.width}, no multiple of {factor}", field="size", fix=f"Use a multiple of {factor}")
    if factor > 1:
        shrunk = camera.K * jnp.asarray([1 / factor, 1 / factor, 1.0])[:, None]
        camera = dataclasses.replace(camera, K=shrunk, width=camera.width // factor, height=camera.height // factor)
        parameters = dataclasses.replace(parameters, camera=camera)
    gaussians = avatar.gaussians(parameters)
    # Behind the head there is colour, and nothing in the other channels.
    behind = jnp.pad(background, (0, gaussians.features.shape[-1] - 3))
    return rasterize(gaussians, camera, backend=backend, background=behind)  # type: ignore[arg-type]
