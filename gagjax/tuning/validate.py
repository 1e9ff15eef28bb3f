"""Validation of fitted hyperparameters: cross-validation by clip, and bootstrap intervals."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple, TypeVar

import jax
import numpy as np

from gagjax.tuning.batching import Clip
from gagjax.tuning.constraints import Domain, trainable_leaves
from gagjax.tuning.optimise import Loss, leaf_values, refits
from gagjax.typing import Tree

M = TypeVar("M")


class CrossValidation(NamedTuple):
    """Loss on held-out clips.

    Attributes:
        loss: (folds,) held-out loss of each fold's own fit.
        values: Hyperparameters of each fold's fit, leading axis folds.
    """

    loss: np.ndarray
    values: dict[str, np.ndarray]


class Interval(NamedTuple):
    """A bootstrap interval of one hyperparameter.

    Attributes:
        low: Lower bound.
        high: Upper bound.
        samples: The hyperparameter in each resample, leading axis samples.
    """

    low: np.ndarray
    high: np.ndarray
    samples: np.ndarray


def cross_validate(
    model: M,
    clips: Clip,
    loss: Loss,
    *,
    folds: int = 4,
    only: Iterable[str] | None = None,
    domains: Mapping[str, Domain] | None = None,
    steps: int = 300,
    seed: int = 0,
) -> CrossValidation:
    """Fit on all folds but one and score on the held-out fold, for each fold; all train at once.

    Args:
        model: Start of every fit.
        clips: A batch; whole clips are assigned to folds, since frames of one clip are not independent.
        loss: As in `fit`.
        folds: Number of folds, at most the number of clips.
        only: As in `fit`.
        domains: As in `fit`.
        steps: Optimiser steps.
        seed: Seed of the assignment.

    Raises:
        ValueError: If there are fewer clips than folds, or fewer than two folds.
    """
    count = int(clips.valid.shape[0])
    if not 2 <= folds <= count:
        raise ValueError(f"{count} clips cannot make {folds} folds; use 2 to {count}")
    fold = np.random.default_rng(seed).permutation(count) % folds
    held = (fold[None] == np.arange(folds)[:, None]).astype(np.float32)
    # Early stopping uses training clips only, so that the held-out fold cannot influence it.
    models, _ = refits(model, clips, loss, 1 - held, 1 - held, only=only, domains=domains, steps=steps)
    return CrossValidation(
        scores(models, clips, loss, held), leaf_values(models, trainable_leaves(model, only, domains))
    )


def bootstrap(
    model: M,
    clips: Clip,
    loss: Loss,
    *,
    samples: int = 40,
    level: float = 0.95,
    only: Iterable[str] | None = None,
    domains: Mapping[str, Domain] | None = None,
    steps: int = 80,
    seed: int = 0,
) -> dict[str, Interval]:
    """Intervals of the fitted hyperparameters by refitting on clips drawn with replacement.

    Args:
        model: The fitted model, at which every resample starts.
        clips: A batch; whole clips are drawn.
        loss: As in `fit`.
        samples: Number of resamples; all train at once.
        level: Coverage of the interval.
        only: As in `fit`.
        domains: As in `fit`.
        steps: Optimiser steps per resample.
        seed: Seed of the draws.

    Returns:
        An interval for every trained hyperparameter, by name.

    Source: Efron, Bootstrap methods: another look at the jackknife, 1979 (percentile interval).
    """
    count = int(clips.valid.shape[0])
    rng = np.random.default_rng(seed)
    draws = rng.multinomial(count, np.full(count, 1 / count), size=samples).astype(np.float32)
    models, _ = refits(model, clips, loss, draws, draws, only=only, domains=domains, steps=steps)
    tail = (1 - level) / 2
    return {
        name: Interval(np.quantile(value, tail, axis=0), np.quantile(value, 1 - tail, axis=0), value)
        for name, value in leaf_values(models, trainable_leaves(model, only, domains)).items()
    }


def scores(models: Tree, clips: Clip, loss: Loss, weights: np.ndarray) -> np.ndarray:
    """Weighted mean loss of each of a stack of models, (runs,), under its own row of weights (runs, clips)."""
    values = jax.jit(jax.vmap(lambda m: jax.vmap(lambda clip: loss(m, clip))(clips)))(models)
    return np.asarray((np.where(weights > 0, values, 0) * weights).sum(1) / weights.sum(1))
