"""The trade-off of jitter and lag: evaluate a family of filters at once, and pick a member within a lag budget."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from gagjax.tuning.batching import Clip
from gagjax.tuning.losses import Pass, apply
from gagjax.typing import AnyArray, Tree, Values


class Front(NamedTuple):
    """Metrics of a family of filters, each (members,).

    Attributes:
        models: The filters, stacked along a leading axis of members.
        jitter: Root mean square of the output's second differences, relative to the input's.
        lag: Delay in frames behind the truth (or the input, without truth).
        error: Root mean square error to the truth, relative to the input's; NaN without truth.
    """

    models: Any
    jitter: np.ndarray
    lag: np.ndarray
    error: np.ndarray

    def member(self, index: int) -> Any:
        """One of the models."""
        return jax.tree.map(lambda leaf: leaf[index], self.models)

    def best_within(self, lag: float) -> int:
        """Index of the member with the least error (or jitter, without truth) among those within a lag budget.

        Raises:
            ValueError: If there is none.
        """
        figure = self.jitter if np.isnan(self.error).all() else self.error
        allowed = np.where(self.lag <= lag, figure, np.inf)
        if not np.isfinite(allowed).any():
            raise ValueError(f"no member lags {lag} frames or less; the least is {self.lag.min():.2f}")
        return int(np.argmin(allowed))

    def edge(self) -> np.ndarray:
        """Indices of the Pareto-optimal members in lag and error (or jitter), by increasing lag."""
        figure = self.jitter if np.isnan(self.error).all() else self.error
        order = np.lexsort((figure, self.lag))
        best = np.minimum.accumulate(np.concatenate([[np.inf], figure[order][:-1]]))
        return order[figure[order] < best]


def grid(make: Callable[..., Any], values: Mapping[str, Sequence[float]]) -> Any:
    """Every combination of hyperparameters, as one stack of models.

    Args:
        make: Builds a model from one value per argument, such as a filter class.
        values: The values to try, by argument name.

    Returns:
        The models, stacked along a leading axis; `Front.member` extracts one.

    Example:
        >>> from gagjax.filters import Ema
        >>> grid(Ema, {"alpha": [0.2, 0.4, 0.8]}).alpha.shape
        (3,)
    """
    members = [make(**dict(zip(values, point, strict=True))) for point in itertools.product(*values.values())]
    return jax.tree.map(lambda *leaves: jnp.stack([jnp.asarray(leaf) for leaf in leaves]), *members)


def front(models: Tree, clips: Clip, *, run: Pass = "filter", search: float = 12.0) -> Front:
    """Jitter, lag and error of every model on every clip, by one `vmap` over hyperparameters.

    Lag is the delay that best aligns the output with the truth, by the peak of the correlation of their first
    differences over all channels, refined by a parabola.

    Args:
        models: Models stacked along a leading axis; see `grid`.
        clips: A batch; lag and error refer to its truth, if given.
        run: "filter" for the causal pass, "smooth" for the offline smoother, "auto" for the smoother if there is one.
        search: Largest lag considered, in frames.
    """
    reach = int(search)

    def one(model: Tree, clip: Clip) -> tuple[Any, Any, Any]:
        target = clip.xs if clip.truth is None else clip.truth
        y, x, t = (_flat(v) for v in (apply(model, clip, run), clip.xs, target))
        seen = clip.valid[2:] & clip.valid[1:-1] & clip.valid[:-2]
        jitter = _share(y[2:] - 2 * y[1:-1] + y[:-2], x[2:] - 2 * x[1:-1] + x[:-2], seen)
        error = jnp.nan if clip.truth is None else _share(y - t, x - t, clip.valid)
        pairs = clip.present[1:] & clip.present[:-1]
        dy, dt = (jnp.where(pairs[:, None], v[1:] - v[:-1], 0) for v in (y, t))
        dy, dt = (v / jnp.where((size := jnp.sqrt((v**2).sum(0))) > 0, size, 1) for v in (dy, dt))
        return jitter, _peak(dy, dt, reach), error

    run_all = jax.jit(jax.vmap(jax.vmap(one, (None, 0)), (0, None)))
    jitter, lag, error = (np.asarray(v).mean(1) for v in run_all(models, clips))
    return Front(models, jitter, lag, error)


def plot(fronts: Mapping[str, Front], path: str | Path, *, budget: float | None = None) -> Path:
    """Plot the fronts of several families in one figure.

    Args:
        fronts: Fronts by label.
        path: The PNG or SVG file to write.
        budget: A lag budget in frames to mark.

    Returns:
        The path.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.add_subplot()
    for label, each in fronts.items():
        values = each.jitter if np.isnan(each.error).all() else each.error
        edge = each.edge()
        (line,) = axes.plot(each.lag[edge], values[edge], marker="o", markersize=3, label=label)
        axes.scatter(each.lag, values, s=5, alpha=0.25, color=line.get_color(), linewidths=0)
    if budget is not None:
        axes.axvline(budget, color="0.5", linestyle="--", label=f"budget {budget:g} frames")
    known = not all(np.isnan(each.error).all() for each in fronts.values())
    axes.set(xlabel="lag in frames", ylabel="error, share of the input's" if known else "jitter, share of the input's")
    axes.set_ylim(bottom=0)
    axes.legend()
    figure.savefig(path, dpi=130)
    return Path(path)


def _flat(x: Tree) -> Float[Array, "T C"]:
    return jnp.concatenate([leaf.reshape(leaf.shape[0], -1) for leaf in jax.tree.leaves(x)], axis=1)


def _share(after: Tree, before: Tree, mask: AnyArray) -> Any:
    """The ratio of two root mean squares; 1 if both are zero."""
    a, b = (jnp.sqrt((jnp.where(mask[:, None], x, 0) ** 2).sum()) for x in (after, before))
    return jnp.where((a == 0) & (b == 0), 1, a / jnp.where(b > 0, b, 1e-20))


def _peak(dy: AnyArray, dt: Values, reach: int) -> Any:
    frames = dy.shape[0]
    padded = jnp.pad(dy, ((reach, reach), (0, 0)))
    shifts = jnp.arange(-reach, reach + 1)
    score = jax.vmap(lambda s: (jax.lax.dynamic_slice_in_dim(padded, s + reach, frames) * dt).sum())(shifts)
    top = jnp.clip(jnp.argmax(score), 1, 2 * reach - 1)
    left, middle, right = score[top - 1], score[top], score[top + 1]
    bend = left - 2 * middle + right
    return shifts[top] + jnp.where(jnp.abs(bend) > 1e-12, 0.5 * (left - right) / jnp.where(bend == 0, 1, bend), 0)
