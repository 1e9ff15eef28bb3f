"""Tuning objectives: likelihood of the observations, error to the truth, or a stated trade-off of jitter and lag.

Every loss has the form `loss(model, clip) -> scalar` for one clip; `fit` averages over clips. Losses that take options
are constructed by functions (`truth(...)`, `tradeoff(...)`, `image(...)`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeAlias, cast

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from gagjax.filters import rts, scan
from gagjax.filters.kalman import Kinematic
from gagjax.protocols import Filter, HasAdjoint, HasLikelihood, TrackStage
from gagjax.tuning.batching import Clip
from gagjax.typing import AnyArray, Tree

#: Clips longer than two such parts use gradient checkpointing: only the states between parts are kept, and each part is
#: recomputed in the backward pass. The gradient is the same; memory grows with the number of parts, not of frames.
PART = 512
Loss = Callable[[Any, Clip], Float[Array, ""]]
#: Anything that `apply` runs: a filter or a track stage.
Model: TypeAlias = Filter[Any] | TrackStage | HasLikelihood
#: Error weights: a pytree like a frame, a prefix of one, a function of the values, or None.
Weights: TypeAlias = Tree
Pass = Literal["auto", "smooth", "filter"]


def likelihood(model: Model, clip: Clip) -> Float[Array, ""]:
    """Negative log-likelihood of the observations per frame and channel, from the filter's innovations; needs no truth.

        1/2 (log(2 pi s_t) + e_t^2 / s_t),   e_t = x_t - prediction,   s_t = its variance

    The first valid frame initialises the filter and is not scored. Gating and reweighting affect the state update, not
    the score, so disable them (`gate=None`) when fitting the noise itself.

    Args:
        model: A Kalman-type filter over `clip.xs`, or any model with its own `likelihood(clip) -> scalar`.
        clip: One clip.

    Raises:
        TypeError: If the model has no likelihood (such as averages and One Euro: use `truth` or `tradeoff`).

    Source: Schweppe, Evaluation of likelihood functions for Gaussian signals, 1965.
    """
    if isinstance(model, HasLikelihood):
        return model.likelihood(clip)
    if not isinstance(model, Kinematic):
        raise TypeError(f"{type(model).__name__} has no likelihood; tune it with losses.truth or losses.tradeoff")
    start = jnp.argmax(clip.valid)
    state = model.init(jax.tree.map(lambda x: x[start], clip.xs))
    scored = clip.valid & (jnp.arange(clip.valid.shape[0]) > start)
    noise = model.measurement_noise

    def body(state: Tree, frame: Tree) -> tuple[Any, Any]:
        x, seen, counts = frame
        ahead, _ = model.predict(state)
        leaves: list[Any]
        tree: Any
        leaves, tree = jax.tree.flatten(x)
        total: Any = 0.0
        for moments, value in zip(tree.flatten_up_to(ahead), leaves, strict=True):
            variance = jnp.maximum(moments.covariance[0] + noise, 1e-30)
            error = jnp.where(counts, value - moments.mean[0], 0)
            each = 0.5 * (jnp.log(2 * jnp.pi * variance) + error**2 / variance)
            total += jnp.where(counts, jnp.broadcast_to(each, value.shape), 0).sum()
        state, _ = model.observe(state, x, seen)
        return state, total

    totals = _in_parts(lambda s, frames: jax.lax.scan(body, s, frames), state, (clip.xs, clip.valid, scored))
    channels = sum(leaf[0].size for leaf in jax.tree.leaves(clip.xs))
    return totals.sum() / (jnp.maximum(scored.sum(), 1) * channels)


def truth(weights: Weights = None, *, run: Pass = "auto", acceleration: float = 0.0) -> Loss:
    """The mean squared error to a truth, optionally with that of the second differences.

    Args:
        weights: Error weights, a pytree like a frame or a prefix of one; None weights all alike. Use the inverse square
            of each field's natural unit to make radians and coefficients commensurable.
        run: "smooth" uses the zero-lag smoother of Kalman-type filters, "filter" the causal pass; "auto" smooths
            wherever the model can.
        acceleration: Weight of the squared error of second differences (frame units).

    Returns:
        A loss that needs `clip.truth`.
    """

    def loss(model: Model, clip: Clip) -> Float[Array, ""]:
        if clip.truth is None:
            raise ValueError("losses.truth needs clips with a truth")
        ys = apply(model, clip, run)
        error = jax.tree.map(jnp.subtract, ys, clip.truth)
        value = _mean_square(error, clip.present, weights)
        if acceleration:
            value += acceleration * _mean_square(_second(error), _triples(clip.present), weights)
        return value

    return loss


def tradeoff(
    jitter: float, *, lag: float = 0.0, weights: Weights = None, run: Pass = "auto", robust: float = 3.0
) -> Loss:
    """Fidelity to the observation `lag` frames ago plus weighted jitter of the output; needs no truth.

    Args:
        jitter: Weight of the mean squared second difference of the output.
        lag: The delay in frames that is not penalised; fractions interpolate between frames.
        weights: As in `truth`.
        run: As in `truth`.
        robust: Differences beyond this many median deviations count linearly, so that outliers do not dominate.

    Returns:
        A loss that uses only the observations.
    """
    if jitter < 0 or lag < 0:
        raise ValueError(f"jitter and lag must not be negative, got {jitter} and {lag}")

    def loss(model: Model, clip: Clip) -> Float[Array, ""]:
        ys = apply(model, clip, run)
        whole, part = int(lag // 1), lag % 1

        def delayed(x: AnyArray) -> Any:
            # (1 - part) x[t - whole] + part x[t - whole - 1]; the first frames are masked below.
            late = jnp.roll(x, whole, 0)
            return (1 - part) * late + part * jnp.roll(late, 1, 0)

        held = jax.tree.map(lambda x: jnp.where(_column(clip.valid, x), x, 0), clip.xs)
        back = whole + (1 if part else 0)
        known = clip.valid
        for step in range(1, back + 1):
            known &= jnp.roll(clip.valid, step)
        known &= jnp.arange(known.shape[0]) >= back

        def fidelity(y: AnyArray, x: AnyArray) -> Any:
            error = jnp.where(_column(known, y), y - delayed(x), 0)
            size = jax.lax.stop_gradient(jnp.where(_column(known, y), jnp.abs(error), jnp.nan))
            typical, mean = jnp.nanmedian(size, axis=0), jnp.nanmean(size, axis=0)
            # More than half of the errors are zero: the mean still has the right scale.
            scale = jnp.where(typical > 0, typical, jnp.where(mean > 0, mean, 1))
            z = error / (robust * scale)
            far = jnp.abs(z) > 1
            return (robust * scale) ** 2 * jnp.where(far, 2 * jnp.abs(z) - 1, z**2)

        near = jax.tree.map(fidelity, ys, held)
        count = jnp.maximum(known.sum(), 1)
        value = _weighted(jax.tree.map(lambda v: v.sum() / (count * (v.size // v.shape[0])), near), weights)
        return value + jitter * _mean_square(_second(ys), _triples(clip.present), weights)

    return loss


def image(render: Callable[[Any], Float[AnyArray, "T H W C"]], *, run: Pass = "auto") -> Loss:
    """The mean absolute difference between rendered images and `clip.truth`, the true images (T, H, W, C).

    Args:
        render: Maps the smoothed `xs` to images; any differentiable JAX function, such as one that uses FLAME, the
            camera and `gagjax.splatting.rasterize`.
        run: As in `truth`.
    """

    def loss(model: Model, clip: Clip) -> Float[Array, ""]:
        pictures = render(apply(model, clip, run))
        difference = jnp.abs(pictures - clip.truth)
        count = jnp.maximum(clip.present.sum(), 1) * (pictures.size // pictures.shape[0])
        return jnp.where(_column(clip.present, pictures), difference, 0).sum() / count

    return loss


def apply(model: Model, clip: Clip, run: Pass = "auto") -> Any:
    """Run a model over one clip: its smoother, its `apply`, or its causal filter.

    Args:
        model: A filter, or a track stage with `apply(channels, *, valid, dt)`.
        clip: One clip.
        run: See `truth`.
    """
    if isinstance(model, TrackStage):
        return model.apply(clip.xs, valid=clip.valid, dt=clip.dt)
    if run == "smooth" or (run == "auto" and isinstance(model, Kinematic)):
        return rts(cast(HasAdjoint, model), clip.xs, valid=clip.valid)
    if not isinstance(model, Filter):
        raise TypeError(f"{type(model).__name__} is neither a filter nor a track stage")
    if clip.valid.shape[0] <= 2 * PART:
        return scan(model, clip.xs, valid=clip.valid)[0]
    start = jnp.argmax(clip.valid)
    state = model.init(jax.tree.map(lambda x: x[start], clip.xs))

    def run_part(state: Tree, frames: Tree) -> tuple[Any, Any]:
        ys, state = scan(model, frames[0], state, valid=frames[1], method="sequential")
        return state, ys

    return _in_parts(run_part, state, (clip.xs, clip.valid))


def _in_parts(run: Callable[[Any, Any], tuple[Any, Any]], state: Tree, frames: Tree) -> Any:
    """The outputs of `run(state, frames) -> (state, out)` over all frames, checkpointed between parts of long clips."""
    count = jax.tree.leaves(frames)[0].shape[0]
    if count <= 2 * PART:
        return run(state, frames)[1]
    whole = count // PART * PART
    parts = jax.tree.map(lambda x: x[:whole].reshape(-1, PART, *x.shape[1:]), frames)
    state, out = jax.lax.scan(jax.checkpoint(run), state, parts)
    out = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), out)
    if whole == count:
        return out
    _, rest = run(state, jax.tree.map(lambda x: x[whole:], frames))
    return jax.tree.map(lambda a, b: jnp.concatenate([a, b]), out, rest)


def field_weights(units: Mapping[str, float]) -> Callable[[Any], Any]:
    """Weights for `truth` and `tradeoff` on tracks: the inverse square of each field's natural unit.

    Args:
        units: Natural unit by field of `Channels`, e.g. `{"expression": 1.0, "jaw": 0.1, "eyes": 0.1}`; omitted fields
            have zero weight.

    Returns:
        A function from `Channels` (or their errors) to weights of the same structure.
    """

    def weigh(channels: Tree) -> Any:
        fields = channels._asdict()
        return channels._replace(
            **{
                name: jax.tree.map(lambda _, n=name: (units.get(n) and units[n] ** -2) or 0.0, fields[name])
                for name in fields
            }
        )

    return weigh


def _mean_square(error: Tree, mask: AnyArray, weights: Weights) -> Float[Array, ""]:
    def mean(e: AnyArray) -> Any:
        kept = jnp.where(_column(mask, e), e, 0)
        return jnp.sum(kept**2) / (jnp.maximum(mask.sum(), 1) * (e.size // e.shape[0]))

    return _weighted(jax.tree.map(mean, error), weights)


def _weighted(values: Tree, weights: Weights) -> Float[Array, ""]:
    leaves: list[Any] = jax.tree.leaves(values)
    if weights is None:
        return jnp.stack(leaves).mean()
    if callable(weights):
        weights = weights(values)
    spread = jax.tree.leaves(jax.tree.map(lambda w, sub: jax.tree.map(lambda _: w, sub), weights, values))
    return jnp.stack([w * v for w, v in zip(spread, leaves, strict=True)]).sum()


def _second(x: Tree) -> Any:
    return jax.tree.map(lambda v: v[2:] - 2 * v[1:-1] + v[:-2], x)


def _triples(mask: AnyArray) -> Any:
    return mask[2:] & mask[1:-1] & mask[:-2]


def _column(mask: AnyArray, like: AnyArray) -> Any:
    return mask.reshape(mask.shape + (1,) * (like.ndim - 1))
