"""TrackSmoother: which filter, with which parameters, runs on which field of a track.

Two presets. `TrackSmoother.default(fps)` sees the whole sequence and has no lag; `TrackSmoother.live(fps)` is a causal
filter over one frame of `Channels`. Both find the noise level of every channel themselves; their parameters are
frequencies and multiples of that level, so one set serves every tracker.
"""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from gagjax import so3
from gagjax.conventions import track_units
from gagjax.conventions.head_pose import GLOBAL_ROTATION, ROTATION, TRANSLATION, transform_of
from gagjax.filters.adaptive import AdaptiveSmoother
from gagjax.filters.alpha_beta import LiveRotation, LiveVelocity
from gagjax.filters.rigid import RigidTransform
from gagjax.filters.scene_cuts import scene_cuts
from gagjax.gaze.estimate import STILL
from gagjax.pytree import pytree, static
from gagjax.track import Channels, Track, interleaved

# Tracks in which a causal filter has already been at work: a second one would add its lag to the first.
SMOOTHED_SOURCES = ("gagavatar-smoothed",)


@pytree
class TrackSmoother:
    """Zero-lag smoothing of a whole track, field by field. None leaves a field as it is.

    Args:
        expression: Smoother of the expression coefficients.
        jaw: Smoother of the jaw, radians.
        eyes: Smoother of both eyes, radians.
        rotation: Smoother of the rotation of camera and head, on SO(3), radians.
        translation: Smoother of the translation of camera and head, in the track's unit and in metres.
        neck: Smoother of the neck, radians.
        extra: Smoother of every extra channel; those named in `rotations` on SO(3).
        cut_angle: A lasting turn of the camera by more than this between two frames is a scene cut, radians; nothing
            is carried across a cut.
        rotations: Names of extra channels that hold rotation matrices; `for_track` sets them.

    Example:
        >>> import numpy as np
        >>> track = Track(np.ones((9, 100)), np.zeros((9, 3)), np.zeros((9, 6)), np.tile(np.eye(3, 4), (9, 1, 1)))
        >>> smoother = TrackSmoother.default(track.fps)
        >>> bool((smoother(track).expression == 1).all())
        True
    """

    expression: AdaptiveSmoother | None = None
    jaw: AdaptiveSmoother | None = None
    eyes: AdaptiveSmoother | None = None
    rotation: AdaptiveSmoother | None = None
    translation: AdaptiveSmoother | None = None
    neck: AdaptiveSmoother | None = None
    extra: AdaptiveSmoother | None = None
    cut_angle: Float[Array, ""] = 0.52  # type: ignore[assignment]
    rotations: tuple[str, ...] = static(default=())

    def __post_init__(self) -> None:
        track_units.warn_of_degrees("cut_angle", self.cut_angle)

    @classmethod
    def default(cls, fps: Any = 25) -> TrackSmoother:
        """The offline preset; parameters are in Hz, so `fps` changes nothing but their upper end.

        Args:
            fps: Frames per second of the tracks to come.
        """
        highest = min(10.0, 0.5 * float(fps))

        def smoother(lowest: float, **more: float) -> AdaptiveSmoother:
            return AdaptiveSmoother(lowest=min(lowest, highest), highest=highest, **more)

        return cls(
            # Lips move at 2 Hz and more, the jaw of a speaker at up to 8: slower cutoffs are not even tried, because a
            # few seconds of speech look like noise to a likelihood. Columns differ, so they pool little.
            expression=smoother(2.0, pooling=0.25, guard=3.5),
            jaw=smoother(8.0),
            # Saccades last one to three frames: little is taken away, and jumps that last are kept.
            eyes=smoother(3.0, guard=3.5),
            rotation=smoother(0.7),
            translation=smoother(0.7),
            neck=smoother(0.7),
            extra=smoother(0.7),
        )

    @classmethod
    def live(cls, fps: Any = 25) -> LiveTrackSmoother:
        """The causal preset: at most one frame of lag.

        Args:
            fps: Frames per second of the tracks to come.
        """
        rate = float(fps)
        return LiveTrackSmoother(
            expression=LiveVelocity(fps=rate),
            jaw=LiveVelocity(cutoff=3.5, fps=rate),
            eyes=LiveVelocity(cutoff=5.0, fps=rate),
            transform=RigidTransform(LiveRotation(fps=rate), LiveVelocity(fps=rate)),
            neck=LiveVelocity(fps=rate),
            extra=LiveVelocity(fps=rate),
            extra_rotation=LiveRotation(fps=rate),
        )

    def for_track(self, track: Track) -> TrackSmoother:
        """The smoother for a track: with its rotation channels; warns where the track is smoothed already."""
        warn_if_smoothed(track)
        return dataclasses.replace(self, rotations=track.rotations)

    def __call__(self, track: Track) -> Track:
        """The track, smoothed.

        Args:
            track: The sequence; values of frames marked invalid are never read.
        """
        sequences = track.sequences
        if len(sequences) > 1:
            parts = [self(track.take(places)).channels for places in sequences.values()]
            return track.with_channels(interleaved(parts, list(sequences.values())))
        channels = jax.tree.map(jnp.asarray, track.channels)
        dt = jnp.float32(float(1 / track.fps))
        return track.with_channels(self.for_track(track).apply(channels, valid=jnp.asarray(track.valid), dt=dt))

    def likelihood(self, clip: Any) -> Float[Array, ""]:
        """Negative log-likelihood of a clip at every field's lowest cutoff: the sum over fields, each per frame and channel.

        Args:
            clip: A `tuning.Clip` of `Channels`.
        """
        channels, total = clip.xs, jnp.zeros(())
        fields = {"expression": channels.expression, "jaw": channels.jaw, "eyes": channels.eyes, "neck": channels.neck}
        fields |= {"rotation": channels.transform[..., :3], "translation": channels.transform[..., 3]}
        for name, xs in fields.items():
            smoother = getattr(self, name)
            if smoother is not None and xs is not None:
                total += smoother.surprise(xs, clip.valid, clip.dt, turns=name == "rotation")
        if channels.extra:
            for name, xs in channels.extra.items():
                smoother = {ROTATION: self.rotation, GLOBAL_ROTATION: self.rotation, TRANSLATION: self.translation}.get(
                    name, self.extra
                )
                if name == GLOBAL_ROTATION:
                    xs = so3.exp(xs)
                if smoother is not None:
                    total += smoother.surprise(
                        xs, clip.valid, clip.dt, turns=name == GLOBAL_ROTATION or name in self.rotations
                    )
        return total

    def apply(self, channels: Channels, *, valid: Bool[Array, "T"] | None = None, dt: Any = 0.04) -> Channels:
        """Smooth the channels of a whole sequence.

        Args:
            channels: Time first.
            valid: (T,) bool; values of frames marked False are never read. Gaps are bridged, ends are held.
            dt: Seconds per frame, one number or (T,).

        Returns:
            The smoothed channels.
        """
        rotation, translation = channels.transform[..., :3], channels.transform[..., 3]
        # Who is cut away from is the head: where it turns by itself, that counts like the camera's turning.
        cuts = scene_cuts(transform_of(channels)[..., :3], valid, self.cut_angle)

        def vector(smoother: AdaptiveSmoother | None, xs: Any) -> Any:
            return xs if smoother is None or xs is None else smoother(xs, valid, dt, cuts)

        def turn(smoother: AdaptiveSmoother | None, xs: Any) -> Any:
            return xs if smoother is None else smoother.rotations(xs, valid, dt, cuts)

        def other(name: str, xs: Any) -> Any:
            if name == GLOBAL_ROTATION and self.rotation is not None:
                return _nearest(so3.log(turn(self.rotation, so3.exp(xs))), xs)
            if name == TRANSLATION and self.translation is not None:
                return principal(lambda x: vector(self.translation, x), xs, valid)
            if name in self.rotations:
                return turn(self.rotation if name == ROTATION else self.extra, xs)
            return vector(self.extra, xs)

        extra: Mapping[str, Any] = {name: other(name, xs) for name, xs in channels.extra.items()}
        turned, moved = turn(self.rotation, rotation), vector(self.translation, translation)
        return Channels(
            expression=vector(self.expression, channels.expression),
            jaw=vector(self.jaw, channels.jaw),
            eyes=jnp.where(_turning(channels.eyes, valid), vector(self.eyes, channels.eyes), channels.eyes),
            transform=jnp.concatenate([turned, moved[..., None]], axis=-1),
            neck=vector(self.neck, channels.neck),
            extra=extra,
        )


