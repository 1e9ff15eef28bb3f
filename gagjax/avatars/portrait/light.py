"""The light of a photo as low-order spherical harmonics in camera axes."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float

from gagjax.typing import AnyArray

GAMMA = 2.2
#: Limits of the light relative to its mean: harmonics are poorly determined in directions that no pixel faces.
LEAST, MOST = 0.4, 1.9
_RIDGE = (0.0, 0.02, 0.02, 0.02, 0.1, 0.1, 0.1, 0.1, 0.1)


def basis(normals: Float[AnyArray, "N 3"]) -> Float[AnyArray, "N 9"]:
    """Real spherical harmonics of unit vectors up to degree 2, without their constants.

    Source: Ramamoorthi and Hanrahan, An efficient representation for irradiance environment maps, SIGGRAPH 2001: nine
    coefficients represent a distant light's irradiance on a diffuse surface to about one per cent.
    """
    x, y, z = normals[:, 0], normals[:, 1], normals[:, 2]
    one = jnp.ones_like(x)
    return jnp.stack([one, x, y, z, x * y, y * z, 3 * z * z - 1, x * z, x * x - y * y], -1)


def irradiance(light: Float[AnyArray, "9 3"], normals: Float[AnyArray, "N 3"]) -> Float[AnyArray, "N 3"]:
    """Irradiance for normals in camera axes, 1 on average over the photo's skin."""
    return jnp.clip(basis(normals) @ light, LEAST, MOST)


def fit(
    colours: Float[np.ndarray, "N 3"], normals: Float[np.ndarray, "N 3"], skin: Bool[np.ndarray, "N"]
) -> Float[np.ndarray, "9 3"]:
    """Fit the light on a face, assuming uniform skin colour up to outliers.

    Args:
        colours: Linear colours.
        normals: Normals in camera axes.
        skin: Which samples to use.

    Returns:
        Coefficients for `irradiance`; without skin samples, uniform light.
    """
    flat = np.zeros((9, 3))
    flat[0] = 1
    if skin.sum() < 100:
        return flat.astype(np.float32)
    design, values = np.asarray(basis(normals[skin]), np.float64), np.asarray(colours[skin], np.float64)
    usual = np.median(values, 0)
    values = values / np.maximum(usual, 1e-4)
    weights = np.ones(len(values))
    ridge = np.diag(np.array(_RIDGE)) * len(values)
    for _ in range(6):
        left = (design * weights[:, None]).T @ design + ridge
        light = np.linalg.solve(left, (design * weights[:, None]).T @ values)
        miss = np.abs(values - design @ light).mean(1)
        weights = 1 / (1 + (miss / max(1.5 * np.median(miss), 1e-3)) ** 2)
    mean = (weights[:, None] * (design @ light)).sum(0) / weights.sum()
    return (light / np.maximum(mean, 0.05)).astype(np.float32)
