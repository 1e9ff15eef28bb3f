"""FLAME in float64 NumPy, written from the formulas, and the synthetic model of the golden FLAME set."""

from __future__ import annotations

import zlib
from functools import lru_cache

import numpy as np

from gagjax.flame import FlameModel

PARENTS = (-1, 0, 1, 1, 1)


def stream(key: str, seed: int = 1) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(zlib.crc32(f"{seed}:{key}".encode())))


def normal(key: str, shape: tuple[int, ...], seed: int = 1) -> np.ndarray:
    return stream(key, seed).standard_normal(shape, dtype=np.float32)


@lru_cache(maxsize=2)
def golden_arrays(seed: int = 1) -> dict[str, np.ndarray]:
    """The golden set's model, by its published rule: float64 arithmetic, rounded once to float32."""

    def f(name: str, shape: tuple[int, ...]) -> np.ndarray:
        return normal("flame:" + name, shape, seed).astype(np.float64)

    def rows(x: np.ndarray) -> np.ndarray:
        return x / x.sum(-1, keepdims=True)

    count, v = 5023, np.arange(5023)
    regressor = np.abs(f("J_regressor", (5, count))) * (v[None] % 5 == np.arange(5)[:, None])
    arrays = {
        "v_template": 0.1 * f("v_template", (count, 3)) + 0.15 * f("joint_offset", (5, 3))[v % 5],
        "shapedirs": 0.003 * f("shapedirs", (count, 3, 400)),
        "posedirs": 0.01 * f("posedirs", (count, 3, 36)),
        "J_regressor": rows(regressor),
        "weights": rows(np.abs(f("weights", (count, 5)))),
        "landmark_bary": rows(np.abs(f("lmk_bary", (70, 3)))),
    }
    made = {name: value.astype(np.float32) for name, value in arrays.items()}
    made["faces"] = stream("flame:faces", seed).integers(0, 5023, size=(9976, 3))
    made["landmark_faces"] = stream("flame:lmk_faces", seed).integers(0, 9976, size=(70,))
    return made


@lru_cache(maxsize=2)
def golden_model(seed: int = 1) -> FlameModel:
    return FlameModel(**golden_arrays(seed))


def rotation(vector: np.ndarray) -> np.ndarray:
    """Rodrigues' formula, one vector."""
    angle = np.linalg.norm(vector)
    if angle == 0.0:
        return np.eye(3)
    x, y, z = vector / angle
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross


def lbs(model: FlameModel, shape, expression, pose, eyes, neck=(0, 0, 0)) -> tuple[np.ndarray, np.ndarray]:
    """Posed vertices (V, 3) and joints (5, 3) of one frame, in float64."""
    template, dirs, posedirs, regressor, weights = (
        np.asarray(x, np.float64)
        for x in (model.v_template, model.shapedirs, model.posedirs, model.J_regressor, model.weights)
    )
    vectors = np.concatenate([pose[:3], neck, pose[3:], eyes]).astype(np.float64).reshape(5, 3)
    shaped = template + dirs @ np.concatenate([shape, expression]).astype(np.float64)
    rest = regressor @ shaped
    local = np.stack([rotation(v) for v in vectors])
    bent = shaped + posedirs @ (local[1:] - np.eye(3)).reshape(36)
    world = []
    for j, parent in enumerate(PARENTS):
        step = np.eye(4)
        step[:3, :3] = local[j]
        step[:3, 3] = rest[j] - (rest[parent] if parent >= 0 else 0)
        world.append(step if parent < 0 else world[parent] @ step)
    posed = np.stack([w[:3, 3] for w in world])
    out = np.zeros_like(bent)
    for j, w in enumerate(world):
        out += weights[:, j : j + 1] * ((bent - rest[j]) @ w[:3, :3].T + w[:3, 3])
    return out, posed
