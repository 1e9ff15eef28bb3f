"""Rotations: exponential, logarithm, quaternions, slerp, the 6D form and projection; batched and gradient-safe.

Matrices act on column vectors, quaternions are `(w, x, y, z)`, angles are radians. Every function takes any leading
batch dimensions, and has finite values and finite derivatives for every finite input, the identity and rotations by pi
included. Where a formula divides by an angle that may be zero, the divisor is replaced before the division as well as
the quotient after it: `where` alone would still send a NaN through the derivative.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from gagjax.typing import AnyArray, Values

# Below this square the series are exact in float64 and the closed forms are still well conditioned in float32.
_SMALL = 1e-4


def exp(v: Float[AnyArray, "*#batch 3"]) -> Float[Array, "*#batch 3 3"]:
    """The rotation by `|v|` radians about `v` (Rodrigues).

    Args:
        v: Axis-angle vectors, (..., 3), radians.

    Returns:
        Rotation matrices, (..., 3, 3).

    Example:
        >>> exp(jnp.zeros(3)).tolist()
        [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
    """
    v = jnp.asarray(v)
    square = jnp.sum(v * v, axis=-1, keepdims=True)[..., None]
    along = _sinc(square)
    across = 0.5 * _sinc(square / 4) ** 2
    outer = v[..., :, None] * v[..., None, :]
    return (1 - across * square) * jnp.eye(3, dtype=v.dtype) + along * hat(v) + across * outer


def log(rotation: Float[AnyArray, "*#batch 3 3"]) -> Float[Array, "*#batch 3"]:
    """The axis-angle vector of a rotation, of length at most pi: the inverse of `exp`.

    Args:
        rotation: Rotation matrices, (..., 3, 3).

    Returns:
        Axis-angle vectors, (..., 3), radians. At exactly pi both signs are right and one is returned.
    """
    return quaternion_log(quaternion_from_matrix(rotation))


def hat(v: Float[AnyArray, "*#batch 3"]) -> Float[Array, "*#batch 3 3"]:
    """The skew matrix with `hat(v) @ u = v x u`."""
    x, y, z = jnp.moveaxis(jnp.asarray(v), -1, 0)
    zero = jnp.zeros_like(x)
    return _matrix([[zero, -z, y], [z, zero, -x], [-y, x, zero]])


def quaternion_from_matrix(rotation: Float[AnyArray, "*#batch 3 3"]) -> Float[Array, "*#batch 4"]:
    """The unit quaternion `(w, x, y, z)` of a rotation, with w >= 0.

    Args:
        rotation: Rotation matrices, (..., 3, 3).

    Returns:
        Unit quaternions, (..., 4).

    Source: Shepperd, Quaternion from rotation matrix, 1978: divide by the largest of the four components.
    """
    m = jnp.asarray(rotation)
    (a, b, c), (d, e, f), (g, h, i) = ([m[..., row, column] for column in range(3)] for row in range(3))
    # Row k is 4 q_k q; its k-th entry is 4 q_k^2, and the four of them add up to 4, so the largest is at least 1.
    candidates = _matrix(
        [
            [1 + a + e + i, h - f, c - g, d - b],
            [h - f, 1 + a - e - i, b + d, c + g],
            [c - g, b + d, 1 - a + e - i, f + h],
            [d - b, c + g, f + h, 1 - a - e + i],
        ]
    )
    squares = jnp.diagonal(candidates, axis1=-2, axis2=-1)
    best = jnp.argmax(squares, axis=-1)[..., None, None]
    q = jnp.take_along_axis(candidates, best, axis=-2)[..., 0, :]
    q = q / jnp.sqrt(jnp.sum(q * q, axis=-1, keepdims=True))
    return jnp.where(q[..., :1] < 0, -q, q)


def matrix_from_quaternion(q: Float[AnyArray, "*#batch 4"]) -> Float[Array, "*#batch 3 3"]:
    """The rotation of a quaternion `(w, x, y, z)` of any length but zero; zero gives the identity.

    Args:
        q: Quaternions, (..., 4).

    Returns:
        Rotation matrices, (..., 3, 3).
    """
    q = jnp.asarray(q)
    square = jnp.sum(q * q, axis=-1)
    s = jnp.where(square > 0, 2 / jnp.where(square > 0, square, 1), 0)
    w, x, y, z = jnp.moveaxis(q, -1, 0)
    return _matrix(
        [
            [1 - s * (y * y + z * z), s * (x * y - w * z), s * (x * z + w * y)],
            [s * (x * y + w * z), 1 - s * (x * x + z * z), s * (y * z - w * x)],
            [s * (x * z - w * y), s * (y * z + w * x), 1 - s * (x * x + y * y)],
        ]
    )


def quaternion_multiply(p: Float[AnyArray, "*#batch 4"], q: Float[AnyArray, "*#batch 4"]) -> Float[Array, "*#batch 4"]:
    """The Hamilton product: the rotation `q` first, then `p`."""
    a, b, c, d = jnp.moveaxis(jnp.asarray(p), -1, 0)
    e, f, g, h = jnp.moveaxis(jnp.asarray(q), -1, 0)
    return jnp.stack(
        [
            a * e - b * f - c * g - d * h,
            a * f + b * e + c * h - d * g,
            a * g - b * h + c * e + d * f,
            a * h + b * g - c * f + d * e,
        ],
        axis=-1,
    )


def quaternion_conjugate(q: Float[AnyArray, "*#batch 4"]) -> Float[Array, "*#batch 4"]:
    """The inverse of a unit quaternion."""
    return jnp.asarray(q) * jnp.array([1.0, -1.0, -1.0, -1.0], jnp.asarray(q).dtype)


def quaternion_exp(v: Float[AnyArray, "*#batch 3"]) -> Float[Array, "*#batch 4"]:
    """The unit quaternion of the rotation by `|v|` radians about `v`."""
    v = jnp.asarray(v)
    quarter = jnp.sum(v * v, axis=-1, keepdims=True) / 4
    half = _safe_sqrt(quarter)
    return jnp.concatenate([jnp.where(quarter > _SMALL, jnp.cos(half), 1 - quarter / 2), _sinc(quarter) * v / 2], -1)


def quaternion_log(q: Float[AnyArray, "*#batch 4"]) -> Float[Array, "*#batch 3"]:
    """The axis-angle vector of a quaternion, of angle at most pi; `q` and `-q` give the same, any norm is accepted."""
    q = jnp.asarray(q)
    q = jnp.where(q[..., :1] < 0, -q, q)
    w, v = q[..., :1], q[..., 1:]
    square = jnp.sum(v * v, axis=-1, keepdims=True)
    # tan^2 of half the angle, compared without the division that fails at w = 0.
    small = square <= _SMALL * w * w
    safe_w = jnp.where(small & (w > 0), w, 1)
    tangent = square / safe_w**2
    length = jnp.sqrt(jnp.where(small, 1, square))
    series = (1 - tangent / 3 + tangent**2 / 5) / safe_w
    return 2 * v * jnp.where(small, series, jnp.arctan2(length, w) / length)


def slerp(q0: Float[AnyArray, "*#batch 4"], q1: Float[AnyArray, "*#batch 4"], t: Values) -> Float[Array, "*#batch 4"]:
    """Spherical interpolation of unit quaternions along the shorter arc.

    Args:
        q0: Rotation at t = 0, (..., 4).
        q1: Rotation at t = 1, (..., 4); its sign does not matter.
        t: Fraction of the way, a number or (...,).

    Returns:
        Unit quaternions, (..., 4).

    Source: Shoemake, Animating rotation with quaternion curves, SIGGRAPH 1985.
    """
    q0, q1 = jnp.asarray(q0), jnp.asarray(q1)
    t = jnp.asarray(t, q0.dtype)[..., None]
    q1 = jnp.where(jnp.sum(q0 * q1, axis=-1, keepdims=True) < 0, -q1, q1)
    # The angle between them from the chord: an arc cosine would lose small angles and their derivatives.
    chord = jnp.sum((q1 - q0) ** 2, axis=-1, keepdims=True)
    small = chord <= _SMALL
    sine = jnp.sqrt(jnp.where(small, 1, chord)) / 2
    cosine = jnp.sqrt(jnp.sum((q1 + q0) ** 2, axis=-1, keepdims=True)) / 2
    angle = jnp.where(small, 1, 2 * jnp.arctan2(sine, cosine))
    square = chord + chord**2 / 12

    def weight(part: AnyArray) -> Any:
        series = part * (1 + (1 - part**2) * square / 6 + (3 * part**4 - 10 * part**2 + 7) * square**2 / 360)
        return jnp.where(small, series, jnp.sin(part * angle) / jnp.sin(angle))

    q = weight(1 - t) * q0 + weight(t) * q1
    return q / jnp.sqrt(jnp.sum(q * q, axis=-1, keepdims=True))


def from_6d(x: Float[AnyArray, "*#batch 6"]) -> Float[Array, "*#batch 3 3"]:
    """The rotation whose first two rows are `x` made orthonormal, first row first (Gram-Schmidt).

    Args:
        x: Two rows, (..., 6). Where a row is zero or the two are parallel, a fixed direction takes its place, so that
            the result is always a rotation.

    Returns:
        Rotation matrices, (..., 3, 3).

    Source: Zhou et al., On the continuity of rotation representations in neural networks, CVPR 2019.
    """
    # Scale each row first: its length is irrelevant, and its square overflows float32 before it does.
    x = jnp.concatenate([scaled(half) for half in jnp.split(jnp.asarray(x), 2, axis=-1)], -1)
    first = _unit(x[..., :3], jnp.broadcast_to(jnp.array([1.0, 0.0, 0.0], x.dtype), (*x.shape[:-1], 3)))
    second = x[..., 3:] - jnp.sum(first * x[..., 3:], axis=-1, keepdims=True) * first
    # A direction that cannot be parallel to the first row: the axis of its smallest entry.
    axis = jax.nn.one_hot(jnp.argmin(jnp.abs(first), axis=-1), 3, dtype=x.dtype)
    across = jnp.cross(first, axis)
    second = _unit(second, across / jnp.sqrt(jnp.sum(across * across, axis=-1, keepdims=True)))
    # A second pass: one leaves an error where the rows are nearly parallel.
    second = second - jnp.sum(first * second, axis=-1, keepdims=True) * first
    second = second / jnp.sqrt(jnp.sum(second * second, axis=-1, keepdims=True))
    return jnp.stack([first, second, jnp.cross(first, second)], axis=-2)


def to_6d(rotation: Float[AnyArray, "*#batch 3 3"]) -> Float[Array, "*#batch 6"]:
    """The first two rows of a rotation, (..., 6): the inverse of `from_6d`."""
    rotation = jnp.asarray(rotation)
    return jnp.concatenate([rotation[..., 0, :], rotation[..., 1, :]], axis=-1)


@jax.custom_jvp
def project(matrix: Float[AnyArray, "*#batch 3 3"]) -> Float[Array, "*#batch 3 3"]:
    """The rotation nearest to a matrix in the Frobenius norm (by SVD, so no row is favoured).

    Args:
        matrix: Matrices, (..., 3, 3).

    Returns:
        Rotation matrices, (..., 3, 3), determinant +1.

    Source: Kabsch, A solution for the best rotation to relate two sets of vectors, 1976.
    """
    u, _, v = _rotated_svd(matrix)
    return _times(u, jnp.swapaxes(v, -1, -2))


@project.defjvp
def _project_jvp(primals: tuple[Array], tangents: tuple[Array]) -> Any:
    # The derivative of the SVD is singular where singular values coincide, as at every rotation; that of the projection
    # divides only by their sums.
    u, s, v = _rotated_svd(primals[0])
    vt = jnp.swapaxes(v, -1, -2)
    inner = _times(_times(jnp.swapaxes(u, -1, -2), tangents[0]), v)
    sums = jnp.maximum(s[..., :, None] + s[..., None, :], 1e-6)
    turn = (inner - jnp.swapaxes(inner, -1, -2)) / sums
    return _times(u, vt), _times(_times(u, turn), vt)


def _rotated_svd(matrix: AnyArray) -> tuple[Any, Any, Any]:
    """`u, s, v` with `matrix = u diag(s) v^T` and `u v^T` a rotation: the last value carries the sign."""
    u, s, vt = jnp.linalg.svd(jnp.asarray(matrix))
    sign = jnp.where(jnp.linalg.det(u) * jnp.linalg.det(vt) < 0, -1, 1).astype(s.dtype)
    flip = jnp.stack([jnp.ones_like(sign), jnp.ones_like(sign), sign], axis=-1)
    return u, s * flip, jnp.swapaxes(vt, -1, -2) * flip[..., None, :]


def _times(a: AnyArray, b: AnyArray) -> Any:
    # With TF32 on GPUs, rotations would be orthonormal to three digits only.
    return jnp.matmul(a, b, precision="highest")


def _safe_sqrt(square: AnyArray) -> Any:
    return jnp.sqrt(jnp.where(square > _SMALL, square, 1))


def _sinc(square: AnyArray) -> Any:
    """`sin(x) / x` of x squared."""
    x = _safe_sqrt(square)
    return jnp.where(square > _SMALL, jnp.sin(x) / x, 1 - square / 6 + square**2 / 120)


def scaled(v: Float[AnyArray, "*#batch N"]) -> Float[Array, "*#batch N"]:
    """Vectors divided by their largest entry, which keeps squares within float32; zero stays zero.

    The divisor is treated as a constant in the gradient: correct for results that do not depend on the length.
    """
    largest = jax.lax.stop_gradient(jnp.abs(v).max(-1, keepdims=True))
    # XLA divides by multiplying with the reciprocal, which is flushed to zero above 8.5e37 and infinite below 3e-39:
    # scaling by a power of two, which is exact, brings both ends into range first.
    step = jnp.where(largest > 2.0**64, 2.0**-64, jnp.where(largest < 2.0**-64, 2.0**64, 1.0)).astype(largest.dtype)
    return (jnp.asarray(v) * step) / jnp.where(largest > 0, largest * step, 1)


def _unit(v: AnyArray, otherwise: AnyArray) -> Any:
    square = jnp.sum(v * v, axis=-1, keepdims=True)
    # Rows have about unit length here: anything smaller than this is rounding error of their difference.
    usable = square > 1e-12
    return jnp.where(usable, v / jnp.sqrt(jnp.where(usable, square, 1)), otherwise)


def _matrix(rows: list[list[Any]]) -> Any:
    return jnp.stack([jnp.stack(row, axis=-1) for row in rows], axis=-2)
