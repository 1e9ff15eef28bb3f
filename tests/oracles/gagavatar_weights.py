"""Synthetic weights and inputs of the GAGAvatar network by a rule: any implementation can regenerate them.

Every tensor comes from its own stream, seeded by its name; the gains keep activations of order one throughout.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterable

import numpy as np

SEED = 1
GAINS = (
    ("style_mlp", 1.4),
    ("gs_generator", 1.4),
    ("conv_body_up", 0.8),
    ("condition_scale", 0.4),
    ("condition_shift", 0.6),
    ("to_rgb", 0.3),
)


def stream(key: str, seed: int = SEED) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(zlib.crc32(f"{seed}:{key}".encode())))


def normal(key: str, shape: tuple[int, ...], seed: int = SEED) -> np.ndarray:
    return stream(key, seed).standard_normal(shape, dtype=np.float32)


def weight(key: str, shape: tuple[int, ...], seed: int = SEED) -> np.ndarray:
    """One tensor of the state dict; the first matching line wins."""
    n = normal(key, shape, seed)
    if ".noises." in key or key == "head_base" or key.endswith("constant_input.weight"):
        return n
    if key.endswith(("cls_token", "pos_embed", "mask_token")):
        return _affine(n, 0, 0.5)
    if key.endswith(".modulation.bias") or ("condition_scale." in key and key.endswith(".2.bias")):
        return _affine(n, 1, 0.02)
    if key.endswith("bias"):
        return _affine(n, 0, 0.02)
    if n.ndim == 1:
        return _affine(n, 0.1 if n.size == 1 else 1, 0.02)
    gain = 0.3 if key.endswith(".modulation.weight") else next((g for part, g in GAINS if part in key), 1.0)
    fan_in = n.size / shape[1 if n.ndim == 5 else 0]
    return _affine(n, 0, gain / math.sqrt(fan_in))


def weights(keys: Iterable[tuple[str, tuple[int, ...]]], seed: int = SEED) -> dict[str, np.ndarray]:
    return {key: weight(key, tuple(shape), seed) for key, shape in keys}


def inputs() -> dict[str, np.ndarray]:
    """The inputs of the golden run, float32."""

    def n(name: str, shape: tuple[int, ...]) -> np.ndarray:
        return normal(f"input:{name}", shape).astype(np.float64)

    def rep(a: np.ndarray, r: int) -> np.ndarray:
        return a.repeat(r, -1).repeat(r, -2)

    dirs = n("dirs", (4, 3))
    arrays = {
        "image": np.clip(
            0.5 + 0.2 * rep(n("image_coarse", (1, 3, 74, 74)), 7) + 0.05 * n("image_fine", (1, 3, 518, 518)), 0, 1
        ),
        "dirs": dirs / np.linalg.norm(dirs, axis=1, keepdims=True),
        "global_feat": n("global_feat", (2, 768)),
        "conv_feat": n("conv_feat", (2, 256, 24, 40)),
        "t_points": 0.3 * n("t_points", (1, 5023, 3)),
        "styleunet_in": 0.7 * rep(n("style_a", (1, 32, 16, 16)), 32)
        + 0.5 * rep(n("style_b", (1, 32, 128, 128)), 4)
        + 0.2 * n("style_c", (1, 32, 512, 512)),
        "transforms": np.stack([_transform(i) for i in range(6)]),
    }
    return {name: value.astype(np.float32) for name, value in arrays.items()}


def _transform(index: int) -> np.ndarray:
    r = 0.4 * normal(f"input:rot{index}", (3,)).astype(np.float64)
    if index % 2:
        r = r + np.array([0, math.pi, 0])
    angle = np.linalg.norm(r)
    x, y, z = r / angle
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    rotation = np.eye(3) + math.sin(angle) * cross + (1 - math.cos(angle)) * cross @ cross
    t = normal(f"input:trans{index}", (3,)).astype(np.float64) * [0.1, 0.1, 0.5] + [0, 0, 9.3]
    return np.concatenate([rotation, t[:, None]], 1)


def _affine(n: np.ndarray, offset: float, gain: float) -> np.ndarray:
    """offset + gain * n, in float64, rounded once."""
    return (offset + gain * n.astype(np.float64)).astype(np.float32)
