"""Fitting a personal avatar to a clip: appearance, then appearance with the frame, and the motion with both."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float

from gagjax import flame
from gagjax.avatars.personal import losses, tensors
from gagjax.avatars.personal.canonical import Canonical
from gagjax.avatars.personal.clip import Clip
from gagjax.avatars.personal.densification import Seen, reassigned
from gagjax.avatars.personal.motion import COLUMNS, Motion, corrected
from gagjax.avatars.rendering import drawn, mapped
from gagjax.camera import UNITS_PER_METRE
from gagjax.errors import InputError
from gagjax.track import Track

#: Peak rate of Adam for each array of the points; their units make one size fit all.
RATES = {"feature": 0.01, "offset": 0.01, "colour": 0.04, "scale": 0.02, "rotation": 0.01, "opacity": 0.03}


@dataclasses.dataclass(frozen=True)
class Settings:
    """How to fit.

    Args:
        steps: Optimiser steps, `batch` frames each.
        batch: Frames a step.
        first: Share of the steps in which the avatar does not see the frame's expression and pose; 1 and more: it never does.
        motion: Whether the track is fitted, too.
        motion_from: Share of the steps after which it is.
        motion_rate: Peak rate of the track's corrections, in the tracker's usual errors a step.
        network_rate: Peak rate of the networks.
        prior: Weight of the corrections' squares: how far the given track is trusted.
        ssim: Share of SSIM in the picture's error.
        offset: Weight of distances from the mesh.
        laplacian: Weight of differences between neighbours.
        scale: Weight of widths over the largest.
        landmark: Weight of landmarks that leave the tracked ones.
        silhouette: Weight of the coverage, where the clip has masks.
        reassign_every: Steps between prune-and-densify.
        reassign_share: Share of the slots that change place each time, at most.
        reassign_until: Share of the steps after which none do.
        seed: Of the order of frames.
    """

    steps: int = 3000
    batch: int = 1
    first: float = 0.3
    motion: bool = True
    motion_from: float = 0.1
    motion_rate: float = 0.15
    network_rate: float = 2e-3
    prior: float = 3e-6
    ssim: float = 0.2
    offset: float = 1e-3
    laplacian: float = 1e-3
    scale: float = 0.1
    landmark: float = 0.02
    silhouette: float = 0.2
    reassign_every: int = 250
    reassign_share: float = 0.03
    reassign_until: float = 0.6
    seed: int = 0


class State(NamedTuple):
    """Everything that changes while fitting: what a checkpoint holds.

    Attributes:
        weights: What the optimiser moves of the avatar: `points` and `network`.
        canonical: Where the slots sit.
        optimiser: Adam's moments of `weights`.
        changes: Corrections of the track, (T, 115), in the tracker's usual errors.
        motion_optimiser: Adam's moments of each frame's corrections: a frame that is not drawn does not move.
        seen: What prune-and-densify looks at.
        step: Steps done.
    """

    weights: dict[str, Any]
    canonical: Canonical
    optimiser: Any
    changes: Float[Array, "T 115"]
    motion_optimiser: Any
    seen: Seen
    step: Array


class Data(NamedTuple):
    """A clip on the device."""

    frames: Array
    masks: Array | None
    motion: Motion
    background: Array


class Fit:
    """A fit that goes on step by step.

    Args:
        avatar: Where it starts, from `appearance.create` or `deformation.create`.
        clip: Pictures and track.
        settings: How.
        held_out: Indices of frames that are not learned from.

    Example:
        >>> fit = Fit(avatar, clip, Settings(steps=100))  # doctest: +SKIP
        >>> fit.run()  # doctest: +SKIP
        >>> fit.avatar, fit.track  # doctest: +SKIP
    """

    def __init__(self, avatar: Any, clip: Clip, settings: Settings | None = None, held_out: Any = ()) -> None:
        self.settings = settings or Settings()
        self.clip = clip
        self.held_out = np.asarray(sorted(held_out), int)
        usable = np.asarray(clip.track.valid).copy()
        usable[self.held_out] = False
        self.usable = np.flatnonzero(usable)
        self._base = dataclasses.replace(avatar, size=clip.size)
        masks = None if clip.masks is None else jnp.asarray(clip.masks)
        self.data = Data(
            jnp.asarray(clip.frames), masks, Motion.of(clip.track, clip.size), jnp.asarray(clip.background)
        )
        # Copies: a step overwrites the state that goes in.
        weights, canonical = jax.tree.map(
            lambda x: jnp.array(x, copy=True),
            ({"points": avatar.points, "network": avatar.network}, avatar.canonical),
        )
        changes = jnp.zeros((len(clip), COLUMNS))
        self.state = State(
            weights,
            canonical,
            _optimiser(self.settings).init(weights),
            changes,
            jax.vmap(_motion_optimiser().init)(changes),
            Seen.none(len(avatar)),
            jnp.int32(0),
        )

    @property
    def avatar(self) -> Any:
        """The avatar as fitted so far."""
        parts = jax.tree.map(
            lambda x: jnp.array(x, copy=True), {"canonical": self.state.canonical, **self.state.weights}
        )
        return dataclasses.replace(self._base, dynamic=_dynamic(self.state.step, self.settings), **parts)

    @property
    def done(self) -> int:
        """Steps done."""
        return int(self.state.step)

    def run(self, steps: int | None = None, report: Callable[[Fit, dict[str, float]], None] | None = None) -> None:
        """Go on.

        Args:
            steps: How many steps; None goes on to the end.
            report: Called after each step with the fit and the step's figures.
        """
        s = self.settings
        last = s.steps if steps is None else min(self.done + steps, s.steps)
        for step in range(self.done, last):
            # Every frame once in each round, in an order that depends on seed and step alone: a resumed fit goes on alike.
            chosen = [self._frame(step * s.batch + k) for k in range(s.batch)]
            self.state, figures = _step(self.state, self._base, self.data, jnp.asarray(chosen), s)
            if (step + 1) % s.reassign_every == 0 and step + 1 <= s.reassign_until * s.steps:
                self.state = reassigned(self.state, self._base.model, s.reassign_share, s.seed + step)
            if report is not None:
                report(self, {name: float(value) for name, value in figures.items()})

    def _frame(self, position: int) -> int:
        turn, place = divmod(position, len(self.usable))
        return int(np.random.default_rng([self.settings.seed, turn]).permutation(self.usable)[place])

    def refine(self, frames: Any, steps: int = 60) -> None:
        """Fit only the motion of given frames, the avatar as it is: held-out frames are looked at so."""
        optimiser = optax.adam(optax.cosine_decay_schedule(0.15, steps, 0.05), b2=0.99)
        avatar, changes = self.avatar, self.state.changes
        for i in map(jnp.asarray, frames):
            change = changes[i]
            moments = optimiser.init(change)
            for _ in range(steps):
                updates, moments = optimiser.update(_pull(change, avatar, self.data, i, self.settings), moments)
                change = change + updates
            changes = changes.at[i].set(change)
        self.state = self.state._replace(changes=changes)

    @property
    def track(self) -> Track:
        """The clip's track with its corrections."""
        return corrected(self.clip.track, self.state.changes)

    def save(self, path: str | Path) -> None:
        """Write a checkpoint, replacing one that is there."""
        from gagjax.io import atomic

        with atomic.output(path, True) as temporary:
            tensors.write(temporary, self.state, {"fit": self._name()})

    def resume(self, path: str | Path) -> None:
        """Go on from a checkpoint: the rest is bit for bit what it would have been.

        Raises:
            InputError: If it is damaged, or of a fit with other settings or another clip.
        """
        path = Path(path)
        arrays = tensors.read(path)
        if tensors.about(path).get("fit") != self._name():
            raise InputError("is of a fit with other settings or another clip", file=path, fix="Remove it, or go back")
        self.state = jax.tree.map(jnp.asarray, tensors.fill(self.state, arrays, path))

    def _name(self) -> str:
        """What must be the same for a checkpoint to fit."""
        parts = [repr(self.settings), type(self._base).__name__, str(getattr(self._base, "blend", ""))]
        if "upscale" in self.state.weights["network"]:
            parts += [str(self._base.factor), str(self._base.points["colour"].shape)]
        parts += [str(self.held_out.tolist()), str(self.clip.frames.shape)]
        name = hashlib.sha256("|".join(parts).encode())
        name.update(np.ascontiguousarray(self.clip.frames).tobytes())
        name.update(np.asarray(self.data.motion.transform).tobytes())
        return name.hexdigest()

    def picture(self, index: int, change: Any = None) -> Float[np.ndarray, "S S 3"]:
        """The picture of a frame, with its corrections (or others)."""
        change = self.state.changes[index] if change is None else jnp.asarray(change)
        return np.asarray(_picture(self.avatar, self.data, index, change, self.clip.size))


