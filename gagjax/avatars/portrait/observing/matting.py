"""A coarse matte drawn to the edges that the photo has."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from scipy import ndimage

_RADIUS = 0.05  # of the window, in picture widths: the network's matte is off by less
_ROUNDS = 3  # each brings the edge nearer to the photo's
_SMOOTH = 2e-4  # colour variance below which there is no edge to follow


def refined(photo: Float[np.ndarray, "H W 3"], matte: Float[np.ndarray, "H W"]) -> Float[np.ndarray, "H W"]:
    """The matte as a locally linear function of the photo's colours.

    Args:
        photo: Display-encoded RGB in [0, 1].
        matte: The network's, whose edge is soft and up to a few hundredths of the picture off.

    Returns:
        The matte, its edge where the colours change.

    Source: He, Sun and Tang, Guided image filtering, TPAMI 2013, section 3.5 (colour guide).
    """
    size = 2 * max(2, round(_RADIUS * matte.shape[1])) + 1

    def mean(x: np.ndarray) -> np.ndarray:
        return ndimage.uniform_filter(x, (size, size) + (0,) * (x.ndim - 2), mode="nearest")

    guide, out = np.asarray(photo, np.float64), np.asarray(matte, np.float64)
    centre = mean(guide)
    square = mean(guide[..., :, None] * guide[..., None, :]) - centre[..., :, None] * centre[..., None, :]
    # Deep inside and far outside the network is right.
    inside, outside = ndimage.minimum_filter(out, size) > 0.95, ndimage.maximum_filter(out, size) < 0.05
    for _ in range(_ROUNDS):
        level = mean(out)
        along = mean(guide * out[..., None]) - centre * level[..., None]
        slope = np.linalg.solve(square + _SMOOTH * np.eye(3), along[..., None])[..., 0]
        offset = level - (slope * centre).sum(-1)
        out = np.clip(((mean(slope) * guide).sum(-1) + mean(offset) - 0.15) / 0.7, 0, 1)
        out = np.where(inside, 1.0, np.where(outside, 0.0, out))
    return out.astype(np.float32)
