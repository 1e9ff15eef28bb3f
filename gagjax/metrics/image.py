"""Image metrics on (T, H, W, C), time first; one value per frame unless stated otherwise.

Frames are floats in [0, 1] or uint8 (0..255), distinguished by dtype; both of a pair must have the same kind, and other
dtypes are refused. Everything is computed in float32 (float64 if given and x64 is on).

The clip value is the mean over frames (`psnr(x, y).mean()`), as in avatar papers, not the metric of the mean error.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Shaped

from gagjax.errors import InputError
from gagjax.numerics import safe_sqrt
from gagjax.typing import AnyArray, Tree

# Wang, Simoncelli and Bovik, Multiscale structural similarity for image quality assessment, 2003.
MS_SSIM_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
_C1, _C2 = 0.01**2, 0.03**2


def comparable(*frames: AnyArray) -> list[Any]:
    """Frames as floats in [0, 1], after checking that they can be compared; works on tracers too.

    Args:
        *frames: Arrays of one shape, all floats in [0, 1] or all uint8.

    Returns:
        The frames as floats of at least 32 bits.

    Raises:
        InputError: If a type is neither, the types are mixed, or the shapes differ.

    Example:
        >>> comparable(np.full((1, 1, 1, 3), 255, np.uint8))[0].ravel().tolist()
        [1.0, 1.0, 1.0]
    """
    arrays = [each if isinstance(each, jax.Array) else np.asarray(each) for each in frames]
    for each in arrays:
        if each.dtype != np.uint8 and not jnp.issubdtype(each.dtype, jnp.floating):
            raise InputError(f"has type {each.dtype}", field="frames", fix="Pass floats in [0, 1], or uint8")
    if len({each.dtype == np.uint8 for each in arrays}) > 1:
        kinds = " and ".join(str(each.dtype) for each in arrays)
        raise InputError(f"mixes {kinds}", field="frames", fix="Pass both as floats in [0, 1], or both as uint8")
    if len({each.shape for each in arrays}) > 1:
        shapes = " and ".join(str(tuple(each.shape)) for each in arrays)
        raise InputError(f"has shapes {shapes}", field="frames", fix="Pass frames of one shape")
    return [_as_unit_floats(each) for each in arrays]


def _as_unit_floats(frames: AnyArray) -> Any:
    if frames.dtype == np.uint8:
        return jnp.asarray(frames, jnp.float32) / 255
    return jnp.asarray(frames, jnp.promote_types(frames.dtype, jnp.float32))


@jax.jit
def psnr(frames: Shaped[AnyArray, "T H W C"], truth: Shaped[AnyArray, "T H W C"]) -> Float[Array, "T"]:
    """Peak signal-to-noise ratio, -10 log10 of the mean squared error over all pixels and channels, dB.

    Args:
        frames: (T, H, W, C) in [0, 1], or uint8.
        truth: Ground truth, the same shape.

    Returns:
        (T,) dB; infinite where the frames are equal.

    Example:
        >>> import numpy as np
        >>> psnr(np.full((1, 4, 4, 3), 0.6), np.full((1, 4, 4, 3), 0.5)).round(1).tolist()
        [20.0]
    """
    frames, truth = comparable(frames, truth)
    return -10 * jnp.log10(jnp.mean((frames - truth) ** 2, axis=(-3, -2, -1)))


@jax.jit
def masked_psnr(
    frames: Shaped[AnyArray, "T H W C"],
    truth: Shaped[AnyArray, "T H W C"],
    mask: Shaped[AnyArray, "T H W"] | Shaped[AnyArray, "H W"],
) -> Float[Array, "T"]:
    """PSNR of a region: squared errors are weighted by the mask, sum(m e^2) / sum(m), dB.

    Args:
        frames: (T, H, W, C) in [0, 1], or uint8.
        truth: The same shape.
        mask: Weights in [0, 1], (T, H, W) or (H, W): for eyes `gagjax.gaze.eye_mask`.

    Returns:
        (T,) dB; NaN where the mask is empty.
    """
    frames, truth = comparable(frames, truth)
    error = jnp.mean((frames - truth) ** 2, axis=-1)
    mask = jnp.broadcast_to(jnp.asarray(mask, error.dtype), error.shape)
    return -10 * jnp.log10(jnp.sum(mask * error, axis=(-2, -1)) / jnp.sum(mask, axis=(-2, -1)))


@functools.partial(jax.jit, static_argnames=("sigma",))
def high_frequency_psnr(
    frames: Shaped[AnyArray, "T H W C"], truth: Shaped[AnyArray, "T H W C"], *, sigma: float = 1.5
) -> Float[Array, "T"]:
    """PSNR of the high frequencies, the residual of a Gaussian blur: of x - G x against y - G y, dB.

    Not a standard metric: report sigma with it. Borders are mirrored (the outermost pixel repeated).

    Args:
        frames: (T, H, W, C) in [0, 1], or uint8.
        truth: The same shape.
        sigma: Standard deviation of the blur, pixels; 1.5 is meant for frames of 512 pixels.

    Returns:
        (T,) dB.
    """

    radius = _radius(sigma)

    def one(pair: Tree) -> Any:
        # The blur is linear: apply it to the error.
        error = _planar(pair[0]) - _planar(pair[1])
        blurred = _blur_valid(jnp.pad(error, [(0, 0), (radius, radius), (radius, radius)], mode="symmetric"), sigma)
        return -10 * jnp.log10(jnp.mean((error - blurred) ** 2))

    return jax.lax.map(one, tuple(comparable(frames, truth)))


@functools.partial(jax.jit, static_argnames=("grey",))
def ssim(
    frames: Shaped[AnyArray, "T H W C"], truth: Shaped[AnyArray, "T H W C"], *, grey: bool = False
) -> Float[Array, "T"]:
    """Structural similarity with a Gaussian window of 11 by 11 pixels, sigma 1.5, K1 = 0.01, K2 = 0.03.

    The mean over the pixels whose window lies inside the frame, and over the channels: equal to scikit-image's
    `structural_similarity(gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=1)`.

    Args:
        frames: (T, H, W, C) in [0, 1], or uint8, at least 11 pixels wide and high.
        truth: The same shape.
        grey: Convert RGB to grey first (0.2989, 0.587, 0.114), as GAGAvatar's own evaluation does.

    Returns:
        (T,), 1 for equal frames.

    Source: Wang, Bovik, Sheikh and Simoncelli, Image quality assessment, IEEE Trans. Image Processing 2004.
    """

    def one(pair: Tree) -> Any:
        x, y = (_planar(_grey(image) if grey else image) for image in pair)
        luminance, contrast = _ssim_maps(x, y)
        return jnp.mean(luminance * contrast)

    # One frame at a time: the maps of a whole clip would not fit into memory.
    return jax.lax.map(one, tuple(comparable(frames, truth)))


@functools.partial(jax.jit, static_argnames=("weights",))
def ms_ssim(
    frames: Shaped[AnyArray, "T H W C"],
    truth: Shaped[AnyArray, "T H W C"],
    *,
    weights: Sequence[float] = MS_SSIM_WEIGHTS,
) -> Float[Array, "T"]:
    """Multi-scale SSIM: the weighted product of the contrast terms of all scales and the full SSIM of the coarsest.

    Scales are computed by averaging 2 by 2 pixels (an odd last row or column is dropped); terms are means over the
    pixels of a scale, per channel, with negative ones set to 0; the result is the mean over the channels.

    Args:
        frames: (T, H, W, C) in [0, 1], or uint8; with five scales at least 176 pixels wide and high.
        truth: The same shape.
        weights: Exponent of each scale, fine to coarse; fewer for small frames.

    Returns:
        (T,), 1 for equal frames.

    Raises:
        ValueError: If the coarsest scale would be smaller than the window.

    Source: Wang, Simoncelli and Bovik, Multiscale structural similarity for image quality assessment, 2003.
    """
    smallest = 11 * 2 ** (len(weights) - 1)
    if min(frames.shape[1:3]) < smallest:
        raise ValueError(f"{len(weights)} scales need frames of {smallest} pixels, got {frames.shape[1:3]}")

    def one(pair: Tree) -> Any:
        x, y = (_planar(image) for image in pair)
        product = jnp.ones(x.shape[0])
        for scale, weight in enumerate(weights):
            luminance, contrast = _ssim_maps(x, y)
            last = scale == len(weights) - 1
            term = jnp.mean(luminance * contrast if last else contrast, axis=(1, 2))
            product = product * jnp.maximum(term, 0) ** weight
            x, y = _half(x), _half(y)
        return jnp.mean(product)

    return jax.lax.map(one, tuple(comparable(frames, truth)))


@jax.jit
def gradient_error(frames: Shaped[AnyArray, "T H W C"], truth: Shaped[AnyArray, "T H W C"]) -> Float[Array, "T"]:
    """Mean length of the difference of the two images' gradients (forward differences), per frame."""
    frames, truth = comparable(frames, truth)
    error = frames - truth
    dx = error[:, :-1, 1:] - error[:, :-1, :-1]
    dy = error[:, 1:, :-1] - error[:, :-1, :-1]
    square = dx**2 + dy**2
    return jnp.mean(safe_sqrt(square), axis=(1, 2, 3))