@functools.cache
def _optimiser(settings: Settings) -> optax.GradientTransformation:
    def adam(rate: float) -> optax.GradientTransformation:
        return optax.adam(optax.cosine_decay_schedule(rate, settings.steps, 0.03), eps=1e-15)

    def labels(weights: dict[str, Any]) -> dict[str, Any]:
        return {
            "points": {name: name for name in weights["points"]},
            "network": jax.tree.map(lambda _: "network", weights["network"]),
        }

    groups = {name: adam(rate) for name, rate in RATES.items()} | {"network": adam(settings.network_rate)}
    return optax.partition(groups, labels)


@functools.cache
def _motion_optimiser() -> optax.GradientTransformation:
    return optax.scale_by_adam(b2=0.99, eps=1e-8)


def _dynamic(step: Any, settings: Settings) -> Array:
    """How much the frame is seen. By degrees: all at once, it would throw about what the first stage has learned."""
    return jnp.clip((step / settings.steps - settings.first) / 0.15, 0.0, 1.0).astype(jnp.float32)


def _error(
    weights: Any, changes: Any, avatar: Any, data: Data, index: Any, settings: Settings
) -> tuple[Array, dict[str, Array]]:
    avatar = dataclasses.replace(avatar, **weights)
    total, figures = jnp.zeros(()), {"loss": jnp.zeros(()), "square": jnp.zeros(())}
    size = data.frames.shape[1]
    for k in range(index.shape[0]):
        i, change = index[k], changes[k]
        parameters, transform = data.motion.frame(i, change, size)
        truth = data.frames[i].astype(jnp.float32) / 255
        if "upscale" in weights["network"]:
            features, coverage = mapped(avatar, parameters, data.background)
            picture = avatar.finish(features)
            coverage = jax.image.resize(coverage, picture.shape[:2], "linear")
            # The colours by themselves are to be the picture made small: without this the network does all the work.
            small = jax.image.resize(truth, (*features.shape[:2], 3), "linear")
            loss = losses.photometric(picture, truth, settings.ssim) + jnp.abs(features[..., :3] - small).mean()
        else:
            picture, coverage = drawn(avatar, parameters, data.background)
            loss = losses.photometric(picture, truth, settings.ssim)
        if data.masks is not None:
            mask = data.masks[i].astype(jnp.float32) / 255
            loss = loss + settings.silhouette * losses.silhouette(coverage, mask)
        loss = loss + settings.prior * (change**2).sum()
        if settings.motion:
            given, held = data.motion.frame(i, jnp.zeros_like(change), size)
            loss = loss + settings.landmark * losses.landmark(
                _seen(avatar.model, parameters, transform), jax.lax.stop_gradient(_seen(avatar.model, given, held))
            )
        total = total + loss
        figures["square"] += ((picture - truth) ** 2).mean() / index.shape[0]
    total = total / index.shape[0]
    points = avatar.points
    total = total + settings.offset * losses.offset(points["offset"])
    total = total + settings.laplacian * losses.laplacian(points["offset"], avatar.canonical.neighbours)
    total = total + settings.scale * losses.scale(points["scale"])
    return total, figures | {"loss": total}


