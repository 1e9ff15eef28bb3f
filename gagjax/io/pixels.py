"""Conversion of pixel values between floats and uint8."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Shaped, UInt8


def to_uint8(image: Float[np.ndarray, "*shape"]) -> UInt8[np.ndarray, "*shape"]:
    """Values in [0, 1] as uint8, rounded; values outside are clipped, NaN becomes 0.

    Example:
        >>> to_uint8(np.array([0.0, 0.5, 2.0])).tolist()
        [0, 128, 255]
    """
    return (np.nan_to_num(np.clip(image, 0.0, 1.0)) * 255.0 + 0.5).astype(np.uint8)


def as_pixels(frame: Shaped[np.ndarray, "H W 3"]) -> UInt8[np.ndarray, "H W 3"]:
    """A frame as 8-bit RGB.

    Args:
        frame: (H, W, 3), uint8, or floats in [0, 1].

    Raises:
        ValueError: If it has another shape or type.
    """
    frame = np.asarray(frame)
    if frame.ndim != 3 or frame.shape[2] != 3 or 0 in frame.shape:
        raise ValueError(f"a frame is (H, W, 3), got {frame.shape}")
    if frame.dtype == np.uint8:
        return frame
    if frame.dtype.kind != "f":
        raise ValueError(f"a frame is uint8 or float in [0, 1], got {frame.dtype}")
    return to_uint8(frame)
