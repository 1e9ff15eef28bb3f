"""Soft masks around the eyes."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from gagjax.typing import AnyArray, Values

# Where the published enhancer expects the eyes of a portrait, (x, y) as fractions of the image.
DEFAULT_CENTRES = ((0.35, 0.40), (0.65, 0.40))
SIGMA = 0.08


def eye_mask(
    height: int,
    width: int,
    centres: Float[AnyArray, "*#batch 2 2"] | None = None,
    sigma: Values = SIGMA,
) -> Float[Array, "*#batch H W"]:
    """A Gaussian bump at each eye, the larger of the two.

    Args:
        height: Rows of the image.
        width: Columns of the image.
        centres: (x, y) of both eyes in [0, 1], (..., 2, 2), the end points being the outer pixels' centres; None for
            the published places. An eye whose centre is not finite (not found) has no bump.
        sigma: Standard deviation as a fraction of either side.

    Returns:
        Weights in [0, 1], (..., H, W).

    Example:
        >>> eye_mask(5, 5, np.array([[0.5, 0.5], [0.5, 0.5]], np.float32))[2, 2].item()
        1.0
    """
    centres = jnp.asarray(DEFAULT_CENTRES if centres is None else centres, jnp.float32)
    x = (np.arange(width) / max(width - 1, 1)).astype(np.float32)
    y = (np.arange(height) / max(height - 1, 1)).astype(np.float32)
    # Far outside instead of NaN: the bump vanishes, and so does its derivative.
    centres = jnp.where(jnp.isfinite(centres).all(-1, keepdims=True), centres, 1e3)
    across = (x - centres[..., 0:1]) ** 2
    down = (y - centres[..., 1:2]) ** 2
    square = across[..., None, :] + down[..., :, None]
    # The larger bump is that of the nearer eye: one exponential for both.
    return jnp.exp(-jnp.min(square, axis=-3) / (2 * sigma**2))


def centres_from_landmarks(landmarks: Float[AnyArray, "*#batch L 2"]) -> Float[Array, "*#batch 2 2"]:
    """Eye centres as the published code takes them from 68 landmarks: the means of 33 to 38 and of 39 to 44.

    These index ranges are the original's; they mix the nose with the right eye and parts of both eyes.
    """
    landmarks = jnp.asarray(landmarks)[..., :2]
    return jnp.stack([landmarks[..., 33:39, :].mean(-2), landmarks[..., 39:45, :].mean(-2)], axis=-2)
