"""Colours by direction of view: real spherical harmonics to degree 3, as 3D Gaussian splatting stores them."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from gagjax.typing import AnyArray

C0 = 0.28209479177387814  # 1 / (2 sqrt(pi))
_C1 = 0.4886025119029199
_C2 = (1.0925484305920792, 0.31539156525252005, 0.5462742152960396)
_C3 = (0.5900435899266435, 2.890611442640554, 0.4570457994644658, 0.3731763325901154, 1.445305721320277)


def colours(coefficients: Float[AnyArray, "N K 3"], directions: Float[AnyArray, "N 3"]) -> Float[Array, "N 3"]:
    """Colours seen along directions, not below 0; half is added as 3D Gaussian splatting does.

    Args:
        coefficients: K = 1, 4, 9 or 16 of them, by degree, then from -l to l.
        directions: From the eye to the Gaussian, any length.

    Source: Kerbl et al., 3D Gaussian Splatting, TOG 2023, section 5.1 (degree 3, real basis).
    """
    count = coefficients.shape[1]
    basis = [jnp.full(directions.shape[0], C0)]
    if count > 1:
        x, y, z = jnp.unstack(directions * jax.lax.rsqrt((directions**2).sum(-1, keepdims=True) + 1e-16), axis=-1)
        basis += [-_C1 * y, _C1 * z, -_C1 * x]
    if count > 4:
        a, b, c = _C2
        basis += [a * x * y, -a * y * z, b * (3 * z * z - 1), -a * x * z, c * (x * x - y * y)]
    if count > 9:
        a, b, c, d, e = _C3
        basis += [
            -a * y * (3 * x * x - y * y),
            b * x * y * z,
            -c * y * (5 * z * z - 1),
            d * z * (5 * z * z - 3),
            -c * x * (5 * z * z - 1),
            e * z * (x * x - y * y),
            -a * x * (x * x - 3 * y * y),
        ]
    total = (jnp.stack(basis, -1)[..., None] * coefficients).sum(1) + 0.5
    return jnp.maximum(total, 0.0)
