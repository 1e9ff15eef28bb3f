"""Small stencils on planes (H, W), as shifted sums; borders repeat the edge pixel or mirror, as each says."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

# Standard deviation of each Burt-Adelson band, finest first, for white noise of standard deviation 1; beyond the list,
# each band has about half of the one before. Checked by tests/detail/test_planes.py.
BAND_NOISE = (0.9438, 0.2306, 0.1008, 0.0491, 0.0244)
_MEDIAN_OF_ABSOLUTE_NORMAL = 0.6745
_SAMPLES = 64  # per axis: 4096 samples place the median within 2 %


def shifted(plane: Float[Array, "H W"], axis: int, reach: int, mode: str = "edge") -> list[Any]:
    """The plane moved by -reach .. +reach along an axis."""
    pad = [(0, 0), (0, 0)]
    pad[axis] = (reach, reach)
    padded = jnp.pad(plane, pad, mode=mode)
    size = plane.shape[axis]
    return [jax.lax.slice_in_dim(padded, k, k + size, axis=axis) for k in range(2 * reach + 1)]


def binomial(plane: Float[Array, "H W"]) -> Float[Array, "H W"]:
    """Taps [1 4 6 4 1]/16 on both axes: a Gaussian of standard deviation 1 pixel."""
    for axis in (1, 0):
        a, b, c, d, e = shifted(plane, axis, 2)
        plane = ((a + e) + 4 * (b + d) + 6 * c) * (1 / 16)
    return plane


def box(plane: Float[Array, "H W"], reach: int = 2) -> Float[Array, "H W"]:
    """The mean over a square of 2 reach + 1 pixels a side."""
    for axis in (1, 0):
        plane = sum(shifted(plane, axis, reach)) * (1 / (2 * reach + 1))  # type: ignore[assignment]
    return plane


def local_range(plane: Float[Array, "H W"], reach: int = 2) -> tuple[Float[Array, "H W"], Float[Array, "H W"]]:
    """The least and the largest value in a square of 2 reach + 1 pixels a side."""
    low = high = plane
    for axis in (1, 0):
        lows, highs = shifted(low, axis, reach), shifted(high, axis, reach)
        low, high = lows[0], highs[0]
        for a, b in zip(lows[1:], highs[1:], strict=True):
            low, high = jnp.minimum(low, a), jnp.maximum(high, b)
    return low, high


def noise_level(plane: Float[Array, "H W"]) -> Float[Array, ""]:
    """Standard deviation of white noise in a picture, robust against its content.

    The second difference along both axes removes smooth content; the median of its absolute value on a regular grid of
    at most 64 x 64 samples is that of the noise as long as less than half of the picture is texture.

    Source: Immerkaer, Fast noise variance estimation, CVIU 1996 (the operator); the median in place of the mean.
    """
    height, width = plane.shape
    if min(height, width) < 3:
        return jnp.float32(0)
    rows = np.unique(np.linspace(1, height - 2, _SAMPLES).astype(int))
    columns = np.unique(np.linspace(1, width - 2, _SAMPLES).astype(int))
    kernel = (1.0, -2.0, 1.0)
    total: Any = 0.0
    for i in range(3):
        line = plane[rows + i - 1]
        for j in range(3):
            total = total + kernel[i] * kernel[j] * line[:, columns + j - 1]
    values = jnp.sort(jnp.abs(total).ravel())
    return values[values.shape[0] // 2] / (_MEDIAN_OF_ABSOLUTE_NORMAL * 6)


def above_noise(energy: Any, level: Any) -> Any:
    """How surely local energy is more than noise: 0 up to the square of `level`, 1 from the square of twice that."""
    return ramp((energy / (level**2 + 1e-10) - 1) * (1 / 3))


def ramp(x: Any) -> Any:
    """0 below 0, 1 above 1, smooth between."""
    x = jnp.clip(x, 0, 1)
    return x * x * (3 - 2 * x)
