"""Likelihood of a random walk in noise, from the joint Gaussian density of all observations (float64)."""

from __future__ import annotations

import numpy as np
from scipy.stats import multivariate_normal


def random_walk(x: np.ndarray, valid: np.ndarray, q: float, r: float, initial: float) -> float:
    """Mean negative log-density per scored frame and channel.

    The filter starts at the first observation with variance `initial` and then meets that observation itself; all later
    ones are scored. x is (T, C), valid (T,), the first frame valid.
    """
    frames, channels = x.shape
    # The first prediction adds q; observing the first frame, which equals the mean, only shrinks the variance.
    before = initial + q
    start = before * r / (before + r)
    steps = np.arange(1, frames)
    covariance = start + q * np.minimum.outer(steps, steps) + r * np.eye(frames - 1)
    kept = valid[1:]
    covariance = covariance[np.ix_(kept, kept)]
    total = sum(
        -multivariate_normal.logpdf(x[1:][kept, c], np.full(kept.sum(), x[0, c]), covariance) for c in range(channels)
    )
    return total / (kept.sum() * channels)
