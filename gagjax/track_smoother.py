"""TrackSmoother: the filter and its parameters for each field of a track.

Two presets. `TrackSmoother.default(fps)` sees the whole sequence and has no lag; `TrackSmoother.live(fps)` is a causal
filter over one frame of `Channels`. Both estimate the noise level of every channel; their parameters are
frequencies and multiples of that level, so one set works for every tracker.
"""

from __future__ import annotations

import dataclasses
import math
import warnings
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from gagjax import so3
from gagjax.conventions import track_units
from gagjax.conventions.head_pose import GLOBAL_ROTATION, ROTATION, TRANSLATION, transform_of
from gagjax.expression import speech
from gagjax.filters.adaptive import AdaptiveSmoother
from gagjax.filters.alpha_beta import LiveRotation, LiveVelocity
from gagjax.filters.rigid import RigidTransform
from gagjax.filters.scene_cuts import scene_cuts
from gagjax.gaze.estimate import STILL
from gagjax.long_clips.walk import Walk
from gagjax.pytree import pytree, static
from gagjax.track import Channels, Track, interleaved
from gagjax.typing import AnyArray, FrameRate, Scalar

if TYPE_CHECKING:
    from gagjax.tuning.batching import Clip

# Sources already smoothed by a causal filter: a second one would add its lag to the first.
SMOOTHED_SOURCES = ("gagavatar-smoothed",)


