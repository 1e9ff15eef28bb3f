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
from gagjax.avatars.personal.parts.base import Part, Scene, Shown, View
from gagjax.avatars.personal.parts.dressed import DressedAvatar
from gagjax.avatars.rendering import mapped
from gagjax.camera import UNITS_PER_METRE
from gagjax.errors import InputError
from gagjax.protocols import DrawsSmaller, FinishesPictures
from gagjax.track import Track
from gagjax.typing import AnyArray, Tree

if TYPE_CHECKING:
    from gagjax.avatars.parameters import Parameters
    from gagjax.avatars.personal.cameras.rig import Rig
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
        weights: The trainable weights: the avatar's `points` and `network`, and `parts` by name if there are any.
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
    """A clip on the device.

    Attributes:
        frames: (N, S, S, 3), one picture per frame and camera.
        masks: (N, S, S) or None.
        motion: The track, (T, ...).
        background: (3,) or one per camera, (C, 3).
        rig: Frame and camera of each picture, with many cameras.
    """

    frames: Array
    masks: Array | None
    motion: Motion
    background: Array
    rig: Rig | None = None

    def place(self, index: int | AnyArray) -> tuple[Any, Any]:
        """Frame and camera of a picture."""
        return (index, jnp.int32(0)) if self.rig is None else (self.rig.time[index], self.rig.camera[index])

    def seen(self, index: AnyArray, change: AnyArray, size: int) -> tuple[Parameters, Float[Array, "3 4"]]:
        """The corrected parameters of a picture with its camera, and the track's own (the first) camera."""
        time, camera = self.place(index)
        parameters, reference = self.motion.frame(time, change, size)
        if self.rig is not None:
            parameters = dataclasses.replace(parameters, camera=self.rig.view(reference, time, camera, size))
        return parameters, reference

    def behind(self, camera: AnyArray) -> Array:
        """The background seen by a camera, (3,)."""
        return self.background if self.background.ndim == 1 else self.background[camera]


