"""Robust estimate of the neutral face of a tracked clip."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from gagjax.typing import AnyArray


def neutral(
    expression: Float[AnyArray, "T C"],
    valid: Bool[AnyArray, "T"] | None = None,
    *,
    share: float = 0.25,
    penalty: Float[AnyArray, "T"] | Bool[AnyArray, "T"] | None = None,
) -> Float[Array, "C"]:
    """Estimate a person's neutral expression: the mean of the frames closest to the clip's median.

    The first frame, which many tools use, is often mid-blink or mid-word. The per-coefficient median alone may match no
    observed face, because coefficients are correlated.

    Args:
        expression: Coefficients over time, (T, C); non-finite frames are ignored.
        valid: (T,) frames to trust; None is all.
        share: Fraction of the trusted frames to average.
        penalty: (T,) in the coefficients' unit, added to each frame's distance, e.g. larger for an open mouth.

    Returns:
        The neutral coefficients, (C,); zeros if no frame can be trusted.
    """
    x = jnp.asarray(expression)
    trusted = jnp.isfinite(x).all(-1)
    if valid is not None:
        trusted = trusted & jnp.asarray(valid)
    centre = jnp.nanmedian(jnp.where(trusted[:, None], x, jnp.nan), axis=0)
    centre = jnp.where(jnp.isfinite(centre), centre, 0.0)
    off = jnp.where(trusted[:, None], x - centre, 0.0)
    square = (off**2).sum(-1)
    far = jnp.where(square > 0, jnp.sqrt(jnp.where(square > 0, square, 1)), 0) + (
        0.0 if penalty is None else jnp.asarray(penalty)
    )
    far = jnp.where(trusted, far, jnp.inf)
    wanted = jnp.maximum(1, jnp.floor(share * trusted.sum()).astype(int))
    limit = jnp.sort(far)[wanted - 1]
    chosen = (trusted & (far <= limit))[:, None]
    return jnp.where(chosen, x, 0.0).sum(0) / jnp.maximum(chosen.sum(), 1)


def neutral_of_long(
    expression: Float[np.ndarray, "T C"],
    valid: Bool[np.ndarray, "T"] | None = None,
    *,
    share: float = 0.25,
    part: int = 4096,
) -> Float[np.ndarray, "C"]:
    """`neutral` of a clip too long for memory, up to rounding: nothing of its size is made but a few columns at a time.

    Args:
        expression: Coefficients over time, (T, C); non-finite frames are ignored.
        valid: (T,) frames to trust; None is all.
        share: Fraction of the trusted frames to average.
        part: Frames read at a time.

    Returns:
        The neutral coefficients, (C,); zeros if no frame can be trusted.
    """
    frames, columns = expression.shape
    parts = [slice(start, start + part) for start in range(0, frames, part)]
    trusted = np.concatenate([np.isfinite(expression[each]).all(1) for each in parts])
    trusted = trusted if valid is None else trusted & valid
    if not trusted.any():
        return np.zeros(columns, np.float32)
    few = max(1, (1 << 22) // frames)  # 16 MB of them
    centre = np.concatenate(
        [np.median(expression[:, k : k + few][trusted], axis=0) for k in range(0, columns, few)]
    ).astype(np.float32)
    far = np.full(frames, np.inf, np.float32)
    for each in parts:
        off = np.where(trusted[each, None], expression[each] - centre, 0)
        far[each] = np.where(trusted[each], np.sqrt((off**2).sum(1)), np.inf)
    wanted = max(1, int(np.floor(share * trusted.sum())))
    chosen = trusted & (far <= np.partition(far, wanted - 1)[wanted - 1])
    total = sum(expression[each][chosen[each]].sum(0, dtype=np.float64) for each in parts)
    return np.asarray(total / chosen.sum(), np.float32)
