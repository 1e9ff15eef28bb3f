"""Five scenes on which rasterizers are compared."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.gpu.settings import Settings
from gagjax.camera import Camera, from_track
from gagjax.splatting.gaussians import Gaussians

NAMES = ("ordinary", "near-opaque stack", "small and faint", "needles, some behind the camera", "lifted sheets")


def camera(size: int, distance: float = 9.0) -> Camera:
    """GAGAvatar's lens, looking along z."""
    shift = [[0.02], [-0.01], [distance]]
    return from_track(np.concatenate([np.eye(3), shift], 1).astype(np.float32), size=size)


def scene(name: str, channels: int, settings: Settings) -> tuple[Gaussians, Camera]:
    """One of `NAMES`: Gaussians and a camera.

    "lifted sheets" is as large as a GAGAvatar: 5,023 Gaussians on an ellipsoid and two sheets of 296 x 296.
    """
    rng = np.random.default_rng(NAMES.index(name))
    size = settings.size(512, 48)
    if name == "lifted sheets":
        return _sheets(channels, settings.size(296, 16), settings.size(5023, 100), size, rng), camera(size, 10.0)
    count = settings.size(20_000, 120)
    median = {"small and faint": 0.004, "needles, some behind the camera": 0.02}.get(name, 0.03)
    spread = 1.2 if name.startswith("needles") else 0.6
    means = 0.35 * rng.normal(size=(count, 3))
    opacities = rng.uniform(0, 0.95, count)
    if name == "near-opaque stack":
        opacities = np.full(count, 0.94)
    if name == "small and faint":
        opacities = rng.uniform(0, 0.05, count)
    if name.startswith("needles"):
        means[: count // 10, 2] -= 12.0
    scales = median * np.exp(spread * rng.normal(size=(count, 3)))
    return _made(means, scales, opacities, channels, rng), camera(size)


def _sheets(channels: int, side: int, head: int, size: int, rng: np.random.Generator) -> Gaussians:
    directions = rng.normal(size=(head, 3))
    parts = [directions / np.linalg.norm(directions, axis=1, keepdims=True) * [0.5, 0.65, 0.5]]
    x, y = np.meshgrid(*[np.linspace(-0.83, 0.83, side)] * 2)
    height = np.sqrt(np.maximum(0, 1 - (x / 0.5) ** 2 - (y / 0.65) ** 2))
    parts += [np.stack([x, y, sign * 0.5 * height], -1).reshape(-1, 3) for sign in (1, -1)]
    means = np.concatenate(parts)
    opacities = 0.95 / (1 + np.exp(-rng.normal(size=len(means))))
    pixel = 10.0 / (6 * size)  # world units of a pixel at the head
    scales = np.minimum(np.exp(0.5 * rng.normal(size=means.shape)) * 1.8 * pixel, 0.05)
    return _made(means, scales, opacities, channels, rng)


def _made(
    means: np.ndarray, scales: np.ndarray, opacities: np.ndarray, channels: int, rng: np.random.Generator
) -> Gaussians:
    quaternions, features = rng.normal(size=(len(means), 4)), rng.normal(size=(len(means), channels))
    arrays = (np.float32(v) for v in (means, scales, quaternions, opacities, features))
    return jax.tree.map(jnp.asarray, Gaussians.from_scales(*arrays))


def on(device: jax.Device, gaussians: Gaussians, view: Camera) -> tuple[Gaussians, Camera]:
    """Both on another device."""
    moved = jax.device_put((gaussians, view.viewmat, view.K), device)
    return moved[0], dataclasses.replace(view, viewmat=moved[1], K=moved[2])
