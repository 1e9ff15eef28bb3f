"""Soft eye masks."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from gagjax.typing import AnyArray, Values

# Eye positions assumed by the published enhancer for a portrait, (x, y) as fractions of the image.
DEFAULT_CENTRES = ((0.35, 0.40), (0.65, 0.40))
SIGMA = 0.08


def eye_mask(
    height: int,
    width: int,
    centres: Float[AnyArray, "*#batch 2 2"] | None = None,
    sigma: Values = SIGMA,
) -> Float[Array, "*#batch H W"]:
    """The maximum of a Gaussian bump at each eye.

    Args:
        height: Rows of the image.
        width: Columns of the image.
        centres: (x, y) of both eyes in [0, 1], (..., 2, 2), where 0 and 1 are the outermost pixel centres; None for the
            published positions. An eye with a non-finite centre (not found) has no bump.
        sigma: Standard deviation as a fraction of each side.

    Returns:
        Weights in [0, 1], (..., H, W).

    Example:
        >>> eye_mask(5, 5, np.array([[0.5, 0.5], [0.5, 0.5]], np.float32))[2, 2].item()
        1.0
    """
    centres = jnp.asarray(DEFAULT_CENTRES if centres is None else centres, jnp.float32)
    x = (np.arange(width) / max(width - 1, 1)).astype(np.float32)
    y = (np.arange(height) / max(height - 1, 1)).astype(np.float32)
    # NaN centres are moved far outside: the bump and its derivative vanish.
    centres = jnp.where(jnp.isfinite(centres).all(-1, keepdims=True), centres, 1e3)
    across = (x - centres[..., 0:1]) ** 2
    down = (y - centres[..., 1:2]) ** 2
    square = across[..., None, :] + down[..., :, None]
    # The larger bump is that of the nearer eye, so one exponential is enough.
    return jnp.exp(-jnp.min(square, axis=-3) / (2 * sigma**2))


def centres_from_landmarks(landmarks: Float[AnyArray, "*#batch L 2"]) -> Float[Array, "*#batch 2 2"]:
    """Eye centres from 68 landmarks as in the published code: the means of 33 to 38 and of 39 to 44.

    These index ranges are the original's; they mix nose points with the right eye, and parts of both eyes.
    """
    landmarks = jnp.asarray(landmarks)[..., :2]
    return jnp.stack([landmarks[..., 33:39, :].mean(-2), landmarks[..., 39:45, :].mean(-2)], axis=-2)
