"""PCA of expression clips: a clip- or person-specific subspace.

FLAME's coefficients are already principal components over many people; a second PCA is useful for one clip or person:
compression, denoising in coefficient space (it does not smooth in time), analysis of variation. Fit deviations from
neutral. Batches of a long or distributed clip are merged exactly: each is summarised by its count, mean and a
triangular factor, and merging is associative.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from gagjax.errors import InputError
from gagjax.pytree import pytree
from gagjax.typing import AnyArray, Scalar


class RunningMoments(NamedTuple):
    """Batch summary: the number of rows, their mean (C,), and R (C, C) with R^T R the scatter about it."""

    rows: Float[Array, ""]
    mean: Float[Array, "C"]
    factor: Float[Array, "C C"]


@jax.jit
def moments(rows: Float[AnyArray, "N C"]) -> RunningMoments:
    """The moments of one batch."""
    rows = jnp.asarray(rows, jnp.float32)
    mean = rows.mean(0)
    return RunningMoments(jnp.asarray(rows.shape[0], jnp.float32), mean, _triangle(rows - mean))


@jax.jit
def merge(a: RunningMoments, b: RunningMoments) -> RunningMoments:
    """The moments of both batches combined.

    The factors are stacked and re-factorised (QR) rather than squared into scatter matrices: in float32 squaring would
    lose every component below a thousandth of the largest.
    """
    count = a.rows + b.rows
    apart = b.mean - a.mean
    shift = jnp.sqrt(a.rows * b.rows / count) * apart
    factor = _triangle(jnp.concatenate([a.factor, b.factor, shift[None]]))
    return RunningMoments(count, a.mean + apart * b.rows / count, factor)


def _triangle(rows: AnyArray) -> Array:
    columns = rows.shape[1]
    rows = jnp.concatenate([rows, jnp.zeros((max(columns - rows.shape[0], 0), columns), rows.dtype)])
    return jnp.linalg.qr(rows, mode="r")


@pytree
class PCA:
    """Principal components. Construct with `fit` or `fit_batches`.

    Args:
        mean: (C,).
        components: Orthonormal rows, by descending variance, (K, C); the largest entry of each is positive.
        variance: Variance along each, (K,).
        total: Total variance of the data.

    Example:
        >>> rows = np.random.default_rng(0).normal(size=(50, 4)) * [9, 1, 1, 1]
        >>> PCA.fit(rows, 2).inverse(PCA.fit(rows, 2).transform(rows)).shape
        (50, 4)
    """

    mean: Float[AnyArray, "C"]
    components: Float[AnyArray, "K C"]
    variance: Float[AnyArray, "K"]
    total: Scalar

    @classmethod
    def fit(cls, rows: Float[AnyArray, "N C"], rank: int | None = None) -> PCA:
        """Fit to one array; see `from_moments`.

        Raises:
            InputError: If there are fewer than two rows.
        """
        rows = jnp.asarray(rows)
        if rows.ndim != 2 or rows.shape[0] < 2:
            raise InputError(f"has shape {rows.shape}", field="rows", fix="Pass at least two rows, (N, C)")
        return cls.from_moments(moments(rows), rank)

    @classmethod
    def fit_batches(cls, batches: Iterable[Float[AnyArray, "_N C"]], rank: int | None = None) -> PCA:
        """Fit to a stream of batches; equal to fitting all rows at once.

        Raises:
            InputError: If there are fewer than two rows in total.
        """
        total: RunningMoments | None = None
        for batch in batches:
            total = moments(batch) if total is None else merge(total, moments(batch))
        if total is None or float(total.rows) < 2:
            raise InputError("has fewer than two rows", field="batches")
        return cls.from_moments(total, rank)

    @classmethod
    def from_moments(cls, total: RunningMoments, rank: int | None = None) -> PCA:
        """Components from accumulated moments.

        Args:
            total: From `moments` and `merge`.
            rank: Components to keep; None keeps the maximum that columns and rows allow.

        Raises:
            InputError: If the rank exceeds that maximum.
        """
        columns = total.mean.shape[0]
        most = min(columns, int(total.rows)) if not isinstance(total.rows, jax.core.Tracer) else columns
        rank = most if rank is None else rank
        if not 1 <= rank <= most:
            raise InputError(f"must lie in 1 to {most}, got {rank}", field="rank")
        _, values, rows = jnp.linalg.svd(total.factor, full_matrices=False)
        variance = values**2 / (total.rows - 1)
        largest = jnp.take_along_axis(rows, jnp.abs(rows).argmax(1)[:, None], 1)
        rows = rows * jnp.where(largest < 0, -1.0, 1.0)
        return cls(total.mean, rows[:rank], variance[:rank], variance.sum())

    @property
    def explained(self) -> Float[AnyArray, "K"]:
        """The fraction of total variance along each component."""
        return self.variance / jnp.where(self.total > 0, self.total, 1.0)

    def transform(self, rows: Float[AnyArray, "*#batch C"]) -> Float[Array, "*#batch K"]:
        """Coordinates along the components."""
        return jnp.matmul(jnp.asarray(rows) - self.mean, self.components.T, precision="highest")

    def inverse(self, scores: Float[AnyArray, "*#batch K"]) -> Float[Array, "*#batch C"]:
        """Rows from coordinates."""
        return jnp.matmul(jnp.asarray(scores), self.components, precision="highest") + self.mean

    def shrink(self, rows: Float[AnyArray, "*#batch C"], noise: float) -> Float[Array, "*#batch C"]:
        """Denoise rows: weight each component by signal over signal plus noise variance instead of truncating.

        Args:
            rows: (..., C).
            noise: Standard deviation of the noise in each column.
        """
        signal = jnp.maximum(self.variance - noise**2, 0.0)
        # Zero variance: the weight does not matter.
        return self.inverse(self.transform(rows) * signal / jnp.maximum(self.variance, 1e-20))


def metric_factor(gram: Float[AnyArray, "C C"], regularisation: float = 1e-6) -> Float[np.ndarray, "C C"]:
    """L with `L L^T = gram` (a `RegionEditor`'s): `PCA.fit(rows @ L)` then weights coefficients by vertex displacement.

    The sum of grams over regions covers the whole face; one region's gram covers that region alone. Invert with
    `pca.inverse(scores) @ inv(L)`.
    """
    wide = np.asarray(gram, np.float64)
    ridge = regularisation * np.trace(wide) / len(wide)
    return np.linalg.cholesky(wide + max(ridge, 1e-18) * np.eye(len(wide))).astype(np.float32)
