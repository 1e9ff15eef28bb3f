"""Rotations of files in float64 NumPy: readers and writers of tracks need neither JAX nor SciPy for them.

`gagjax.so3` has the same maps for what is jitted and differentiated.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

# Below this angle the series is exact in float64.
_SMALL = 1e-3


def matrices(vectors: Float[np.ndarray, "T 3"]) -> Float[np.ndarray, "T 3 3"]:
    """Rotation matrices of axis-angle vectors.

    Args:
        vectors: (T, 3), radians; finite.

    Returns:
        (T, 3, 3), float64, for column vectors.

    Example:
        >>> matrices(np.array([[0.0, 0.0, np.pi / 2]])).round(3)[0, 0].tolist()
        [0.0, -1.0, 0.0]
    """
    vectors = np.asarray(vectors, np.float64)
    angle = np.linalg.norm(vectors, axis=1)
    small = angle <= _SMALL
    series = 0.5 - angle**2 / 48 + angle**4 / 3840
    scale = np.where(small, series, np.sin(angle / 2) / np.where(small, 1, angle))
    x, y, z = (scale[:, None] * vectors).T
    w = np.cos(angle / 2)
    # A quaternion whose length rounding has moved off one is divided by it, as SciPy does.
    length = np.sqrt(x * x + y * y + z * z + w * w)
    x, y, z, w = x / length, y / length, z / length, w / length
    rows = [
        [x * x - y * y - z * z + w * w, 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), -x * x + y * y - z * z + w * w, 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), -x * x - y * y + z * z + w * w],
    ]
    return np.stack([np.stack(row, -1) for row in rows], 1)


def vectors(matrices: Float[np.ndarray, "T 3 3"]) -> Float[np.ndarray, "T 3"]:
    """Axis-angle vectors of rotation matrices, of length at most pi: the inverse of `matrices`.

    Args:
        matrices: (T, 3, 3); finite, and rotations up to the rounding of a file.

    Returns:
        (T, 3), float64, radians. At exactly pi both signs are right and one is returned.
    """
    m = np.asarray(matrices, np.float64)
    trace = np.trace(m, axis1=1, axis2=2)
    # The quaternion's largest entry is divided by, whichever of the four it is.
    decisive = np.stack([m[:, 0, 0], m[:, 1, 1], m[:, 2, 2], trace], -1)
    choice = decisive.argmax(-1)
    quaternions = np.zeros((len(m), 4))  # x, y, z, w
    quaternions[:, 0], quaternions[:, 1], quaternions[:, 2] = (
        m[:, 2, 1] - m[:, 1, 2],
        m[:, 0, 2] - m[:, 2, 0],
        m[:, 1, 0] - m[:, 0, 1],
    )
    quaternions[:, 3] = 1 + trace
    for i in range(3):
        j, k = (i + 1) % 3, (i + 2) % 3
        at = choice == i
        quaternions[at, i] = 1 - trace[at] + 2 * m[at, i, i]
        quaternions[at, j] = m[at, j, i] + m[at, i, j]
        quaternions[at, k] = m[at, k, i] + m[at, i, k]
        quaternions[at, 3] = m[at, k, j] - m[at, j, k]
    quaternions /= np.linalg.norm(quaternions, axis=1, keepdims=True)
    quaternions = np.where(quaternions[:, 3:] < 0, -quaternions, quaternions)
    sine = np.linalg.norm(quaternions[:, :3], axis=1)
    angle = 2 * np.arctan2(sine, quaternions[:, 3])
    small = angle <= _SMALL
    series = 2 + angle**2 / 12 + 7 * angle**4 / 2880
    scale = np.where(small, series, angle / np.where(small, 1, np.sin(angle / 2)))
    return scale[:, None] * quaternions[:, :3]


def from_6d(values: Float[np.ndarray, "T 6"]) -> Float[np.ndarray, "T 3 3"]:
    """Rotation matrices whose first two rows are given, up to length and right angle; `gagjax.so3.from_6d` in NumPy.

    Args:
        values: (T, 6), finite; any numbers.

    Returns:
        (T, 3, 3), float64. Rows without a direction are replaced by axes.

    Source: Zhou et al., On the Continuity of Rotation Representations in Neural Networks, CVPR 2019, section 4.2.
    """
    halves = np.asarray(values, np.float64).reshape(-1, 2, 3)
    halves = halves / np.maximum(np.abs(halves).max(-1, keepdims=True), 1e-300)
    first = _unit(halves[:, 0], np.broadcast_to([1.0, 0.0, 0.0], halves[:, 0].shape))
    second = halves[:, 1] - np.sum(first * halves[:, 1], -1, keepdims=True) * first
    across = np.cross(first, np.eye(3)[np.abs(first).argmin(-1)])
    second = _unit(second, across / np.linalg.norm(across, axis=-1, keepdims=True))
    second -= np.sum(first * second, -1, keepdims=True) * first
    second /= np.linalg.norm(second, axis=-1, keepdims=True)
    return np.stack([first, second, np.cross(first, second)], 1)


def _unit(vectors: Float[np.ndarray, "T 3"], otherwise: Float[np.ndarray, "T 3"]) -> Float[np.ndarray, "T 3"]:
    square = np.sum(vectors * vectors, -1, keepdims=True)
    usable = square > 1e-8  # the rounding of float32 numbers that were parallel
    return np.where(usable, vectors / np.sqrt(np.where(usable, square, 1)), otherwise)
