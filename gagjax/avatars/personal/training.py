"""Fit a personal avatar to a clip: static appearance, then dynamic appearance, jointly with the motion."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float

from gagjax import flame
from gagjax.avatars.personal import losses, tensors
from gagjax.avatars.personal.canonical import Canonical
from gagjax.avatars.personal.clip import FilmedClip
from gagjax.avatars.personal.densification import Seen, reassigned
from gagjax.avatars.personal.motion import COLUMNS, Motion, corrected
from gagjax.avatars.rendering import drawn, mapped
from gagjax.camera import UNITS_PER_METRE
from gagjax.errors import InputError
from gagjax.protocols import DrawsSmaller, FinishesPictures
from gagjax.track import Track
from gagjax.typing import AnyArray, Tree

if TYPE_CHECKING:
    from gagjax.avatars.parameters import Parameters
    from gagjax.avatars.personal.files import PersonalAvatar
    from gagjax.flame.model import FlameModel

#: Peak Adam learning rate for each array of the points; their units make one rate suit all.
RATES = {"feature": 0.01, "offset": 0.01, "colour": 0.04, "scale": 0.02, "rotation": 0.01, "opacity": 0.03}


@dataclasses.dataclass(frozen=True)
class Settings:
    """Settings of a fit.

    Args:
        steps: Optimiser steps, `batch` frames each.
        batch: Frames per step.
        first: Fraction of the steps in which the avatar ignores the frame's expression and pose; 1 or more: always.
        motion: Whether the track is fitted too.
        motion_from: Fraction of the steps after which the track is fitted.
        motion_rate: Peak learning rate of the track's corrections, in units of `Motion.unit`.
        network_rate: Peak learning rate of the networks.
        prior: Weight of the squared corrections: the trust in the given track.
        ssim: Weight of SSIM in the photometric loss.
        offset: Weight of offsets from the mesh.
        laplacian: Weight of differences between neighbours.
        scale: Weight of widths above the maximum.
        landmark: Weight of deviations from the tracked landmarks.
        silhouette: Weight of the coverage, if the clip has masks.
        reassign_every: Steps between prune-and-densify.
        reassign_share: Maximum fraction of the slots reassigned each time.
        reassign_until: Fraction of the steps after which reassignment stops.
        seed: Seed of the frame order.
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
    """The mutable state of a fit, as stored in a checkpoint.

    Attributes:
        weights: The avatar's trainable weights: `points` and `network`.
        canonical: Placement of the slots.
        optimiser: Adam's moments of `weights`.
        changes: Corrections of the track, (T, 115), in units of `Motion.unit`.
        motion_optimiser: Adam's moments of each frame's corrections: frames that are not sampled do not move.
        seen: Statistics for prune-and-densify.
        step: Number of completed steps.
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


class AvatarFit:
    """An incremental fit.

    Args:
        avatar: The initial avatar, from `appearance.create` or `deformation.create`.
        clip: Frames and track.
        settings: Settings of the fit.
        held_out: Indices of held-out frames.

    Example:
        >>> fit = Fit(avatar, clip, Settings(steps=100))  # doctest: +SKIP
        >>> fit.run()  # doctest: +SKIP
        >>> fit.avatar, fit.track  # doctest: +SKIP
    """

    def __init__(
        self,
        avatar: PersonalAvatar,
        clip: FilmedClip,
        settings: Settings | None = None,
        held_out: Sequence[int] | np.ndarray = (),
    ) -> None:
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
        # Copies: a step donates its input state.
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
        """The current avatar."""
        parts = jax.tree.map(
            lambda x: jnp.array(x, copy=True), {"canonical": self.state.canonical, **self.state.weights}
        )
        return dataclasses.replace(self._base, dynamic=_dynamic(self.state.step, self.settings), **parts)

    @property
    def done(self) -> int:
        """Number of completed steps."""
        return int(self.state.step)

    def run(
        self, steps: int | None = None, report: Callable[[AvatarFit, dict[str, float]], None] | None = None
    ) -> None:
        """Run optimiser steps.

        Args:
            steps: Number of steps; None runs to the end.
            report: Called after each step with the fit and the step's metrics.
        """
        s = self.settings
        last = s.steps if steps is None else min(self.done + steps, s.steps)
        for step in range(self.done, last):
            # Every frame once per epoch, in an order that depends only on seed and step: a resumed fit continues alike.
            chosen = [self._frame(step * s.batch + k) for k in range(s.batch)]
            self.state, figures = _step(self.state, self._base, self.data, jnp.asarray(chosen), s)
            if (step + 1) % s.reassign_every == 0 and step + 1 <= s.reassign_until * s.steps:
                self.state = reassigned(self.state, self._base.model, s.reassign_share, s.seed + step)
            if report is not None:
                report(self, {name: float(value) for name, value in figures.items()})

    def _frame(self, position: int) -> int:
        turn, place = divmod(position, len(self.usable))
        return int(np.random.default_rng([self.settings.seed, turn]).permutation(self.usable)[place])

    def refine(self, frames: Sequence[int] | np.ndarray, steps: int = 60) -> None:
        """Fit only the motion of given frames with a fixed avatar, to evaluate held-out frames."""
        avatar, changes = self.avatar, self.state.changes
        for i in map(jnp.asarray, frames):
            changes = _refined(changes, avatar, self.data, i, self.settings, steps)
        self.state = self.state._replace(changes=changes)

    @property
    def track(self) -> Track:
        """The clip's track with corrections applied."""
        return corrected(self.clip.track, self.state.changes)

    def save(self, path: str | Path) -> None:
        """Write a checkpoint, replacing an existing one."""
        from gagjax.io import atomic

        with atomic.output(path, True) as temporary:
            tensors.write(temporary, self.state, {"fit": self._name()})

    def resume(self, path: str | Path) -> None:
        """Resume from a checkpoint, bit-identical to an uninterrupted fit.

        Raises:
            InputError: If it is damaged, or from a fit with other settings or another clip.
        """
        path = Path(path)
        arrays = tensors.read(path)
        if tensors.about(path).get("fit") != self._name():
            raise InputError("is of a fit with other settings or another clip", file=path, fix="Remove it, or go back")
        self.state = jax.tree.map(jnp.asarray, tensors.fill(self.state, arrays, path))

    def _name(self) -> str:
        """The identity of a fit, which a checkpoint must match."""
        parts = [repr(self.settings), type(self._base).__name__, str(getattr(self._base, "blend", ""))]
        if "upscale" in self.state.weights["network"]:
            assert isinstance(self._base, DrawsSmaller)
            parts += [str(self._base.factor), str(self._base.points["colour"].shape)]
        parts += [str(self.held_out.tolist()), str(self.clip.frames.shape)]
        name = hashlib.sha256("|".join(parts).encode())
        name.update(np.ascontiguousarray(self.clip.frames).tobytes())
        name.update(np.asarray(self.data.motion.transform).tobytes())
        return name.hexdigest()

    def picture(self, index: int, change: Tree = None) -> Float[np.ndarray, "S S 3"]:
        """The rendered image of a frame, with its own or the given corrections."""
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