@pytree
class LiveTrackSmoother:
    """Causal smoothing of one frame of `Channels` at a time: a filter, made by `TrackSmoother.live`.

    Args:
        expression: Filter of the expression coefficients.
        jaw: Filter of the jaw.
        eyes: Filter of both eyes.
        transform: Filter of the camera `[R | t]`.
        neck: Filter of the neck.
        extra: Filter of every extra channel that is no rotation.
        extra_rotation: Filter of the extra channels named in `rotations`.
        rotations: Names of extra channels that hold rotation matrices; `for_track` sets them.
    """

    expression: Any
    jaw: Any
    eyes: Any
    transform: Any
    neck: Any
    extra: Any
    extra_rotation: Any
    rotations: tuple[str, ...] = static(default=())

    def for_track(self, track: Track) -> LiveTrackSmoother:
        """The filter for a track: with its rotation channels; warns where the track is smoothed already."""
        warn_if_smoothed(track)
        return dataclasses.replace(self, rotations=track.rotations)

    def with_dt(self, dt: Float[Array, ""]) -> LiveTrackSmoother:
        """The filter for frames that last `dt` seconds."""
        parts = [f.name for f in dataclasses.fields(self) if f.name != "rotations"]  # type: ignore[arg-type]
        return dataclasses.replace(self, **{name: getattr(self, name).with_dt(dt) for name in parts})

    def init(self, first: Channels) -> dict[str, Any]:
        """The states of all fields."""
        return {name: f.init(x) for name, f, x in self._parts(first)}

    def step(self, state: dict[str, Any], x: Channels) -> tuple[dict[str, Any], Channels]:
        """All fields by one frame."""
        return self._joined({name: f.step(state[name], value) for name, f, value in self._parts(x)})

    def predict(self, state: dict[str, Any]) -> tuple[dict[str, Any], Channels]:
        """All fields by one frame that was not observed."""
        return self._joined({name: self._filter(name).predict(each) for name, each in state.items()})

    def _filter(self, name: str) -> Any:
        kind, _, extra = name.partition("/")
        if kind == "extra":
            return self.extra_rotation if extra in (*self.rotations, GLOBAL_ROTATION) else self.extra
        return getattr(self, kind)

    def _parts(self, x: Channels) -> list[tuple[str, Any, Any]]:
        named = {name: value for name, value in x._asdict().items() if name != "extra" and value is not None}
        # The head's turning is filtered on SO(3) in whichever form it comes.
        named |= {f"extra/{n}": so3.exp(value) if n == GLOBAL_ROTATION else value for n, value in x.extra.items()}
        return [(name, self._filter(name), value) for name, value in named.items()]

    @staticmethod
    def _joined(results: dict[str, tuple[Any, Any]]) -> tuple[dict[str, Any], Channels]:
        fields: dict[str, Any] = {"extra": {}}
        for name, (_, y) in results.items():
            kind, _, extra = name.partition("/")
            if kind == "extra":
                fields["extra"][extra] = so3.log(y) if extra == GLOBAL_ROTATION else y
            else:
                fields[kind] = y
        return {name: state for name, (state, _) in results.items()}, Channels(**fields)


