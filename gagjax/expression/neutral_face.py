"""Robust estimate of the neutral face of a tracked clip."""

from __future__ import annotations

import jax.numpy as jnp
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