def _seen(model: Any, parameters: Any, transform: Any) -> Array:
    points = flame.landmarks(model, parameters.vertices(model))
    return points @ transform[:, :3] + transform[:, 3] / UNITS_PER_METRE


@functools.partial(jax.jit, static_argnames=("settings",), donate_argnames=("state",))
def _step(state: State, avatar: Any, data: Data, index: Any, settings: Settings) -> tuple[State, dict[str, Array]]:
    dynamic = _dynamic(state.step, settings)
    avatar = dataclasses.replace(avatar, canonical=state.canonical, dynamic=dynamic)
    changes = state.changes[index]
    (_, figures), (g_weights, g_changes) = jax.value_and_grad(_error, (0, 1), has_aux=True)(
        state.weights, changes, avatar, data, index, settings
    )
    updates, optimiser = _optimiser(settings).update(g_weights, state.optimiser)
    weights = optax.apply_updates(state.weights, updates)
    seen = state.seen.add(g_weights["points"])
    motion_optimiser, all_changes = state.motion_optimiser, state.changes
    if settings.motion:
        rows = jax.tree.map(lambda x: x[index], state.motion_optimiser)
        moves, rows = jax.vmap(_motion_optimiser().update)(g_changes, rows)
        share = state.step / settings.steps
        rate = settings.motion_rate * jnp.where(
            share < settings.motion_from, 0.0, 0.5 * (1 + jnp.cos(jnp.pi * jnp.minimum(share, 1.0))) + 0.03
        )
        all_changes = state.changes.at[index].add(-rate * moves)
        motion_optimiser = jax.tree.map(lambda x, r: x.at[index].set(r), state.motion_optimiser, rows)
    figures["psnr"] = -10 * jnp.log10(figures.pop("square"))
    return (
        State(weights, state.canonical, optimiser, all_changes, motion_optimiser, seen, state.step + 1),
        figures,
    )


@functools.partial(jax.jit, static_argnames=("settings",))
def _pull(change: Any, avatar: Any, data: Data, index: Any, settings: Settings) -> Any:
    """The gradient in one frame's motion alone."""
    settings = dataclasses.replace(settings, motion=True)
    weights = {"points": avatar.points, "network": avatar.network}
    return jax.grad(lambda z: _error(weights, z[None], avatar, data, index[None], settings)[0])(change)


@functools.partial(jax.jit, static_argnames=("size",))
def _picture(avatar: Any, data: Data, index: Any, change: Any, size: int) -> Any:
    return drawn(avatar, data.motion.frame(index, change, size)[0], data.background)[0]