def principal(smooth: Any, xs: Float[Array, "T 3"], valid: Bool[Array, "T"] | None) -> Float[Array, "T 3"]:
    """A smoother of single channels along the principal axes of a motion, so that the world's axes do not matter.

    Args:
        smooth: Takes and returns (T, 3).
        xs: Places, (T, 3).
        valid: (T,) frames to trust.

    Returns:
        The smoothed places, (T, 3).
    """
    xs = jnp.asarray(xs)
    seen = jnp.ones(xs.shape[0], bool) if valid is None else jnp.asarray(valid)
    known = jnp.where(seen[:, None], xs, 0.0)
    middle = known.sum(0) / jnp.maximum(seen.sum(), 1)
    off = jnp.where(seen[:, None], xs - middle, 0.0)
    # Only the choice of axes: their own gradient is of no interest, and infinite where two of them are alike.
    axes = jax.lax.stop_gradient(jnp.linalg.eigh(off.T @ off)[1])
    still = (jnp.abs(off) <= 1e-6 * jnp.max(jnp.abs(known))).all()
    turned = jnp.matmul(smooth(jnp.matmul(xs - middle, axes, precision="highest")), axes.T, precision="highest")
    return jnp.where(still, smooth(xs), middle + turned)


def _turning(eyes: Float[Array, "T 6"], valid: Bool[Array, "T"] | None) -> Bool[Array, ""]:
    """Whether the eyes turn at all; those that no tracker estimated are left as they are."""
    seen = jnp.ones(eyes.shape[0], bool) if valid is None else jnp.asarray(valid)
    low = jnp.where(seen[:, None], eyes, jnp.inf).min(0)
    high = jnp.where(seen[:, None], eyes, -jnp.inf).max(0)
    return (high - low).max() > STILL


def _nearest(v: Float[Array, "T 3"], given: Float[Array, "T 3"]) -> Float[Array, "T 3"]:
    """Rotation vectors written as near as can be to given ones: a turn by a and by a - 360 degrees is the same."""
    angle = jnp.sqrt((v**2).sum(-1, keepdims=True))
    safe = jnp.where(angle > 1e-6, angle, 1.0)
    other = jnp.where(angle > 1e-6, v * (1 - 2 * jnp.pi / safe), v)
    nearer = ((other - given) ** 2).sum(-1, keepdims=True) < ((v - given) ** 2).sum(-1, keepdims=True)
    return jnp.where(nearer, other, v)


def warn_if_smoothed(track: Track) -> None:
    """Warn where the tracker's own output has been filtered before."""
    if track.source in SMOOTHED_SOURCES:
        warnings.warn(
            f"this track ({track.source}) has already been through a causal filter, whose lag no smoother can take "
            "back; use the tracker's unfiltered output (optim.pkl beside smoothed.pkl) where you have it",
            stacklevel=3,
        )
