"""The interface to JAX: tensors to JAX Gaussians for rasterization, and rasterized features back to torch.

An identity is converted once. Per frame only the vertices change, and the features are returned without a copy.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
import torch
from jaxtyping import Array, Float
from torch import Tensor

import bridge
from bridge.gagavatar.identity import Identity
from bridge.gagavatar.lifting import FOCAL, SCALE
from gagjax.typing import AnyArray

if TYPE_CHECKING:
    from gagjax.camera import Camera
    from gagjax.splatting.gaussians import Gaussians


def to_jax(tensor: Tensor) -> Any:
    """A tensor as a JAX array: the same memory if JAX can use the device, else a copy on the host."""
    tensor = tensor.detach()
    if tensor.is_cuda and jax.default_backend() != "gpu":
        tensor = tensor.cpu()
    return bridge.to_jax(tensor, copy="allow")


def to_torch(array: AnyArray) -> Tensor:
    """A JAX or NumPy array as a tensor that shares its memory."""
    return torch.from_numpy(array) if isinstance(array, np.ndarray) else bridge.to_torch(array)


def resting(identity: Identity) -> Any:
    """An identity's Gaussians as `bridge.Gaussians`, those of the vertices at the origin. Computed once."""
    head = identity.points.new_zeros(identity.vertices, 3)
    parts = (torch.cat([head, identity.points]), identity.covariances(), identity.opacities, identity.features)
    return bridge.Gaussians(*(to_jax(part) for part in parts))


def place(gaussians: Gaussians, vertices: Float[AnyArray, "V 3"] | Float[Tensor, "V 3"]) -> Gaussians:
    """The Gaussians of one frame: the first V means are its vertices.

    Args:
        gaussians: From `resting`.
        vertices: FLAME vertices, (V, 3), metres.
    """
    return dataclasses.replace(
        gaussians,
        means=_put(
            gaussians.means,
            jnp.asarray(np.asarray(vertices) if isinstance(vertices, Tensor) else vertices, jnp.float32),
        ),
    )


@jax.jit
def _put(means: Float[Array, "N 3"], vertices: Float[Array, "V 3"]) -> Float[Array, "N 3"]:
    return means.at[: len(vertices)].set(SCALE * vertices)


def camera(transform: Float[AnyArray, "3 4"], size: int) -> Camera:
    """The `bridge.Camera` of a track's `[R | t]` for a square image."""
    from gagjax.camera import from_track

    return from_track(jnp.asarray(transform, jnp.float32), size=size, focal=FOCAL)


def rasterize(gaussians: Gaussians, transform: Float[AnyArray, "3 4"], size: int, backend: str = "auto") -> Tensor:
    """Features over black, (size, size, C)."""
    features, _ = bridge.rasterize(gaussians, camera(transform, size), backend=backend)
    return to_torch(features)


def rasterize_clip(
    gaussians: Gaussians, vertices: AnyArray, transforms: AnyArray, size: int, backend: str = "auto"
) -> Tensor:
    """Features of a few frames, (T, size, size, C); a single frame is passed on without a copy.

    Args:
        gaussians: From `resting`.
        vertices: FLAME vertices, (T, V, 3), metres.
        transforms: Cameras `[R | t]`, (T, 3, 4).
        size: Width and height.
        backend: As in `bridge.rasterize`.
    """
    frames = [rasterize(place(gaussians, v), t, size, backend) for v, t in zip(vertices, transforms, strict=True)]
    return frames[0][None] if len(frames) == 1 else torch.stack(frames)


@functools.partial(jax.jit, static_argnames=("size", "backend"))
def drawn(
    gaussians: Gaussians,
    vertices: Float[AnyArray, "V 3"],
    transform: Float[AnyArray, "3 4"],
    size: int,
    backend: str = "auto",
) -> Float[Array, "H W C"]:
    """Features over black of one frame as one compiled program: with its arguments on a GPU, nothing crosses to the host.

    Args:
        gaussians: What `resting` returned.
        vertices: FLAME vertices, (V, 3), metres.
        transform: Camera `[R | t]`, (3, 4).
        size: Width and height.
        backend: As in `bridge.rasterize`.

    Returns:
        Features, (size, size, C).
    """
    placed = dataclasses.replace(gaussians, means=_put(gaussians.means, vertices))
    return bridge.rasterize(placed, camera(transform, size), backend=backend)[0]


def rasterize_with_gradients(
    means: Tensor, covariances: Tensor, opacities: Tensor, features: Tensor, transform: Tensor, size: int
) -> Tensor:
    """Features over black of one frame, (size, size, C), with gradients into the first four arguments."""
    return _drawn_with_gradients(size)(means, covariances, opacities, features, transform.detach())


@functools.cache
def _drawn_with_gradients(size: int) -> Any:
    """One function a size: the camera is an argument, so a training loop compiles once."""

    def in_jax(means: Array, covariances: Array, opacities: Array, features: Array, transform: Array) -> Array:
        return bridge.rasterize(bridge.Gaussians(means, covariances, opacities, features), camera(transform, size))[0]

    return bridge.jax_function(in_jax)
