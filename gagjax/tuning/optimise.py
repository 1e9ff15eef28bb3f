"""Fit hyperparameters by gradient descent: many runs at once, each with its own start and clip weights.

Restarts, cross-validation folds and bootstrap samples differ only in their start and clip weights, so all are one
`vmap` over (start, weights) of one compiled training loop.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float
from tqdm import tqdm

from gagjax.tuning.batching import Clip
from gagjax.tuning.constraints import Domain, constrain, leaf_name, trainable_leaves, unconstrain
from gagjax.typing import AnyArray, Tree

Loss = Callable[[Any, Clip], Float[Array, ""]]
M = TypeVar("M")
CHUNK = 20  # optimiser steps per compiled call: progress display and early stopping happen between calls


class FitResult(NamedTuple):
    """The result of `fit`.

    Attributes:
        model: The input model with trained hyperparameters.
        values: Trained hyperparameters by name.
        train_loss: (steps,) mean loss on training clips of the chosen run.
        held_out_loss: (steps,) the same on held-out clips; NaN where there are none.
        before: (train, held-out) loss of the input model.
        after: (train, held-out) loss of the fitted model.
        runs: Final held-out (or training) loss of every restart.
    """

    model: Any
    values: dict[str, np.ndarray]
    train_loss: np.ndarray
    held_out_loss: np.ndarray
    before: tuple[float, float]
    after: tuple[float, float]
    runs: np.ndarray


def fit(
    model: M,
    clips: Clip,
    loss: Loss,
    *,
    only: Iterable[str] | None = None,
    domains: Mapping[str, Domain] | None = None,
    held_out: int | Iterable[int] = 0,
    steps: int = 400,
    learning_rate: float = 0.1,
    patience: int = 60,
    restarts: int = 1,
    spread: float = 1.5,
    seed: int = 0,
    progress: bool = False,
) -> FitResult:
    """Fit a model's hyperparameters to clips by Adam on unconstrained parameters.

    Args:
        model: A filter, smoother or stack: any pytree whose leaves are hyperparameters.
        clips: A batch from `clips.batch`.
        loss: `loss(model, clip) -> scalar` for one clip; see `tuning.losses`.
        only: Which leaves train, by name or suffix; None for all with a known domain.
        domains: Domains of further leaves.
        held_out: Clips for early stopping and the choice of restart: their number, drawn with `seed`, or their indices.
            0 for none: then the training loss decides.
        steps: Maximum number of optimiser steps.
        learning_rate: Peak rate of Adam, with cosine decay; in units of log-hyperparameters.
        patience: Stop after this many steps without a better held-out loss.
        restarts: Number of runs, the first from the given model; the best is returned.
        spread: Standard deviation of the other starts around the given one, in log-hyperparameters.
        seed: Seed of the starts and of the held-out draw.
        progress: Show a progress bar.

    Returns:
        The fit. Its model is never worse than the input model in the deciding loss.

    Raises:
        ValueError: If nothing can train, or every clip is held out.
    """
    count = int(clips.valid.shape[0])
    rng = np.random.default_rng(seed)
    out = np.sort(rng.permutation(count)[:held_out]) if isinstance(held_out, int) else np.asarray(list(held_out), int)
    weights = np.ones(count, np.float32)
    weights[out] = 0
    if not weights.any():
        raise ValueError(f"all {count} clips are held out; leave some to learn from")
    judge = np.zeros(count, np.float32) if len(out) else weights.copy()
    judge[out] = 1
    task = _Task(model, only, domains)
    start = task.start(model)
    starts = jax.tree.map(
        lambda z: np.concatenate([[z], z + spread * rng.normal(size=(restarts - 1, *np.shape(z)))]).astype(
            np.asarray(z).dtype
        ),
        start,
    )
    tile = functools.partial(np.broadcast_to, shape=(restarts, count))
    best, train, judged = _optimise(
        task, loss, clips, starts, tile(weights), tile(judge), steps, learning_rate, patience, progress
    )
    runs = np.nanmin(np.where(np.isfinite(judged), judged, np.inf), axis=1)
    winner = int(np.argmin(runs))
    fitted = task.model(jax.tree.map(lambda z: z[winner], best))
    # The clips are an argument: as constants of the program they would slow down constant folding.
    per_clip = jax.jit(lambda m, clips: jax.vmap(lambda clip: loss(m, clip))(clips))

    def score(m: M) -> tuple[float, float]:
        values = np.asarray(per_clip(m, clips))
        return float(values @ weights / weights.sum()), float(values[out].mean()) if len(out) else float("nan")

    before, after = score(model), score(fitted)
    return FitResult(
        fitted,
        leaf_values(fitted, task.domains),
        train[winner],
        judged[winner] if len(out) else np.full(train.shape[1], np.nan, np.float32),
        before,
        after,
        runs,
    )


def refits(
    model: M,
    clips: Clip,
    loss: Loss,
    weights: Float[np.ndarray, "runs clips"],
    judge: Float[np.ndarray, "runs clips"],
    *,
    only: Iterable[str] | None = None,
    domains: Mapping[str, Domain] | None = None,
    steps: int = 200,
    learning_rate: float = 0.1,
    patience: int = 60,
    progress: bool = False,
) -> tuple[Any, np.ndarray]:
    """Fit the same model many times with different weights on the clips, all runs at once.

    Args:
        weights: Training weight of each clip, per run: fold masks, bootstrap counts.
        judge: Weight of each clip, per run, in the loss for reporting and early stopping.

    Returns:
        The models, stacked along a leading axis of runs, and the best `judge` loss per run.
    """
    task = _Task(model, only, domains)
    starts = jax.tree.map(lambda z: np.repeat(np.asarray(z)[None], len(weights), 0), task.start(model))
    best, _, judged = _optimise(task, loss, clips, starts, weights, judge, steps, learning_rate, patience, progress)
    models = jax.vmap(task.model)(best)
    return models, np.nanmin(np.where(np.isfinite(judged), judged, np.inf), axis=1)


def leaf_values(model: M, names: Iterable[str]) -> dict[str, np.ndarray]:
    """The named leaves of a model, or of a stack of models, as NumPy arrays."""
    leaves = {leaf_name(path): leaf for path, leaf in jax.tree_util.tree_flatten_with_path(model)[0]}
    return {name: np.asarray(leaves[name]) for name in names}


class _Task:
    """The trainable leaves of a model, and the conversion between model and optimiser parameters."""

    def __init__(self, model: M, only: Iterable[str] | None, domains: Mapping[str, Domain] | None) -> None:
        self.domains = trainable_leaves(model, None if only is None else tuple(only), domains)
        flat, self.tree = jax.tree_util.tree_flatten_with_path(model)
        self.names = [leaf_name(path) for path, _ in flat]
        self.fixed = [leaf for _, leaf in flat]

    def start(self, model: M) -> dict[str, Any]:
        leaves = dict(zip(self.names, jax.tree.leaves(model), strict=True))
        return {name: np.asarray(unconstrain(leaves[name], domain)) for name, domain in self.domains.items()}

    def model(self, z: dict[str, Any]) -> Any:
        leaves = [
            jnp.asarray(constrain(z[name], self.domains[name])).astype(np.asarray(leaf).dtype) if name in z else leaf
            for name, leaf in zip(self.names, self.fixed, strict=True)
        ]
        return jax.tree.unflatten(self.tree, leaves)


class _Run(NamedTuple):
    z: Any
    optimiser: Any
    best: Any
    best_loss: Any
    since: Any


def _optimise(
    task: _Task,
    loss: Loss,
    clips: Clip,
    starts: Tree,
    weights: AnyArray,
    judge: AnyArray,
    steps: int,
    learning_rate: float,
    patience: int,
    progress: bool,
) -> tuple[Any, np.ndarray, np.ndarray]:
    adam = optax.chain(
        # A distant start can give a huge or non-finite gradient; neither may break the run.
        optax.zero_nans(),
        optax.clip_by_global_norm(10.0),
        optax.adam(optax.cosine_decay_schedule(learning_rate, steps, alpha=0.05)),
    )

    def losses(z: Tree, clips: Clip) -> Float[Array, "clips"]:
        return jax.vmap(lambda clip: loss(task.model(z), clip))(clips)

    def mean(values: AnyArray, w: AnyArray) -> Any:
        return jnp.where(w > 0, values * w, 0).sum() / jnp.maximum(w.sum(), 1e-9)

    def step(run: _Run, clips: Clip, w: AnyArray, j: Tree) -> tuple[_Run, Any]:
        def objective(z: Tree) -> tuple[Any, Any]:
            values = losses(z, clips)
            return mean(values, w), values

        (value, values), gradient = jax.value_and_grad(objective, has_aux=True)(run.z)
        judged = mean(values, j)
        # The largest finite number stands for "none yet": infinity minus infinity would always compare as False.
        better = judged < run.best_loss - 1e-6 * jnp.abs(run.best_loss)
        best = jax.tree.map(lambda new, old: jnp.where(better, new, old), run.z, run.best)
        since = jnp.where(better, 0, run.since + 1)
        updates, optimiser = adam.update(gradient, run.optimiser, run.z)
        stopped = since > patience
        z = jax.tree.map(lambda old, u: jnp.where(stopped, old, old + u), run.z, updates)
        return _Run(z, optimiser, best, jnp.where(better, judged, run.best_loss), since), (value, judged)

    @jax.jit
    def chunk(runs: _Run, clips: Clip, weights: AnyArray, judge: AnyArray) -> tuple[_Run, Any]:
        def one(run: _Run, w: AnyArray, j: Tree) -> tuple[_Run, Any]:
            return jax.lax.scan(lambda r, _: step(r, clips, w, j), run, length=CHUNK)

        return jax.vmap(one)(runs, weights, judge)

    starts = jax.tree.map(jnp.asarray, starts)
    count = len(weights)
    runs = _Run(
        starts,
        jax.vmap(adam.init)(starts),
        starts,
        jnp.full(count, jnp.finfo(jnp.float32).max),
        jnp.zeros(count, jnp.int32),
    )
    history: list[Any] = []
    with tqdm(total=steps, disable=not progress, desc="tuning", unit="step") as bar:
        for _ in range(-(-steps // CHUNK)):
            runs, values = chunk(runs, clips, weights, judge)
            history.append(jax.tree.map(np.asarray, values))
            bar.update(min(CHUNK, steps - bar.n))
            bar.set_postfix(loss=f"{float(np.min(runs.best_loss)):.5g}")
            if bool((runs.since > patience).all()):
                break
    train, judged = (np.concatenate([h[i] for h in history], axis=1) for i in (0, 1))
    return runs.best, train, judged
