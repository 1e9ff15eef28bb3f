"""Measure how the mesh network marks the built-in head: `gagjax.tracking.correspondence.Marking`.

Identities of the built-in avatar are rendered with random poses, expressions, lights and lenses, and marked by the
network. Where a mark departs from the true place of its point is regressed, in the head's frame, on the head's turn,
the jaw and the expression controls. What is left has two covariances, kept as their largest modes: errors that a
person keeps (from the means over each identity's images), and errors that change from image to image.

None of the identities is one of `tracking_truth`'s. Run: `python -m benchmarks.calibrate_marking
gagjax/tracking/data/builtin_marking.npz`; the marks are kept in $GAGJAX_BENCH_CACHE if that is set.
"""

from __future__ import annotations

import functools
import os
import sys
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy.spatial.transform import Rotation

from benchmarks.tracking_truth import SIZE, _light
from gagjax import avatars, flame
from gagjax.avatars import Parameters
from gagjax.avatars.rendering import drawn
from gagjax.camera import from_track
from gagjax.simulate import driving
from gagjax.tracking.correspondence import Embedding, Marking, surface_points
from gagjax.tracking.faces.following import Follower

#: Identities, disjoint from those of `tracking_truth`, and the number of images of each.
IMAGES = dict.fromkeys(range(11, 21), 80) | dict.fromkeys(range(21, 33), 40)
LENSES, LIGHTS = (5.0, 8.0, 12.0), ("even", "side", "dim")
ERRORS, HABITS = 24, 10  # modes kept
TURNED, BENT, OPENED, EXPRESSED = 0.7, 0.7, 0.23, 4.6  # ridge of the regression: on yaw, pitch, jaw and each control
FAR = 0.004  # metres; a mark further off than this counts less
UNITS = 5.0


class Look(NamedTuple):
    """Images of one identity: what they show, and the network's marks.

    Attributes:
        marks: (T, 478, 3), pixels.
        expression: (T, 100).
        jaw: (T, 3).
        transform: (T, 3, 4).
        focal: Half-widths, (T,).
    """

    marks: np.ndarray
    expression: np.ndarray
    jaw: np.ndarray
    transform: np.ndarray
    focal: np.ndarray


def main(target: Path) -> None:
    points = surface_points(flame.builtin())
    data = [(seed, look(seed, count)) for seed, count in IMAGES.items()]
    marking, report = measured(points, data)
    print(report)
    np.savez_compressed(target, **{k: np.asarray(v, np.float16) for k, v in marking._asdict().items()})


@functools.partial(jax.jit, static_argnums=5)
def _picture(avatar: Any, transform: Any, expression: Any, jaw: Any, eyes: Any, focal: float) -> jax.Array:
    pose = jnp.concatenate([jnp.zeros(3), jaw])
    shown = Parameters(expression, pose, eyes, jnp.zeros(3), jnp.zeros(300), from_track(transform, SIZE, focal))
    return drawn(avatar, shown, jnp.asarray([0.80, 0.83, 0.86]))[0]


def look(seed: int, count: int) -> Look:
    """Random images of an identity, marked; frames without a face are left out."""
    cache = os.environ.get("GAGJAX_BENCH_CACHE")
    path = None if cache is None else Path(cache) / f"look-{seed}-{count}.npz"
    if path is not None and path.exists():
        with np.load(path) as file:
            return Look(*(file[name] for name in Look._fields))
    rng, avatar = np.random.default_rng([seed, 777]), avatars.builtin(seed)
    acted = driving.driver(400, seed=seed, controls=flame.CONTROLS)
    rows = []
    for k in range(count):
        focal, light = LENSES[rng.integers(3)], LIGHTS[rng.integers(3)]
        if k % 2 == 0:  # half of the faces are from a performance, half are any
            at = rng.integers(400)
            face = acted.expression[at], acted.jaw[at], acted.eyes[at]
        else:
            face = _any_face(rng)
        transform = _any_pose(rng, focal)
        shown = (np.asarray(v, np.float32) for v in (transform, *face))
        picture = np.asarray(_picture(avatar, *shown, focal)) * _light(light)
        noisy = np.clip(picture + rng.normal(0, 0.008, picture.shape), 0, 1)
        marks = Follower()((noisy * 255 + 0.5).astype(np.uint8)).points
        if np.isfinite(marks[0, 0]):
            rows.append((marks, face[0], face[1], transform, focal))
    made = Look(*(np.array(column) for column in zip(*rows, strict=True)))
    if path is not None:
        np.savez_compressed(path, **made._asdict())
    return made