class AvatarFit:
    """An incremental fit.

    Args:
        avatar: The initial avatar, from `appearance.create` or `deformation.create`.
        clip: Frames and track.
        settings: Settings of the fit.
        held_out: Indices of held-out frames.
        parts: What is added to the fit, see `gagjax.avatars.personal.parts`.
        held_cameras: Indices of held-out cameras, of a clip with many.

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
        parts: Sequence[Part] = (),
        held_cameras: Sequence[int] | np.ndarray = (),
    ) -> None:
        self.settings = settings or Settings()
        self.clip = clip
        self.held_out = np.asarray(sorted(held_out), int)
        self.held_cameras, self.parts = np.asarray(sorted(held_cameras), int), tuple(parts)
        usable = np.asarray(clip.track.valid).copy()
        usable[self.held_out] = False
        #: Pictures to learn from: indices of `clip.frames`.
        self.usable = np.flatnonzero(usable) if clip.rig is None else clip.rig.pictures(usable, self.held_cameras)
        self._base = dataclasses.replace(avatar, size=clip.size)
        masks = None if clip.masks is None else jnp.asarray(clip.masks)
        self.data = Data(
            jnp.asarray(clip.frames),
            masks,
            Motion.of(clip.track, clip.size),
            jnp.asarray(clip.background),
            None if clip.rig is None else jax.tree.map(jnp.asarray, clip.rig),
        )
        # Copies: a step donates its input state.
        weights, canonical = jax.tree.map(
            lambda x: jnp.array(x, copy=True),
            ({"points": avatar.points, "network": avatar.network}, avatar.canonical),
        )
        scene = Scene(avatar, len(clip), clip.cameras, clip.size, self.settings.seed)
        started = {part.name: part.start(scene) for part in self.parts}
        weights["parts"] = {name: jax.tree.map(jnp.array, value) for name, value in started.items() if value}
        changes = jnp.zeros((len(clip), COLUMNS))
        self.state = State(
            weights,
            canonical,
            _optimiser(self.settings, _rates(self.parts)).init(weights),
            changes,
            jax.vmap(_motion_optimiser().init)(changes),
            Seen.none(len(avatar)),
            jnp.int32(0),
        )

    @property
    def avatar(self) -> Any:
        """The current avatar; with parts that belong to it, dressed in them."""
        base, weights = self._bare()
        lasting = tuple(part for part in self.parts if part.lasting)
        if not lasting:
            return base
        return DressedAvatar(base, lasting, {part.name: weights[part.name] for part in lasting})

    def _bare(self) -> tuple[Any, dict[str, Any]]:
        """The current avatar without parts, and the weights of the parts."""
        held = jax.tree.map(
            lambda x: jnp.array(x, copy=True), {"canonical": self.state.canonical, **self.state.weights}
        )
        weights = held.pop("parts")
        return dataclasses.replace(self._base, dynamic=_dynamic(self.state.step, self.settings), **held), weights

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
            self.state, figures = _step(self.state, self._base, self.data, jnp.asarray(chosen), s, self.parts)
            if (step + 1) % s.reassign_every == 0 and step + 1 <= s.reassign_until * s.steps:
                self.state = reassigned(self.state, self._base.model, s.reassign_share, s.seed + step)
            if report is not None:
                report(self, {name: float(value) for name, value in figures.items()})

    def _frame(self, position: int) -> int:
        turn, place = divmod(position, len(self.usable))
        return int(np.random.default_rng([self.settings.seed, turn]).permutation(self.usable)[place])

    def refine(self, frames: Sequence[int] | np.ndarray, steps: int = 60) -> None:
        """Fit only the motion of given pictures with a fixed avatar, to evaluate held-out frames."""
        optimiser = optax.adam(optax.cosine_decay_schedule(0.15, steps, 0.05), b2=0.99)
        (avatar, weights), changes = self._bare(), self.state.changes
        weights = {"points": avatar.points, "network": avatar.network, "parts": weights}
        step = self.state.step
        for i in map(jnp.asarray, frames):
            time = self.data.place(i)[0]
            change = changes[time]
            moments = optimiser.init(change)
            for _ in range(steps):
                pull = _pull(change, weights, avatar, self.data, i, step, self.settings, self.parts)
                updates, moments = optimiser.update(pull, moments)
                change = change + updates
            changes = changes.at[time].set(change)
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
        if self.parts or self.clip.rig is not None:
            parts += [f"{part.name} {jax.tree.structure(part)}" for part in self.parts]
            parts += [str(self.held_cameras.tolist())]
        name = hashlib.sha256("|".join(parts).encode())
        for leaf in jax.tree.leaves((self.parts, self.clip.rig)):
            name.update(np.ascontiguousarray(leaf).tobytes())
        name.update(np.ascontiguousarray(self.clip.frames).tobytes())
        name.update(np.asarray(self.data.motion.transform).tobytes())
        return name.hexdigest()

    def picture(self, index: int, change: Tree = None) -> Float[np.ndarray, "S S 3"]:
        """The rendered image of a picture of the clip, with its frame's own or the given corrections."""
        change = self.state.changes[self.data.place(index)[0]] if change is None else jnp.asarray(change)
        avatar, weights = self._bare()
        share = self.state.step / self.settings.steps
        return np.asarray(_picture(avatar, weights, self.data, jnp.asarray(index), change, share, self.parts))


def _rates(parts: Sequence[Part]) -> tuple[tuple[str, float], ...]:
    return tuple((part.name, part.rate) for part in parts)


