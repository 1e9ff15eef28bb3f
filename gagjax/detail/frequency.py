"""High-boost filters: the image plus a multiple of a low-pass filter's residual.

`box` is the published one. `fft` applies a smooth transfer function to the discrete Fourier transform of the mirrored
image, so that borders do not wrap.
"""

from __future__ import annotations

from typing import Any, Literal

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from gagjax.pytree import pytree, static
from gagjax.typing import AnyArray, Scalar

BOX = 5


@pytree
class FrequencyEnhancer:
    """High-boost filter of images.

    Args:
        gain: Factor of the high frequencies; 1 is the identity.
        method: "box", as published: the low-pass is a 5x5 mean that includes zeros outside the image. "fft": high
            frequencies are selected by a Gaussian transfer function.
        cutoff: For "fft", the frequency in cycles per pixel at which half of the boost is reached, in (0, 0.5].

    Example:
        >>> FrequencyEnhancer(gain=1.0)(jnp.full((8, 8, 3), 0.25))[0, 0].tolist()
        [0.25, 0.25, 0.25]
    """

    gain: Scalar = 1.2
    method: Literal["box", "fft"] = static(default="box")
    cutoff: float = static(default=0.1)

    def __post_init__(self) -> None:
        if self.method not in ("box", "fft"):
            raise ValueError(f"method must be 'box' or 'fft', got {self.method!r}")
        if not 0 < self.cutoff <= 0.5:
            raise ValueError(f"cutoff must lie in (0, 0.5] cycles per pixel, got {self.cutoff}")

    def __call__(self, image: Float[AnyArray, "*#batch H W C"]) -> Float[Array, "*#batch H W C"]:
        """The boosted image, clipped to [0, 1].

        Args:
            image: Images in [0, 1], (..., H, W, C).
        """
        image = jnp.asarray(image)
        if self.method == "box":
            low = box_mean(image)
            return jnp.clip(low + self.gain * (image - low), 0, 1)
        return jnp.clip(image + (self.gain - 1) * high_pass(image, self.cutoff), 0, 1)


def box_mean(image: Float[AnyArray, "*#batch H W C"], size: int = BOX) -> Float[AnyArray, "*#batch H W C"]:
    """The mean over a `size` x `size` window, including zeros outside the image."""
    reach = size // 2
    for axis in (-3, -2):
        pad = [(0, 0)] * image.ndim
        pad[axis] = (reach, reach)
        padded = jnp.pad(image, pad)
        length = image.shape[axis]
        index = [slice(None)] * image.ndim
        total: Any = 0
        for k in range(size):
            index[axis] = slice(k, k + length)
            total = total + padded[tuple(index)]
        image = total * (1 / size)
    return image


def high_pass(image: Float[AnyArray, "*#batch H W C"], cutoff: float) -> Float[Array, "*#batch H W C"]:
    """High-pass filter `1 - 2^-(f / cutoff)^2`, f in cycles per pixel; 0 at f = 0, a half at the cut-off."""
    height, width = image.shape[-3], image.shape[-2]
    # The mirrored image has no discontinuity where its ends meet.
    even = jnp.concatenate([image, jnp.flip(image, -3)], axis=-3)
    even = jnp.concatenate([even, jnp.flip(even, -2)], axis=-2)
    rows = np.fft.fftfreq(2 * height)[:, None, None]
    columns = np.fft.rfftfreq(2 * width)[None, :, None]
    transfer = 1 - np.exp2(-(rows**2 + columns**2) / cutoff**2)
    spectrum = jnp.fft.rfft2(even, axes=(-3, -2)) * transfer.astype(np.float32)
    back = jnp.fft.irfft2(spectrum, s=(2 * height, 2 * width), axes=(-3, -2))
    return back[..., :height, :width, :].astype(image.dtype)
