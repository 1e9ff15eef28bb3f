"""Savitzky-Golay smoothing: local polynomial fits."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool

from gagjax.filters.base import check_lengths, check_observed
from gagjax.pytree import is_concrete, pytree, static
from gagjax.typing import AnyArray, Tree


@pytree
class SavitzkyGolay:
    """Offline smoother: each frame is replaced by the value of a polynomial fitted to a window around it.

    At the ends the window stays inside the sequence, like `scipy.signal.savgol_filter` with mode "interp". Missing
    frames are excluded from the fit.

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

    def __call__(self, xs: Tree, valid: Bool[AnyArray, "T"] | None = None) -> Any:
        """Smooth a pytree of arrays, time first.

        Args:
            xs: (T, ...).
            valid: (T,) bool; values of frames marked False are never read.

        Raises:
            InputError: If `valid` has another length, or no frame is valid.
        """
        check_lengths(jax.tree.leaves(xs)[0].shape[0], valid=valid)
        check_observed(valid)
        return _fit(self, xs, valid)


def _fit(filter_: SavitzkyGolay, xs: Tree, valid: AnyArray | None) -> Any:
    frames = jax.tree.leaves(xs)[0].shape[0]
    if valid is None or (is_concrete(valid) and bool(np.asarray(valid).all())):
        kernels = _kernels(min(filter_.window, frames), filter_.degree)
        return _whole(jnp.asarray(kernels, float), xs)
    return _with_gaps(filter_, xs, jnp.asarray(valid))


@functools.lru_cache(maxsize=64)
def _kernels(window: int, degree: int) -> np.ndarray:
    """Weights (place, tap) that give the fitted polynomial's value at each place of a window from its frames.

    In float64 and from an orthonormal basis: powers of time are nearly collinear at higher degrees.
    """
    basis = _basis(window, min(degree, window - 1))
    return basis @ basis.T


def _basis(window: int, degree: int) -> np.ndarray:
    """Polynomials of degree 0, 1, ... at the places of a window, orthonormal there, (place, degree + 1)."""
    place = (np.arange(window) - (window - 1) / 2) / window
    return np.linalg.qr(np.polynomial.legendre.legvander(2 * place, degree))[0]


@jax.jit
def _whole(kernels: AnyArray, xs: Tree) -> Any:
    window = kernels.shape[0]
    half = window // 2

    def one(x: AnyArray) -> Any:
        x = jnp.asarray(x)
        frames = x.shape[0]
        start = jnp.clip(jnp.arange(frames) - half, 0, frames - window)
        mine = kernels[jnp.arange(frames) - start]
        # Centred on the frame: far from zero the products would lose precision.
        return x + _weighted(mine, lambda k: x[start + k] - x, x)

    return jax.tree.map(one, xs)


@jax.jit
def _with_gaps(filter_: SavitzkyGolay, xs: Tree, valid: AnyArray) -> Any:
    frames = valid.shape[0]
    window = min(filter_.window, frames)
    degree = min(filter_.degree, window - 1)
    start = jnp.clip(jnp.arange(frames) - window // 2, 0, frames - window)
    taps = start[:, None] + jnp.arange(window)
    seen = valid.astype(float)[taps]
    # An orthonormal basis on each window's valid frames; polynomials that these cannot distinguish from lower ones are
    # dropped, which gives the fit of lowest degree through too few frames.
    columns = jnp.asarray(_basis(window, degree), float)
    inside: list[Any] = []
    here: list[Any] = []
    place = jnp.arange(frames) - start
    for k in range(degree + 1):
        own, at = columns[:, k] * seen, columns[place, k]
        for _ in range(2):  # twice is enough for orthogonality
            for other, there in zip(inside, here, strict=True):
                share = jnp.sum(own * other, 1)
                own, at = own - share[:, None] * other, at - share * there
        square = jnp.sum(own**2, 1)
        useful = square > 1e-8
        scale = jnp.where(useful, jax.lax.rsqrt(jnp.where(useful, square, 1)), 0)
        inside.append(own * scale[:, None])
        here.append(at * scale)
    kernel = sum(at[:, None] * own for own, at in zip(inside, here, strict=True))
    last = jax.lax.cummax(jnp.where(valid, jnp.arange(frames), -1))
    nearest = jnp.where(last < 0, jnp.argmax(valid), last)

    def one(x: AnyArray) -> Any:
        x = jnp.asarray(x)
        near = x[nearest]
        steps = _weighted(kernel, lambda k: jnp.where(_wide(valid[start + k], x), x[start + k] - near, 0), x)
        return near + jnp.where(_wide(seen.any(1), x), steps, 0)

    return jax.tree.map(one, xs)


def _weighted(kernel: AnyArray, step: Callable[[Any], Any], x: AnyArray) -> Any:
    """The sum over taps of the kernel (T, tap) times `step(tap)`, shaped like x."""

    def body(k: int | AnyArray, total: Tree) -> Any:
        return total + _wide(kernel[:, k], x) * step(k)

    return jax.lax.fori_loop(0, kernel.shape[1], body, jnp.zeros(x.shape, jnp.result_type(x.dtype, kernel.dtype)))


def _wide(row: AnyArray, x: AnyArray) -> Any:
    """Reshape (T,) to broadcast against (T, ...)."""
    return row.reshape(-1, *(1,) * (x.ndim - 1))