@jax.jit
def flicker(frames: Shaped[AnyArray, "T H W C"], truth: Shaped[AnyArray, "T H W C"] | None = None) -> Float[Array, ""]:
    """Unwanted change from frame to frame: a temporal difference without optical flow, one number.

    With the truth: mean over pixels and pairs of frames of |(x_t - x_(t-1)) - (y_t - y_(t-1))|. Without: mean of
    |x_(t-1) - 2 x_t + x_(t+1)|, which also grows with motion; compare only videos of the same motion.

    Args:
        frames: (T, H, W, C) in [0, 1], or uint8; T at least 2, without truth 3.
        truth: The same shape, or None.

    Returns:
        A number, 0 for the truth itself; multiply by 255 for grey levels.
    """
    if truth is None:
        return jnp.mean(jnp.abs(jnp.diff(comparable(frames)[0], n=2, axis=0)))
    frames, truth = comparable(frames, truth)
    return jnp.mean(jnp.abs(jnp.diff(frames - truth, axis=0)))


@jax.jit
def warping_error(
    frames: Shaped[AnyArray, "T H W C"], flow: Float[AnyArray, "S H W 2"], mask: Float[AnyArray, "S H W"]
) -> Float[Array, "S"]:
    """Squared difference of each frame and its predecessor warped by a known flow: sum(m e^2) / sum(m).

    Args:
        frames: (T, H, W, C) in [0, 1], or uint8.
        flow: Backward flow: position of each pixel of frame t in frame t - 1, relative (x, y) in pixels,
            (T - 1, H, W, 2); for example from the mesh motion.
        mask: 1 where the flow is known and nothing was occluded, (T - 1, H, W).

    Returns:
        (T - 1,), the mean over channels included.

    Source: Lai et al., Learning blind video temporal consistency, ECCV 2018.
    """
    (frames,) = comparable(frames)
    height, width = frames.shape[1:3]
    y, x = jnp.meshgrid(jnp.arange(height), jnp.arange(width), indexing="ij")

    def one(before: AnyArray, now: AnyArray, move: AnyArray, weight: AnyArray) -> Any:
        place = [y + move[..., 1], x + move[..., 0]]
        moved = jnp.stack(
            [
                jax.scipy.ndimage.map_coordinates(before[..., c], place, order=1, mode="nearest")
                for c in range(before.shape[-1])
            ],
            -1,
        )
        return jnp.sum(weight * jnp.mean((now - moved) ** 2, -1)) / jnp.sum(weight)

    return jax.vmap(one)(frames[:-1], frames[1:], flow, mask)