def _dynamic(step: int | AnyArray, settings: Settings) -> Array:
    """Weight of the frame code, raised gradually: an abrupt change would disturb the result of the first stage."""
    return jnp.clip((step / settings.steps - settings.first) / 0.15, 0.0, 1.0).astype(jnp.float32)


def _error(
    weights: Tree, changes: Tree, avatar: PersonalAvatar, data: Data, index: AnyArray, settings: Settings
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
            assert isinstance(avatar, FinishesPictures)
            picture = avatar.finish(features)
            coverage = jax.image.resize(coverage, picture.shape[:2], "linear")
            # Supervise the colours with the downscaled image: otherwise the network does all the work.
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


def _seen(model: FlameModel, parameters: Parameters, transform: AnyArray) -> Array:
    points = flame.landmarks(model, parameters.vertices(model))
    return points @ transform[:, :3] + transform[:, 3] / UNITS_PER_METRE


@functools.partial(jax.jit, static_argnames=("settings",), donate_argnames=("state",))
def _step(
    state: State, avatar: PersonalAvatar, data: Data, index: AnyArray, settings: Settings
) -> tuple[State, dict[str, Array]]:
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


@functools.partial(jax.jit, static_argnames=("settings", "steps"))
def _refined(
    changes: Float[AnyArray, "T 115"],
    avatar: PersonalAvatar,
    data: Data,
    index: AnyArray,
    settings: Settings,
    steps: int,
) -> Array:
    """The corrections with one frame's fitted to its picture, all its steps in one program."""
    settings = dataclasses.replace(settings, motion=True)
    weights = {"points": avatar.points, "network": avatar.network}
    optimiser = optax.adam(optax.cosine_decay_schedule(0.15, steps, 0.05), b2=0.99)
    pull = jax.grad(lambda z: _error(weights, z[None], avatar, data, index[None], settings)[0])

    def one(carry: Tree, _: None) -> tuple[Tree, None]:
        change, moments = carry
        updates, moments = optimiser.update(pull(change), moments)
        return (change + updates, moments), None

    (change, _), _ = jax.lax.scan(one, (changes[index], optimiser.init(changes[index])), None, steps)
    return jnp.asarray(changes).at[index].set(change)


@functools.partial(jax.jit, static_argnames=("size",))
def _picture(avatar: PersonalAvatar, data: Data, index: AnyArray, change: Tree, size: int) -> Any:
    return drawn(avatar, data.motion.frame(index, change, size)[0], data.background)[0]