def _any_face(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Expression, jaw and eyes: a few controls at random, more or less closed lids, a jaw that is mostly little open."""
    controls = flame.CONTROLS
    expression = np.zeros(100)
    for name, column in controls.items():
        if not name.startswith("blink") and rng.uniform() < 0.25:
            expression[column] = rng.uniform(0, 0.8)
    closed = rng.uniform(0, 1) if rng.uniform() < 0.3 else rng.uniform(0, 0.2)
    expression[[controls["blink_left"], controls["blink_right"]]] = closed
    jaw = np.array([min(rng.exponential(0.08), 0.4) if rng.uniform() < 0.8 else 0.0, rng.normal(0, 0.01), 0.0])
    pitch, yaw = rng.normal(0, 0.14), rng.normal(0, 0.22)
    eyes = np.array([pitch, yaw - driving.VERGENCE, 0, pitch, yaw + driving.VERGENCE, 0])
    return expression, jaw, eyes


def _any_pose(rng: np.random.Generator, focal: float) -> np.ndarray:
    yaw, pitch, roll = np.radians([rng.normal(0, 13), rng.normal(0, 8), rng.normal(0, 4)])
    turn = Rotation.from_euler("YXZ", [yaw, pitch, roll]).as_matrix()
    shift = (driving.PIVOT - turn @ driving.PIVOT) @ driving.FRONT + np.r_[rng.normal(0, 0.05, 2), driving.DISTANCE]
    shift[2] *= focal / 12
    return np.concatenate([turn.T @ driving.FRONT, shift[:, None]], 1)


def measured(points: Embedding, data: list[tuple[int, Look]]) -> tuple[Marking, str]:
    """The marking that images show.

    Args:
        points: The points on the built-in head.
        data: Identity and images.

    Returns:
        The marking, and a line about it.
    """
    parts = [departures(points, seed, images) for seed, images in data]
    away, axes, features, facing = (np.concatenate(column) for column in zip(*parts, strict=True))
    owner = np.repeat([seed for seed, _ in data], [len(images.marks) for _, images in data])
    weights = np.clip(2 * facing, 0.02, 1)
    solved, left = regressed(away, axes, features, weights)
    # What is left, as displacements in the head's frame across the line of sight.
    error = np.einsum("tna,tai->tni", left, axes)
    share = np.sqrt(weights)[..., None]
    people = np.unique(owner)
    means = np.stack(
        [(error[owner == k] * share[owner == k] ** 2).sum(0) / (share[owner == k] ** 2).sum(0) for k in people]
    )
    errors = modes((error - means[np.searchsorted(people, owner)]) * share, ERRORS, len(error))
    habits = modes(means - means.mean(0), HABITS, len(people) - 1)
    report = f"images {len(away)}, identities {len(people)}, departures {_rms(away)}, after the regression {_rms(left)}"
    return Marking(solved[0], solved[1:3], solved[3], solved[4:], errors, habits), report


def _rms(values: np.ndarray) -> str:
    return f"{1e3 * np.sqrt((values**2).sum(-1).mean()):.2f} mm"


def departures(points: Embedding, seed: int, images: Look) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Of each image: marks off their true places, metres across the line of sight (T, N, 2); the camera's two axes in
    the head's frame (T, 2, 3); the regressors (T, F); and how much each point faces the camera (T, N)."""
    actor = flame.builtin(seed)
    pose = np.concatenate([0 * images.jaw, images.jaw], 1)
    v = np.asarray(flame.vertices(actor, np.zeros(1), images.expression, pose, np.zeros((len(pose), 6))))
    corners = np.asarray(actor.faces)[points.faces]
    body = (v[:, corners] * points.bary[..., None]).sum(2)
    normals = (np.asarray(flame.normals(actor, v))[:, corners] * points.bary[..., None]).sum(2)
    rotation, shift = images.transform[:, :, :3], images.transform[:, :, 3]
    camera = UNITS * body @ rotation + shift[:, None]
    pixels = images.focal[:, None, None] * SIZE / 2
    plane = SIZE / 2 - pixels * camera[..., :2] / camera[..., 2:]
    away = -(images.marks[:, points.numbers, :2] - plane) * camera[..., 2:] / (UNITS * pixels)
    ahead = -rotation[:, 2]
    yaw, pitch = np.arctan2(ahead[:, 0], ahead[:, 2]), np.arctan2(ahead[:, 1], np.hypot(ahead[:, 0], ahead[:, 2]))
    known = np.stack([np.ones(len(yaw)), yaw, pitch, images.jaw[:, 0]], 1)
    controls = images.expression[:, list(flame.CONTROLS.values())]
    return away, np.swapaxes(rotation, 1, 2)[:, :2], np.concatenate([known, controls], 1), -(normals @ rotation)[..., 2]


def regressed(
    away: np.ndarray, axes: np.ndarray, features: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Robust ridge regression of each point's departure: coefficients (F, N, 3), and what is left (T, N, 2)."""
    count = features.shape[1]
    ridge = np.r_[0.002, TURNED, BENT, OPENED, np.full(count - 4, EXPRESSED)]
    design = np.einsum("tk,tai->taki", features, axes).reshape(len(away), 2, 3 * count)
    share, solved = weights, np.zeros((away.shape[1], 3 * count))
    for _ in range(3):
        for n in range(away.shape[1]):
            root = np.sqrt(share[:, n])[:, None]
            x = (design * root[..., None]).reshape(-1, 3 * count)
            solved[n] = np.linalg.solve(x.T @ x + np.diag(np.repeat(ridge, 3)), x.T @ (away[:, n] * root).ravel())
        left = away - np.einsum("tak,nk->tna", design, solved)
        share = weights / (1 + (left**2).sum(-1) / FAR**2)
    return np.moveaxis(solved.reshape(-1, count, 3), 1, 0), left


def modes(values: np.ndarray, count: int, freedom: int) -> np.ndarray:
    """The largest modes of a covariance, one standard deviation each, (count, N, 3)."""
    _, size, shape = np.linalg.svd(values.reshape(len(values), -1), full_matrices=False)
    return (size[:count, None] * shape[:count] / np.sqrt(freedom)).reshape(count, *values.shape[1:])


if __name__ == "__main__":
    main(Path(sys.argv[1]))
