"""Rotations in float64 NumPy, from definitions: matrix exponential by its series, projection by polar iteration."""

from __future__ import annotations

import numpy as np


def hat(v):
    x, y, z = np.asarray(v, np.float64)
    return np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])


def exp(v):
    """The power series of the matrix exponential, with halving and squaring."""
    k = hat(v) / 1024
    term = total = np.eye(3)
    for n in range(1, 12):
        term = term @ k / n
        total = total + term
    for _ in range(10):
        total = total @ total
    return total


def project(m):
    """Newton's iteration for the polar factor; for matrices of positive determinant."""
    m = np.asarray(m, np.float64)
    for _ in range(60):
        m = (m + np.linalg.inv(m).T) / 2
    return m


def angle(a, b):
    """The angle between two rotations, radians."""
    d = np.asarray(a, np.float64).T @ np.asarray(b, np.float64)
    axis = np.array([d[2, 1] - d[1, 2], d[0, 2] - d[2, 0], d[1, 0] - d[0, 1]])
    return np.arctan2(np.linalg.norm(axis), np.trace(d) - 1)