@functools.cache
def _optimiser(settings: Settings, rates: tuple[tuple[str, float], ...] = ()) -> optax.GradientTransformation:
    def adam(rate: float) -> optax.GradientTransformation:
        return optax.adam(optax.cosine_decay_schedule(rate, settings.steps, 0.03), eps=1e-15)

    def labels(weights: dict[str, Any]) -> dict[str, Any]:
        return {
            "points": {name: name for name in weights["points"]},
            "network": jax.tree.map(lambda _: "network", weights["network"]),
            "parts": {
                name: jax.tree.map(lambda _, name=name: f"part {name}", part)  # type: ignore[misc]
                for name, part in weights["parts"].items()
            },
        }

    groups = {name: adam(rate) for name, rate in RATES.items()} | {"network": adam(settings.network_rate)}
    groups |= {f"part {name}": adam(rate) for name, rate in rates}
    return optax.partition(groups, labels)


@functools.cache
def _motion_optimiser() -> optax.GradientTransformation:
    return optax.scale_by_adam(b2=0.99, eps=1e-8)


def _dynamic(step: int | AnyArray, settings: Settings) -> Array:
    """Weight of the frame code, raised gradually: an abrupt change would disturb the result of the first stage."""
    return jnp.clip((step / settings.steps - settings.first) / 0.15, 0.0, 1.0).astype(jnp.float32)


def _shown(
    avatar: PersonalAvatar,
    weights: Tree,
    data: Data,
    i: AnyArray,
    change: AnyArray,
    share: AnyArray,
    parts: tuple[Part, ...],
) -> tuple[Any, Array, Array, View, Parameters]:
    """What one picture of the clip shows: features of the avatar, finished picture, coverage, view, parameters."""
    time, camera = data.place(i)
    parameters, reference = data.seen(i, change, data.frames.shape[1])
    background = data.behind(camera)
    view = View(jnp.asarray(time), jnp.asarray(camera), reference, jnp.asarray(share), background)
    for part in parts:
        parameters = part.parameters(weights.get(part.name, {}), parameters, view)
    dressed: Any = DressedAvatar(avatar, parts, weights, view) if parts else avatar
    features, coverage = mapped(dressed, parameters, background)
    picture = features
    if isinstance(dressed, FinishesPictures):
        picture = dressed.finish(features)
        coverage = jax.image.resize(coverage, picture.shape[:2], "linear")
    for part in parts:
        picture = jnp.asarray(part.picture(weights.get(part.name, {}), picture, coverage, view))
    return features, picture, coverage, view, parameters


def _error(
    weights: Tree,
    changes: Tree,
    avatar: PersonalAvatar,
    data: Data,
    index: AnyArray,
    share: AnyArray,
    settings: Settings,
    parts: tuple[Part, ...],
) -> tuple[Array, dict[str, Array]]:
    own = {name: value for name, value in weights.items() if name != "parts"}
    avatar, added = dataclasses.replace(avatar, **own), weights["parts"]
    total, figures = jnp.zeros(()), {"loss": jnp.zeros(()), "square": jnp.zeros(())}
    size = data.frames.shape[1]
    for k in range(index.shape[0]):
        i, change = index[k], changes[k]
        truth = data.frames[i].astype(jnp.float32) / 255
        features, picture, coverage, view, parameters = _shown(avatar, added, data, i, change, share, parts)
        loss = losses.photometric(picture, truth, settings.ssim)
        if "upscale" in weights["network"]:
            # Supervise the colours with the downscaled image: otherwise the network does all the work.
            small = jax.image.resize(truth, (*features.shape[:2], 3), "linear")
            loss = loss + jnp.abs(features[..., :3] - small).mean()
        mask = None
        if data.masks is not None:
            mask = data.masks[i].astype(jnp.float32) / 255
            loss = loss + settings.silhouette * losses.silhouette(coverage, mask)
        loss = loss + settings.prior * (change**2).sum()
        if settings.motion:
            mine, _ = data.motion.frame(view.time, change, size)
            given, held = data.motion.frame(view.time, jnp.zeros_like(change), size)
            loss = loss + settings.landmark * losses.landmark(
                _seen(avatar.model, mine, view.reference),
                jax.lax.stop_gradient(_seen(avatar.model, given, held)),
            )
        if parts:
            shown = Shown(picture, truth, coverage, mask, avatar, parameters, view)
            for part in parts:
                loss = loss + part.loss(added.get(part.name, {}), shown)
        total = total + loss
        figures["square"] += ((picture - truth) ** 2).mean() / index.shape[0]
    total = total / index.shape[0]
    points = avatar.points
    total = total + settings.offset * losses.offset(points["offset"])
    total = total + settings.laplacian * losses.laplacian(points["offset"], avatar.canonical.neighbours)
    total = total + settings.scale * losses.scale(points["scale"])
    for part in parts:
        total = total + part.prior(added.get(part.name, {}), avatar)
    return total, figures | {"loss": total}


