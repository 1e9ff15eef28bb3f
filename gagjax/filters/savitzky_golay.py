"""Savitzky-Golay smoothing: a polynomial fitted around every frame."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool

from gagjax.pytree import pytree, static


@pytree
class SavitzkyGolay:
    """Offline smoother: each frame is the value there of a polynomial fitted to a window around it.

    At the ends the window stays inside the sequence, as `scipy.signal.savgol_filter` does with mode "interp". Missing
    frames do not count in the fit.

    Args:
        window: Length of the window in frames, odd.
        degree: Degree of the polynomial, less than the window's length.

    Raises:
        ValueError: If the window is not odd or the degree does not fit it.

    Source: Savitzky, Golay, Smoothing and differentiation of data by simplified least squares procedures, 1964.

    Example:
        >>> import numpy as np
        >>> square = np.arange(9.0) ** 2
        >>> bool(np.allclose(SavitzkyGolay(window=5, degree=2)(square), square, atol=1e-4))
        True
    """

    window: int = static(default=9)
    degree: int = static(default=2)

    def __post_init__(self) -> None:
        if self.window < 1 or self.window % 2 == 0:
            raise ValueError(f"window must be odd and positive, got {self.window}")
        if not 0 <= self.degree < self.window:
            raise ValueError(f"degree must lie in 0..{self.window - 1}, got {self.degree}")

    def __call__(self, xs: Any, valid: Bool[Array, "T"] | None = None) -> Any:
        """Smooth a pytree of arrays, time first.

        Args:
            xs: (T, ...).
            valid: (T,) bool; values of frames marked False are never read.
        """
        return _fit(self, xs, valid)


@jax.jit
def _fit(filter: SavitzkyGolay, xs: Any, valid: Any) -> Any:
    frames = jax.tree.leaves(xs)[0].shape[0]
    window = min(filter.window, frames)
    seen = jnp.ones(frames) if valid is None else jnp.asarray(valid).astype(float)
    start = jnp.clip(jnp.arange(frames) - window // 2, 0, frames - window)
    taps = start[:, None] + jnp.arange(window)
    place = (taps - jnp.arange(frames)[:, None]) / (window / 2)
    weight = seen[taps]
    powers = place[..., None] ** jnp.arange(min(filter.degree, window - 1) + 1)
    normal = jnp.einsum("twi,tw,twj->tij", powers, weight, powers, precision="highest")
    # Too few frames for the degree: the smallest fit that goes through them.
    solution = jnp.linalg.pinv(normal, rtol=1e-5, hermitian=True)[:, 0]
    kernel = jnp.einsum("tj,twj,tw->tw", solution, powers, weight, precision="highest")

    def one(x: Any) -> Any:
        x = jnp.asarray(x)
        clean = jnp.where(seen.reshape(-1, *(1,) * (x.ndim - 1)) > 0, x, 0)
        return sum(kernel[:, k].reshape(-1, *(1,) * (x.ndim - 1)) * clean[taps[:, k]] for k in range(window))

    return jax.tree.map(one, xs)
