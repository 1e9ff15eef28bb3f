"""Small stencils on planes (H, W), as sums of shifted views.

Those that end in `_inside` return only the smaller plane where all taps fit: a plane can be padded once for several of
them.
"""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from gagjax.typing import AnyArray, Values

_MEDIAN_OF_ABSOLUTE_NORMAL = 0.6745
_SAMPLES = 64  # minimum per axis: 4096 samples determine the median within 2 %


def windows(plane: Float[AnyArray, "H W"], axis: int, count: int) -> list[Any]:
    """The `count` shifted views, shorter by count - 1 along an axis, read by a stencil of `count` taps."""
    size = plane.shape[axis] - count + 1
    return [jax.lax.slice_in_dim(plane, k, k + size, axis=axis) for k in range(count)]


def once(plane: Float[AnyArray, "H W"]) -> Float[Array, "H+4 W"]:
    """The plane with two rows of zeros above and below, which forces XLA to compute it once.

    XLA fuses the producer of a plane into its consumer and recomputes it for every tap; it never fuses a concatenation.
    The second axis of a separable stencil then costs 5 operations per pixel instead of 25. The rows are removed later.
    """
    rows = jnp.zeros((2, plane.shape[1]), plane.dtype)
    return jnp.concatenate([rows, plane, rows])


def edged(plane: Float[AnyArray, "H W"], reach: int) -> Float[Array, "H+2*{reach} W+2*{reach}"]:
    """The plane with its edge pixels repeated `reach` times on all sides."""
    return jnp.pad(plane, reach, mode="edge")


def cut(plane: AnyArray, margin: int) -> Any:
    """The plane without `margin` pixels on every side."""
    return plane[margin : plane.shape[0] - margin, margin : plane.shape[1] - margin]


def binomial_inside(plane: Float[AnyArray, "H W"]) -> Float[Array, "H-4 W-4"]:
    """Taps [1 4 6 4 1]/16 on both axes where they fit."""

    def taps(axis: int, plane: AnyArray) -> Any:
        a, b, c, d, e = windows(plane, axis, 5)
        return ((a + e) + 4 * (b + d) + 6 * c) * (1 / 16)

    return cut_rows(taps(1, once(taps(0, plane))))


def box_inside(plane: Float[AnyArray, "H W"], side: int = 5) -> Float[Array, "H-{side}+1 W-{side}+1"]:
    """The mean over squares of `side` pixels where they fit."""
    total: Any = sum(windows(once(sum(windows(plane, 0, side))), 1, side))
    return cut_rows(total) * (1 / side**2)


def range_inside(plane: Float[AnyArray, "H W"]) -> tuple[Float[Array, "H-4 W-4"], Float[Array, "H-4 W-4"]]:
    """The minimum and maximum in squares of 5 pixels where they fit."""

    # Not jnp.minimum: its NaN propagation costs twice the instructions.
    def least(axis: int, plane: AnyArray) -> Any:
        return functools.reduce(lambda a, b: jnp.where(a < b, a, b), windows(plane, axis, 5))

    def most(axis: int, plane: AnyArray) -> Any:
        return functools.reduce(lambda a, b: jnp.where(a > b, a, b), windows(plane, axis, 5))

    return cut_rows(least(1, once(least(0, plane)))), cut_rows(most(1, once(most(0, plane))))


def cut_rows(plane: AnyArray) -> Any:
    """Without the rows that `once` added."""
    return plane[2:-2]


def binomial(plane: Float[AnyArray, "H W"]) -> Float[Array, "H W"]:
    """Taps [1 4 6 4 1]/16 on both axes, a Gaussian of standard deviation 1 pixel; edge pixels repeat."""
    return binomial_inside(edged(plane, 2))


def box(plane: Float[AnyArray, "H W"]) -> Float[Array, "H W"]:
    """The mean over a square of 5 pixels a side; edge pixels repeat."""
    return box_inside(edged(plane, 2))


def local_range(plane: Float[AnyArray, "H W"]) -> tuple[Float[Array, "H W"], Float[Array, "H W"]]:
    """The minimum and maximum in a square of 5 pixels a side."""
    return range_inside(edged(plane, 2))


def noise_level(plane: Float[AnyArray, "H W"]) -> Float[Array, ""]:
    """Standard deviation of white noise in an image, robust against its content.

    The second difference along both axes removes smooth content; the median of its absolute value on a regular grid of
    64 x 64 to 127 x 127 samples is that of the noise as long as less than half of the image is textured.

    Source: Immerkaer, Fast noise variance estimation, CVIU 1996 (the operator); with the median instead of the mean.
    """
    height, width = plane.shape
    if min(height, width) < 3:
        return jnp.float32(0)
    steps = max(1, (height - 2) // _SAMPLES), max(1, (width - 2) // _SAMPLES)
    kernel = (1.0, -2.0, 1.0)
    total: Any = 0.0
    for i in range(3):
        line: Any = 0.0
        for j in range(3):
            line = line + kernel[j] * plane[i : height - 2 + i : steps[0], j : width - 2 + j : steps[1]]
        total = total + kernel[i] * line
    return _median(jnp.abs(total).ravel()) / (_MEDIAN_OF_ABSOLUTE_NORMAL * 6)


def _median(values: Float[AnyArray, "N"]) -> Float[Array, ""]:
    """The median of non-negative values, within 0.4 %; 0 if it is below 2^-16.

    Counting values below fixed thresholds, twice, costs a fifth of a sort.
    """
    half = 0.5 * values.shape[0]

    def under(thresholds: AnyArray) -> Any:
        return jnp.sum((values[:, None] < thresholds).astype(jnp.float32), axis=0)

    octaves = np.exp2(np.arange(-16, 8, 0.25)).astype(np.float32)
    first = jnp.sum((under(octaves) <= half).astype(jnp.float32))
    finer = jnp.exp2(-16 + 0.25 * (first - 1) + np.arange(0, 0.25, 0.25 / 24).astype(np.float32))
    second = jnp.sum((under(finer) <= half).astype(jnp.float32))
    return jnp.where(first > 0, jnp.exp2(-16 + 0.25 * (first - 1) + (second - 0.5) * (0.25 / 24)), 0)


def above_noise(energy: AnyArray, level: Values) -> Any:
    """Confidence that local energy exceeds noise: 0 up to the square of `level`, 1 from the square of twice that."""
    return ramp((energy / (level**2 + 1e-10) - 1) * (1 / 3))


def ramp(x: AnyArray) -> Any:
    """Smoothstep: 0 below 0, 1 above 1, smooth in between."""
    x = jnp.clip(x, 0, 1)
    return x * x * (3 - 2 * x)
