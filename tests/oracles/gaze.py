"""Look-at in float64 NumPy, by rotation matrices."""

from __future__ import annotations

import numpy as np

from tests.oracles.flame import rotation


def direction(vector) -> np.ndarray:
    """Where an eye with this axis-angle looks."""
    return rotation(np.asarray(vector, np.float64)) @ np.array([0.0, 0.0, 1.0])


def degrees_between(a, b) -> float:
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    return float(np.degrees(np.arctan2(np.linalg.norm(np.cross(a, b)), a @ b)))


def camera(rng: np.random.Generator, distance: float = 9.0) -> np.ndarray:
    """A track camera [R | t] a little off the front of the head, looking at it."""
    turn = rotation(rng.normal(size=3) * 0.1)
    # World to camera for row vectors; half a turn about y puts a camera in front of the face, looking back at it.
    matrix = turn @ np.diag([-1.0, 1.0, -1.0])
    return np.concatenate([matrix, [[*(0.2 * rng.normal(size=2)), distance][k : k + 1] for k in range(3)]], 1)
