"""Measures that the enhancements' document names without defining them: stability, detail fidelity, eye sharpness.

The definitions are ours; say so with the figure. Frames are as in `gagjax.metrics.image`.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Shaped

from gagjax.detail.pyramid import laplacian_pyramid
from gagjax.errors import InputError
from gagjax.metrics.image import comparable
from gagjax.typing import AnyArray

BANDS = 3
_LUMA = (0.299, 0.587, 0.114)


@jax.jit
def temporal_stability(values: Shaped[AnyArray, "T *dims"]) -> Float[Array, ""]:
    """How uniform a motion is, in [0, 1]: 1 - sum |x_(t-1) - 2 x_t + x_(t+1)| / sum (|x_t - x_(t-1)| + |x_(t+1) - x_t|).

    The numerator is the change of the change, the denominator the most that it can be (triangle inequality). 1 for
    stillness and for steady motion, 0 for a value that goes back and forth; white noise has 0.13. It does not depend on the
    size of the motion, so a still face with a trace of noise is as unstable as one that shakes: read it beside the jitter.

    Args:
        values: Frames, (T, H, W, C), or any signal over time such as vertices, (T, V, 3); T at least 3.

    Returns:
        A number in [0, 1].

    Example:
        >>> float(temporal_stability(np.arange(5.0)))
        1.0
    """
    x = jnp.asarray(values, jnp.float32)
    if x.shape[0] < 3:
        raise ValueError(f"{x.shape[0]} frames are too few, three are needed")
    step = jnp.diff(x, axis=0)
    bent, most = jnp.abs(jnp.diff(step, axis=0)).sum(), (jnp.abs(step[1:]) + jnp.abs(step[:-1])).sum()
    return jnp.where(most > 0, 1 - bent / jnp.where(most > 0, most, 1), 1.0)


@jax.jit
def detail_fidelity(frames: Shaped[AnyArray, "T H W 3"], truth: Shaped[AnyArray, "T H W 3"]) -> Float[Array, "T"]:
    """How well fine detail agrees with the truth's: the mean over the three finest Laplacian bands of
    2 <x, y> / (|x|^2 + |y|^2).

    That is the correlation times 2 g / (1 + g^2) for an energy ratio of g: it falls for blur, for detail in the wrong
    place, and for too much sharpening.

    Args:
        frames: (T, H, W, 3) in [0, 1], or uint8.
        truth: The same shape.

    Returns:
        (T,) in [-1, 1]; 1 where the bands are equal.

    Source: the bands of Burt and Adelson, The Laplacian pyramid as a compact image code, IEEE Trans. Comm. 1983.
    """
    bands = [laplacian_pyramid(each, levels=BANDS)[0] for each in comparable(frames, truth)]
    scores = []
    for x, y in zip(*bands, strict=True):
        both = jnp.sum(x * y, (1, 2, 3))
        energy = jnp.sum(x * x, (1, 2, 3)) + jnp.sum(y * y, (1, 2, 3))
        scores.append(jnp.where(energy > 1e-12, 2 * both / jnp.where(energy > 1e-12, energy, 1), 1.0))
    return jnp.mean(jnp.stack(scores), 0)


@jax.jit
def eye_sharpness(
    frames: Shaped[AnyArray, "T H W 3"], mask: Float[AnyArray, "T H W"] | Float[AnyArray, "H W"]
) -> Float[Array, "T"]:
    """Root-mean-square gradient of the luma inside the eyes, in grey levels (of 255) a pixel.

    Args:
        frames: (T, H, W, 3) in [0, 1], or uint8.
        mask: Weights in [0, 1], (T, H, W) or (H, W), such as `gagjax.gaze.eye_mask`.

    Returns:
        (T,); NaN where the mask is empty. Divide by the truth's: below 1 is blurred, above 1 sharper than it should be.

    Source: gradient energy as a focus measure, Krotkov, Focusing, Int. J. Computer Vision 1987.
    """
    (x,) = comparable(frames)
    luma = x @ jnp.asarray(_LUMA, x.dtype)
    dx = luma[:, :-1, 1:] - luma[:, :-1, :-1]
    dy = luma[:, 1:, :-1] - luma[:, :-1, :-1]
    weight = jnp.broadcast_to(jnp.asarray(mask, x.dtype), luma.shape)[:, :-1, :-1]
    return 255 * jnp.sqrt(jnp.sum(weight * (dx**2 + dy**2), (1, 2)) / jnp.sum(weight, (1, 2)))


def average_keypoint_distance(points: Float[AnyArray, "T N 2"], truth: Float[AnyArray, "T N 2"]) -> float:
    """AKD: the mean Euclidean distance of landmarks found in the frames and in the true ones, pixels of the frames.

    Args:
        points: Landmarks, NaN in frames where none were found.
        truth: The same landmarks of the true frames.

    Returns:
        Pixels; NaN if no frame has both. Frames without a face on either side do not count: say how many.

    Source: Siarohin et al., First order motion model for image animation, NeurIPS 2019 (the measure's name).
    """
    apart = np.linalg.norm(np.asarray(points, np.float64) - np.asarray(truth, np.float64), axis=-1).mean(-1)
    return float(np.mean(apart[np.isfinite(apart)])) if np.isfinite(apart).any() else float("nan")


def identity_similarity(embeddings: Float[AnyArray, "T D"], truth: Float[AnyArray, "_S _D"]) -> Float[np.ndarray, "T"]:
    """CSIM: the cosine of two face-recognition embeddings, frame by frame.

    Args:
        embeddings: Of the frames, by the caller's network (ArcFace in avatar papers).
        truth: Of the true frames, or one row, of the source picture, for all.

    Returns:
        (T,) in [-1, 1].

    Raises:
        InputError: If the lengths or widths do not go together, or a row is zero.

    Source: Deng et al., ArcFace, CVPR 2019 (the embedding).
    """
    a, b = (np.asarray(each, np.float64) for each in (embeddings, truth))
    if a.shape[1] != b.shape[1] or len(b) not in (1, len(a)):
        raise InputError(f"have shapes {a.shape} and {b.shape}", field="embeddings", fix="Pass one row for each frame")
    lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    if not (lengths > 0).all():
        raise InputError("hold a row of zeros", field="embeddings", fix="Leave out frames without a face")
    return (a * b).sum(1) / lengths
