"""Octave bands of a luma plane, computed with all taps inside a plane that is padded once.

A level is blurred by the taps [1 4 6 4 1]/16; the residual is its band, and every second sample of the blurred plane is
the next level. Unlike in a Laplacian pyramid, whose bands are differences to the interpolated next level, no band
depends on a coarser one, and nothing is padded in between.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from gagjax.detail.planes import binomial_inside, cut, windows
from gagjax.typing import AnyArray, Scalar

WINDOW = 2  # reach of the 5x5 windows that read bands
SOFT = 2.25  # factor below a sharp image's fine energy at which an image counts as fully soft


class Bands(NamedTuple):
    """Bands of a plane, including a margin from the mirrored extension.

    Attributes:
        bands: Finest first; each extends beyond the image by at least `margins`, plus the windows.
        around: The plane with a margin of two pixels.
    """

    bands: tuple[Float[Array, "_h _w"], ...]
    around: Float[Array, "H+4 W+4"]

    def plane(self) -> Float[Array, "H W"]:
        """The original plane."""
        return cut(self.around, 2)

    def reaching(self, index: int, reach: int) -> Float[Array, "_h _w"]:
        """A band with a margin of `reach` pixels."""
        band, height = self.bands[index], self.around.shape[0] - 4
        for _ in range(index):
            height = (height + 1) // 2
        return cut(band, (band.shape[0] - height) // 2 - reach)

    def inside(self, index: int) -> Float[Array, "_h _w"]:
        """A band without margin."""
        return self.reaching(index, 0)

    def energies(self, noise: Scalar) -> Float[Array, "2"]:
        """Mean energies of the two finest bands inside the image, minus those of white noise of that deviation."""
        own = jnp.stack([jnp.mean(self.inside(index) ** 2) for index in (0, 1)])
        return jnp.maximum(own - jnp.stack([(noise * band_noise(index)) ** 2 for index in (0, 1)]), 0)


def lack(energies: Float[AnyArray, "2"], sharpness: Scalar) -> Float[Array, ""]:
    """Lack of energy in an image's finest octave: 0 for a sharp image, 1 for a soft one.

    Args:
        energies: Energies of the finest octave and the next.
        sharpness: Their ratio in a sharp image.
    """
    # An image without structure gives no estimate and has nothing to gain.
    fine, coarse = energies[0] + 1e-12, energies[1] + 1e-12
    return jnp.clip((sharpness * coarse / fine - 1) / (SOFT - 1), 0, 1)


@functools.cache
def margins(levels: int) -> list[tuple[int, int]]:
    """Margins in pixels of each level: of its plane, and of the sum at that level."""
    reach = [0]
    for _ in range(1, levels):
        reach.append((reach[-1] + 1) // 2 + 1)
    margin = reach[-1] + 2 + WINDOW
    found = [margin]
    for own in reach[-2::-1]:
        # The blurred plane is two pixels smaller and must start at an even pixel.
        margin = max(2 * margin + 2, own + 2 + WINDOW)
        found.append(margin)
    return list(zip(found[::-1], reach, strict=True))


def bands_of(plane: Float[AnyArray, "H W"], levels: int) -> Bands:
    """Split a plane into bands."""
    reach = margins(levels)[0][0]
    level = padded = jnp.pad(plane, reach, mode="reflect")
    bands = []
    for _ in range(levels):
        blurred = binomial_inside(level)
        bands.append(cut(level, 2) - blurred)
        level = blurred[::2, ::2]
    return Bands(tuple(bands), cut(padded, reach - 2))


def sum_of(scaled: list[Float[AnyArray, "_h _w"]], size: tuple[int, int]) -> Float[AnyArray, "H W"]:
    """Sum bands, interpolating coarse ones with the same taps.

    Args:
        scaled: Bands, finest first, each with the second margin of `margins`.
        size: Height and width of the image.
    """
    reaches = [reach for _, reach in margins(len(scaled))]
    sizes = [size]
    for _ in scaled[1:]:
        sizes.append(((sizes[-1][0] + 1) // 2, (sizes[-1][1] + 1) // 2))
    total = scaled[-1]
    for index in range(len(scaled) - 2, -1, -1):
        reach, (height, width) = reaches[index], sizes[index]
        grown = _twice(_twice(total, 1), 0)
        start = 2 * (reaches[index + 1] - 1) - reach
        total = scaled[index] + grown[start : start + height + 2 * reach, start : start + width + 2 * reach]
    return total


def _twice(plane: AnyArray, axis: int) -> Any:
    """Interpolate to twice the samples, consuming the first and last."""
    before, at, after = windows(plane, axis, 3)
    both = jnp.stack([0.125 * (before + after) + 0.75 * at, 0.5 * (at + after)], axis + 1)
    shape = list(at.shape)
    shape[axis] *= 2
    return both.reshape(shape)


@functools.cache
def band_noise(index: int) -> float:
    """Standard deviation of a band for white noise of standard deviation 1."""
    taps = np.array([1, 4, 6, 4, 1]) / 16
    response = np.ones(1)
    for level in range(index + 1):
        before = response
        spread = np.zeros(4 * 2**level + 1)
        spread[:: 2**level] = taps
        response = np.convolve(before, spread)
    side = (len(response) - len(before)) // 2
    before = np.pad(before, side)
    # Both are separable: sums over the plane are squares of sums over a line.
    return float(np.sqrt((before @ before) ** 2 - 2 * (before @ response) ** 2 + (response @ response) ** 2))
