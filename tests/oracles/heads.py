"""A small head for tests: half an ellipsoid with a neck, two eyeballs, iBUG landmarks and smooth expression modes."""

from __future__ import annotations

import dataclasses
from functools import lru_cache

import numpy as np

from gagjax.flame import FlameModel

ROWS, COLUMNS = 44, 36


def _landmarks() -> np.ndarray:
    """(68, 2) places on the front of the face, in metres."""
    angle = np.linspace(np.pi, 2 * np.pi, 17)
    contour = np.stack([0.068 * np.cos(angle), 0.02 + 0.1 * np.sin(angle)], -1)
    brow = np.stack([np.linspace(0.055, 0.015, 5), 0.045 + 0.006 * np.sin(np.linspace(0.3, 2.6, 5))], -1)
    bridge = np.stack([np.zeros(4), np.linspace(0.028, -0.005, 4)], -1)
    wings = np.stack([np.linspace(-0.015, 0.015, 5), np.full(5, -0.012)], -1)
    eye = np.array([[0.045, 0.028], [0.037, 0.033], [0.026, 0.033], [0.018, 0.028], [0.026, 0.023], [0.037, 0.023]])
    outer = np.linspace(np.pi, 3 * np.pi, 13)[:-1]
    inner = np.linspace(np.pi, 3 * np.pi, 9)[:-1]
    mouth = [
        np.stack([a * np.cos(t), -0.04 - b * np.sin(t)], -1) for a, b, t in ((0.025, 0.01, outer), (0.02, 0.004, inner))
    ]
    right, left = brow * [-1, 1], brow[::-1]
    left_eye = eye[[3, 2, 1, 0, 5, 4]]
    return np.concatenate([contour, right, left, bridge, wings, eye * [-1, 1], left_eye, *mouth])


@lru_cache(maxsize=1)
def toy_head() -> FlameModel:
    rng = np.random.default_rng(0)
    height, side = np.meshgrid(np.linspace(-0.14, 0.13, ROWS), np.linspace(-1.45, 1.45, COLUMNS), indexing="ij")
    width = 0.075 * np.sqrt(np.clip(1 - (height / 0.14) ** 2, 0.35**2 * (height < 0) + 0.02, 1))
    points = np.stack([width * np.sin(side), height, 1.1 * width * np.cos(side)], -1).reshape(-1, 3)
    number = np.arange(ROWS * COLUMNS).reshape(ROWS, COLUMNS)
    a, b, c, d = (x.reshape(-1) for x in (number[:-1, :-1], number[:-1, 1:], number[1:, 1:], number[1:, :-1]))
    faces = np.concatenate([np.stack([a, b, c], -1), np.stack([a, c, d], -1)])
    skin = len(points)
    corners = 0.012 * np.array([[1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0], [0, 0, 1], [0, 0, -1]])
    ball = np.array([[0, 2, 4], [2, 1, 4], [1, 3, 4], [3, 0, 4], [2, 0, 5], [1, 2, 5], [3, 1, 5], [0, 3, 5]])
    eyes = np.array([[0.0315, 0.028, 0.06], [-0.0315, 0.028, 0.06]])
    points = np.concatenate([points, corners + eyes[0], corners + eyes[1]])
    faces = np.concatenate([faces, ball + skin, ball + skin + 6])

    weights = np.zeros((len(points), 5))
    low = 1 / (1 + np.exp((points[:skin, 1] + 0.105) / 0.004))
    jaw = 1 / (1 + np.exp((points[:skin, 1] + 0.045) / 0.006)) * (points[:skin, 2] > 0.03)
    weights[:skin, 0], weights[:skin, 2] = low, (1 - low) * jaw
    weights[:skin, 1] = 1 - weights[:skin].sum(1)
    weights[skin : skin + 6, 3] = weights[skin + 6 :, 4] = 1
    regressor = np.zeros((5, len(points)))
    for joint, place in enumerate([[0, -0.13, 0], [0, -0.1, 0], [0, -0.01, 0.02]]):
        near = np.argsort(np.linalg.norm(points[:skin] - place, axis=1))[:8]
        regressor[joint, near] = 1 / 8
    regressor[3, skin : skin + 6] = regressor[4, skin + 6 :] = 1 / 6

    marks = _landmarks()
    centres = points[faces[: 2 * (ROWS - 1) * (COLUMNS - 1)]].mean(1)
    front = np.where(centres[:, 2] > 0.01, 0.0, 1.0)
    triangles = (np.linalg.norm(centres[None, :, :2] - marks[:, None], axis=-1) + front).argmin(1)

    # Modes of different reach: most of them cover half a face, as FLAME's do, the last ones a few centimetres.
    modes = np.zeros((len(points), 3, 100))
    for k in range(100):
        centre = points[rng.integers(skin)]
        reach = 0.05 if k < 60 else 0.02
        bump = np.exp(-((points[:skin] - centre) ** 2).sum(1) / (2 * reach**2))
        modes[:skin, :, k] = 0.004 / (1 + 0.1 * k) * bump[:, None] * rng.normal(size=3)
    shape = 0.002 * rng.normal(size=(1, 3, 10)) * (points[:, :1, None] + points[:, 1:2, None]) / 0.1
    return FlameModel(
        points, np.concatenate([shape, modes], -1), 1e-4 * rng.normal(size=(len(points), 3, 36)), regressor, weights,
        faces, triangles, np.full((68, 3), 1 / 3),
    )  # fmt: skip


def with_lids() -> FlameModel:
    """The toy head with two expression columns that lower the left and the right upper lid by its opening."""
    model = toy_head()
    basis = np.array(model.shapedirs)
    corners = np.asarray(model.faces)[np.asarray(model.landmark_faces)]
    for column, pairs in ((10, ((43, 47), (44, 46))), (11, ((37, 41), (38, 40)))):
        basis[:, :, column] = 0
        for upper, lower in pairs:
            gap = model.v_template[corners[lower]].mean(0)[1] - model.v_template[corners[upper]].mean(0)[1]
            basis[corners[upper], 1, column] = gap
    return dataclasses.replace(model, shapedirs=basis)