def _planar(image: AnyArray) -> Any:
    """Channels first: rows are then contiguous, and shifted sums run at memory speed."""
    return jnp.moveaxis(image, -1, 0)


def _grey(image: AnyArray) -> Any:
    return (image @ jnp.asarray([0.2989, 0.587, 0.114], image.dtype))[..., None]


def _ssim_maps(x: AnyArray, y: AnyArray) -> tuple[Any, Any]:
    """The luminance and the contrast-structure factor of SSIM at every inner pixel."""
    # Centred at one half: the variances below are differences of squares, and float32 loses digits far from zero.
    u, v = x - 0.5, y - 0.5
    # One blur of all five planes, computed once: without the barrier XLA blurs again wherever a plane is used.
    planes = _blur_valid(jnp.concatenate([u, v, u * u, v * v, u * v]), 1.5)
    mean_u, mean_v, square_u, square_v, product = jnp.split(jax.lax.optimization_barrier(planes), 5)
    var_u, var_v = square_u - mean_u**2, square_v - mean_v**2
    both = product - mean_u * mean_v
    mean_x, mean_y = mean_u + 0.5, mean_v + 0.5
    luminance = (2 * mean_x * mean_y + _C1) / (mean_x**2 + mean_y**2 + _C1)
    return luminance, (2 * both + _C2) / (var_u + var_v + _C2)


def _half(x: AnyArray) -> Any:
    height, width = (n // 2 * 2 for n in x.shape[1:])
    x = x[:, :height, :width]
    return (x[:, ::2, ::2] + x[:, 1::2, ::2] + x[:, ::2, 1::2] + x[:, 1::2, 1::2]) / 4


def _radius(sigma: float) -> int:
    return int(3.5 * sigma + 0.5)


@functools.partial(jax.custom_vjp, nondiff_argnums=(1,))
def _blur_valid(x: AnyArray, sigma: float) -> Any:
    """Gaussian blur over height and width of (C, H, W), without padding: smaller by the window's width minus one."""
    radius = _radius(sigma)
    taps = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    taps = taps / taps.sum()
    for axis in (1, 2):
        # The barrier keeps XLA from recomputing the first blur inside every tap of the second.
        x = jax.lax.optimization_barrier(x)
        length = x.shape[axis] - 2 * radius
        # Shifted sums: much faster than a convolution on CPUs.
        total: Any = sum(
            float(tap) * jax.lax.slice_in_dim(x, shift, shift + length, axis=axis) for shift, tap in enumerate(taps)
        )
        x = total
    return x


def _blur_forward(x: AnyArray, sigma: float) -> tuple[Any, None]:
    return _blur_valid(x, sigma), None


def _blur_backward(sigma: float, _: None, pull: AnyArray) -> tuple[Any]:
    """The window is symmetric: the transpose is the same blur of the padded cotangent, several times as fast as XLA's."""
    margin = (2 * _radius(sigma),) * 2
    return (_blur_valid(jnp.pad(pull, ((0, 0), margin, margin)), sigma),)


_blur_valid.defvjp(_blur_forward, _blur_backward)