def _seen(model: FlameModel, parameters: Parameters, transform: AnyArray) -> Array:
    points = flame.landmarks(model, parameters.vertices(model))
    return points @ transform[:, :3] + transform[:, 3] / UNITS_PER_METRE


@functools.partial(jax.jit, static_argnames=("settings",), donate_argnames=("state",))
def _step(
    state: State,
    avatar: PersonalAvatar,
    data: Data,
    index: AnyArray,
    settings: Settings,
    parts: tuple[Part, ...],
) -> tuple[State, dict[str, Array]]:
    dynamic = _dynamic(state.step, settings)
    avatar = dataclasses.replace(avatar, canonical=state.canonical, dynamic=dynamic)
    time, share = data.place(index)[0], state.step / settings.steps
    changes: Array = state.changes[time]
    (_, figures), (g_weights, g_changes) = jax.value_and_grad(_error, (0, 1), has_aux=True)(
        state.weights, changes, avatar, data, index, share, settings, parts
    )
    g_weights["parts"] = {
        part.name: jax.tree.map(
            lambda g, since=part.since: jnp.where(share < since, 0, g), g_weights["parts"][part.name]
        )
        for part in parts
        if part.name in g_weights["parts"]
    }
    updates, optimiser = _optimiser(settings, _rates(parts)).update(g_weights, state.optimiser)
    weights = optax.apply_updates(state.weights, updates)
    seen = state.seen.add(g_weights["points"])
    motion_optimiser, all_changes = state.motion_optimiser, state.changes
    if settings.motion:
        # A batch may hold one frame from several cameras: their pulls add up.
        g_changes = jnp.zeros_like(state.changes).at[time].add(g_changes)[time]
        rows = jax.tree.map(lambda x: x[time], state.motion_optimiser)
        moves, rows = jax.vmap(_motion_optimiser().update)(g_changes, rows)
        rate = settings.motion_rate * jnp.where(
            share < settings.motion_from, 0.0, 0.5 * (1 + jnp.cos(jnp.pi * jnp.minimum(share, 1.0))) + 0.03
        )
        all_changes = jnp.asarray(state.changes).at[time].set(changes - rate * moves)
        motion_optimiser = jax.tree.map(lambda x, r: x.at[time].set(r), state.motion_optimiser, rows)
    figures["psnr"] = -10 * jnp.log10(figures.pop("square"))
    return (
        State(weights, state.canonical, optimiser, all_changes, motion_optimiser, seen, state.step + 1),
        figures,
    )


@functools.partial(jax.jit, static_argnames=("settings",))
def _pull(
    change: Tree,
    weights: Tree,
    avatar: PersonalAvatar,
    data: Data,
    index: AnyArray,
    step: AnyArray,
    settings: Settings,
    parts: tuple[Part, ...],
) -> Any:
    """The gradient in one frame's motion only."""
    settings, share = dataclasses.replace(settings, motion=True), step / settings.steps

    def error(z: Array) -> Array:
        return _error(weights, z[None], avatar, data, index[None], share, settings, parts)[0]

    return jax.grad(error)(change)


@jax.jit
def _picture(
    avatar: PersonalAvatar,
    weights: Tree,
    data: Data,
    index: AnyArray,
    change: Tree,
    share: AnyArray,
    parts: tuple[Part, ...],
) -> Any:
    return _shown(avatar, weights, data, index, change, share, parts)[1]