@pytree
class TrackSmoother:
    """Zero-lag smoothing of a whole track, field by field. None leaves a field unchanged.

    Args:
        expression: Smoother of the expression coefficients.
        jaw: Smoother of the jaw, radians.
        eyes: Smoother of both eyes, radians.
        rotation: Smoother of the rotation of camera and head, on SO(3), radians.
        translation: Smoother of the translation of camera and head, in the track's unit and in metres.
        neck: Smoother of the neck, radians.
        extra: Smoother of every extra channel; those named in `rotations` are smoothed on SO(3).
        cut_angle: A lasting camera rotation by more than this between two frames is a scene cut, radians; no state is
            carried across a cut.
        speech: The share of an expression column's fast motion that has to follow the jaw for it to be smoothed with
            the jaw instead of alone: lips in speech move as fast as noise. Infinity smooths every column alone.
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
    cut_angle: Scalar = 0.52
    speech: Scalar = speech.LEAST
    rotations: tuple[str, ...] = static(default=())

    def __post_init__(self) -> None:
        track_units.warn_of_degrees("cut_angle", self.cut_angle)

    @classmethod
    def default(cls, fps: FrameRate = 25) -> TrackSmoother:
        """The offline preset; parameters are in Hz, so `fps` only limits their upper end.

        Args:
            fps: Frames per second of the tracks to smooth.
        """
        highest = min(10.0, 0.5 * float(fps))

        def smoother(lowest: float, **more: Any) -> AdaptiveSmoother:
            return AdaptiveSmoother(lowest=min(lowest, highest), highest=highest, **more)

        return cls(
            # Lips move at 2 Hz and more: slower cutoffs are excluded, because a few seconds of speech look like noise to
            # a likelihood. Columns differ, so pooling is weak.
            expression=smoother(2.0, pooling=0.25, guard=4.0, gate=8.0),
            # In speech the jaw moves in every frame, and what rests in pauses makes each syllable an outlier: no cutoff
            # below a syllable's, no gate. Frames that are wrong as a whole show in the expression.
            jaw=smoother(8.0, gate=math.inf),
            # Saccades last one to three frames: smooth little, and keep lasting jumps.
            eyes=smoother(3.0, guard=3.5),
            rotation=smoother(0.7),
            translation=smoother(0.7),
            neck=smoother(0.7),
            extra=smoother(0.7),
        )

    @classmethod
    def live(cls, fps: FrameRate = 25) -> LiveTrackSmoother:
        """The causal preset: at most one frame of lag.

        Args:
            fps: Frames per second of the tracks to smooth.
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
        """The smoother bound to a track's rotation channels; warns if the track is already smoothed."""
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

    def likelihood(self, clip: Clip) -> Float[Array, ""]:
        """Negative log-likelihood at each field's lowest cutoff: summed over fields, each per frame and channel.

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

    def apply(self, channels: Channels, *, valid: Bool[AnyArray, "T"] | None = None, dt: Scalar = 0.04) -> Channels:
        """Smooth the channels of a whole sequence.

        Args:
            channels: Time first.
            valid: (T,) bool; values of frames marked False are never read. Gaps are bridged, ends are held.
            dt: Seconds per frame, one number or (T,).

        Returns:
            The smoothed channels.
        """
        # Cuts are relative to the head: its own rotation counts like the camera's.
        cuts = scene_cuts(transform_of(channels)[..., :3], valid, self.cut_angle)
        return self._fields(channels, valid, dt, cuts, lambda smoother, xs, seen, _: smoother(xs, seen, dt, cuts))

    def by_parts(self, channels: Channels, *, valid: Bool[np.ndarray, "T"], dt: Scalar, walk: Walk) -> Channels:
        """`apply` for a clip too long for memory; see `gagjax.protocols.ByParts`.

        What moves with the jaw, the scene cuts and the rotations are found in the whole clip at once.
        """
        walk.about("scene cuts")
        cuts = np.asarray(scene_cuts(transform_of(channels)[..., :3], valid, self.cut_angle))
        names = {id(x): name for name, x in channels._asdict().items() if name != "extra"}
        names |= {id(x): name for name, x in channels.extra.items()}

        def smooth(smoother: AdaptiveSmoother, xs: AnyArray, seen: AnyArray | None, name: str | None) -> Any:
            walk.about(f"smoothing {name or names.get(id(xs), 'translation')}")
            return smoother.by_parts(np.asarray(xs), np.asarray(seen), dt, cuts, walk)

        fields = self._fields(channels, valid, dt, cuts, smooth)
        done: Channels = jax.tree.map(lambda x: x if isinstance(x, np.ndarray) else np.asarray(x), fields)
        return done

    def _fields(
        self,
        channels: Channels,
        valid: Bool[AnyArray, "T"] | None,
        dt: Scalar,
        cuts: Bool[AnyArray, "T"],
        smooth: Callable[[AdaptiveSmoother, AnyArray, AnyArray | None, str | None], Any],
    ) -> Channels:
        """Every field by its smoother; `smooth` runs one over an array that is not a rotation, for the frames to trust."""
        rotation, translation = channels.transform[..., :3], channels.transform[..., 3]

        def vector(smoother: AdaptiveSmoother | None, xs: AnyArray | None) -> Any:
            return xs if smoother is None or xs is None else smooth(smoother, xs, valid, None)

        def turn(smoother: AdaptiveSmoother | None, xs: AnyArray) -> Any:
            return xs if smoother is None else smoother.rotations(xs, valid, dt, cuts)

        def other(name: str, xs: AnyArray) -> Any:
            if name == GLOBAL_ROTATION and self.rotation is not None:
                return _nearest(so3.log(turn(self.rotation, so3.exp(xs))), xs)
            if name == TRANSLATION and self.translation is not None:
                return principal(lambda x: vector(self.translation, x), xs, valid)
            if name in self.rotations:
                return turn(self.rotation if name == ROTATION else self.extra, xs)
            return vector(self.extra, xs)

        expression, wrong = channels.expression, speech.wrong_frames(channels.expression, valid)
        seen = ~wrong if valid is None else jnp.asarray(valid) & ~wrong
        jaw = channels.jaw if self.jaw is None else smooth(self.jaw, channels.jaw, seen, "jaw")
        if self.expression is not None:
            opening = jaw[:, :1]
            spoken = opening * speech.with_jaw(expression, opening[:, 0], seen, dt, self.speech)
            expression = smooth(self.expression, expression - spoken, valid, "expression") + spoken
        extra: Mapping[str, Any] = {name: other(name, xs) for name, xs in channels.extra.items()}
        turned, moved = turn(self.rotation, rotation), vector(self.translation, translation)
        return Channels(
            expression=expression,
            jaw=jaw,
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
        extra: Filter of every extra channel that is not a rotation.
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
        """The filter bound to a track's rotation channels; warns if the track is already smoothed."""
        warn_if_smoothed(track)
        return dataclasses.replace(self, rotations=track.rotations)

    def with_dt(self, dt: Scalar) -> LiveTrackSmoother:
        """The filter for frames that last `dt` seconds."""
        parts = [f.name for f in dataclasses.fields(self) if f.name != "rotations"]  # type: ignore[arg-type]
        return dataclasses.replace(self, **{name: getattr(self, name).with_dt(dt) for name in parts})

    def init(self, first: Channels) -> dict[str, Any]:
        """The states of all fields."""
        return {name: f.init(x) for name, f, x in self._parts(first)}

    def step(self, state: dict[str, Any], x: Channels) -> tuple[dict[str, Any], Channels]:
        """Advance all fields by one observed frame."""
        return self._joined({name: f.step(state[name], value) for name, f, value in self._parts(x)})

    def predict(self, state: dict[str, Any]) -> tuple[dict[str, Any], Channels]:
        """Advance all fields by one missing frame."""
        return self._joined({name: self._filter(name).predict(each) for name, each in state.items()})

    def _filter(self, name: str) -> Any:
        kind, _, extra = name.partition("/")
        if kind == "extra":
            return self.extra_rotation if extra in (*self.rotations, GLOBAL_ROTATION) else self.extra
        return getattr(self, kind)

    def _parts(self, x: Channels) -> list[tuple[str, Any, Any]]:
        named = {name: value for name, value in x._asdict().items() if name != "extra" and value is not None}
        # Head rotation is filtered on SO(3), whatever its representation.
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


