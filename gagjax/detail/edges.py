"""Luma and Sobel edges."""

from __future__ import annotations

import functools
from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from gagjax.numerics import safe_sqrt
from gagjax.typing import AnyArray, Scalar

# ITU-R BT.601, the weights of JPEG and of most 8-bit video.
LUMA = (0.299, 0.587, 0.114)

Padding = Literal["zero", "edge", "reflect"]
_MODES = {"zero": "constant", "edge": "edge", "reflect": "reflect"}


def luma(image: Float[AnyArray, "*#batch H W 3"] | Float[AnyArray, "*#batch H W 1"]) -> Float[Array, "*#batch H W 1"]:
    """The luma of RGB images, BT.601 weights; one-channel images are returned unchanged."""
    image = jnp.asarray(image)
    if image.shape[-1] == 1:
        return image
    r, g, b = LUMA
    return r * image[..., 0:1] + g * image[..., 1:2] + b * image[..., 2:3]


def sobel(
    image: Float[AnyArray, "*#batch H W C"], padding: Padding = "zero"
) -> tuple[Float[Array, "*#batch H W C"], Float[Array, "*#batch H W C"]]:
    """Unnormalised horizontal and vertical 3x3 Sobel responses of every channel, by cross-correlation.

    Args:
        image: (..., H, W, C).
        padding: "zero", or "edge" to repeat the border.

    Returns:
        The two responses, each shaped like the image.

    Raises:
        ValueError: If the padding is unknown.
    """
    if padding not in _MODES:
        raise ValueError(f"padding must be one of {sorted(_MODES)}, got {padding!r}")
    image = jnp.asarray(image)
    around = [(0, 0)] * (image.ndim - 3) + [(1, 1), (1, 1), (0, 0)]
    p = jnp.pad(image, around, mode=_MODES[padding])
    height, width = image.shape[-3], image.shape[-2]
    across = p[..., :, 2:, :] - p[..., :, :width, :]
    down = p[..., 2:, :, :] - p[..., :height, :, :]
    gx = across[..., :height, :, :] + 2 * across[..., 1 : height + 1, :, :] + across[..., 2:, :, :]
    gy = down[..., :, :width, :] + 2 * down[..., :, 1 : width + 1, :] + down[..., :, 2:, :]
    return gx, gy


@functools.partial(jax.jit, static_argnames="padding")
def sobel_magnitude(
    image: Float[AnyArray, "*#batch H W C"], padding: Padding = "zero", epsilon: Scalar = 1e-6
) -> Float[Array, "*#batch H W 1"]:
    """The length of the Sobel gradient of the luma, `sqrt(gx^2 + gy^2 + epsilon)`.

    Args:
        image: RGB or one-channel images, (..., H, W, C).
        padding: Border handling: zeros (as published), the edge pixel repeated, or the mirror image.
        epsilon: Added under the root. With 0, the derivative at zero gradient is defined as 0.

    Returns:
        The magnitude, (..., H, W, 1), in image units; a unit step gives 4.
    """
    gx, gy = sobel(luma(image), padding)
    square = gx * gx + gy * gy + epsilon
    return safe_sqrt(square)