def principal(
    smooth: Callable[[AnyArray], Any], xs: Float[AnyArray, "T 3"], valid: Bool[AnyArray, "T"] | None
) -> Float[AnyArray, "T 3"]:
    """Apply a per-channel smoother along the principal axes of a motion, for independence of the world axes.

    Args:
        smooth: A smoother from (T, 3) to (T, 3).
        xs: Positions, (T, 3).
        valid: (T,) frames to trust.

    Returns:
        The smoothed positions, (T, 3).
    """
    xs = jnp.asarray(xs)
    seen = jnp.ones(xs.shape[0], bool) if valid is None else jnp.asarray(valid)
    known = jnp.where(seen[:, None], xs, 0.0)
    middle = known.sum(0) / jnp.maximum(seen.sum(), 1)
    off = jnp.where(seen[:, None], xs - middle, 0.0)
    # No gradient through the choice of axes: it is infinite where two eigenvalues coincide.
    axes = jax.lax.stop_gradient(jnp.linalg.eigh(off.T @ off)[1])
    still = (jnp.abs(off) <= 1e-6 * jnp.max(jnp.abs(known))).all()
    turned = jnp.matmul(smooth(jnp.matmul(xs - middle, axes, precision="highest")), axes.T, precision="highest")
    return jnp.where(still, smooth(xs), middle + turned)


def _turning(eyes: Float[AnyArray, "T 6"], valid: Bool[AnyArray, "T"] | None) -> Bool[AnyArray, ""]:
    """Whether the eyes move at all; eyes that the tracker did not estimate are left unchanged."""
    seen = jnp.ones(eyes.shape[0], bool) if valid is None else jnp.asarray(valid)
    low = jnp.where(seen[:, None], eyes, jnp.inf).min(0)
    high = jnp.where(seen[:, None], eyes, -jnp.inf).max(0)
    return (high - low).max() > STILL


def _nearest(v: Float[AnyArray, "T 3"], given: Float[AnyArray, "T 3"]) -> Float[AnyArray, "T 3"]:
    """The equivalent rotation vectors nearest to given ones: angles a and a - 360 degrees are the same rotation."""
    angle = jnp.sqrt((v**2).sum(-1, keepdims=True))
    safe = jnp.where(angle > 1e-6, angle, 1.0)
    other = jnp.where(angle > 1e-6, v * (1 - 2 * jnp.pi / safe), v)
    nearer = ((other - given) ** 2).sum(-1, keepdims=True) < ((v - given) ** 2).sum(-1, keepdims=True)
    return jnp.where(nearer, other, v)


def warn_if_smoothed(track: Track) -> None:
    """Warn if the tracker's output is already filtered."""
    if track.source in SMOOTHED_SOURCES:
        warnings.warn(
            f"this track ({track.source}) has already been through a causal filter, whose lag no smoother can take "
            "back; use the tracker's unfiltered output (optim.pkl beside smoothed.pkl) where you have it",
            stacklevel=3,
        )
