"""TrackSmoother: which filter, with which parameters, runs on which field of a track.

Two presets. `TrackSmoother.default(fps)` sees the whole sequence and has no lag; `TrackSmoother.live(fps)` is a causal
filter over one frame of `Channels`. Both find the noise level of every channel themselves; their parameters are
frequencies and multiples of that level, so one set serves every tracker.
"""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from gagjax import track_units
from gagjax.filters.adaptive import AdaptiveSmoother
from gagjax.filters.alpha_beta import LiveRotation, LiveVelocity
from gagjax.filters.rigid import RigidTransform
from gagjax.filters.scene_cuts import scene_cuts
from gagjax.pytree import pytree, static
from gagjax.track import Channels, Track
from gagjax.typing import AnyArray, FrameRate, Scalar

if TYPE_CHECKING:
    from gagjax.tuning.batching import Clip

# Tracks in which a causal filter has already been at work: a second one would add its lag to the first.
SMOOTHED_SOURCES = ("gagavatar-smoothed",)


@pytree
class TrackSmoother:
    """Zero-lag smoothing of a whole track, field by field. None leaves a field as it is.

    Args:
        expression: Smoother of the expression coefficients.
        jaw: Smoother of the jaw, radians.
        eyes: Smoother of both eyes, radians.
        rotation: Smoother of the camera's rotation, on SO(3), radians.
        translation: Smoother of the camera's translation, in the track's unit.
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
    cut_angle: Scalar = 0.52
    rotations: tuple[str, ...] = static(default=())

    def __post_init__(self) -> None:
        track_units.warn_of_degrees("cut_angle", self.cut_angle)

    @classmethod
    def default(cls, fps: FrameRate = 25) -> TrackSmoother:
        """The offline preset; parameters are in Hz, so `fps` changes nothing but their upper end.

        Args:
            fps: Frames per second of the tracks to come.
        """
        highest = min(10.0, 0.5 * float(fps))

        def smoother(lowest: float, **more: Any) -> AdaptiveSmoother:
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
    def live(cls, fps: FrameRate = 25) -> LiveTrackSmoother:
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
        channels = jax.tree.map(jnp.asarray, track.channels)
        dt = jnp.float32(float(1 / track.fps))
        return track.with_channels(self.for_track(track).apply(channels, valid=jnp.asarray(track.valid), dt=dt))

    def likelihood(self, clip: Clip) -> Float[Array, ""]:
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
        if self.extra is not None:
            for name, xs in channels.extra.items():
                total += self.extra.surprise(xs, clip.valid, clip.dt, turns=name in self.rotations)
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
        rotation, translation = channels.transform[..., :3], channels.transform[..., 3]
        cuts = scene_cuts(rotation, valid, self.cut_angle)

        def vector(smoother: AdaptiveSmoother | None, xs: AnyArray | None) -> Any:
            return xs if smoother is None or xs is None else smoother(xs, valid, dt, cuts)

        def turn(smoother: AdaptiveSmoother | None, xs: AnyArray) -> Any:
            return xs if smoother is None else smoother.rotations(xs, valid, dt, cuts)

        extra: Mapping[str, Any] = {
            name: (turn if name in self.rotations else vector)(self.extra, xs) for name, xs in channels.extra.items()
        }
        turned, moved = turn(self.rotation, rotation), vector(self.translation, translation)
        return Channels(
            expression=vector(self.expression, channels.expression),
            jaw=vector(self.jaw, channels.jaw),
            eyes=vector(self.eyes, channels.eyes),
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

    def with_dt(self, dt: Scalar) -> LiveTrackSmoother:
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
            return self.extra_rotation if extra in self.rotations else self.extra
        return getattr(self, kind)

    def _parts(self, x: Channels) -> list[tuple[str, Any, Any]]:
        named = {name: value for name, value in x._asdict().items() if name != "extra" and value is not None}
        named |= {f"extra/{name}": value for name, value in x.extra.items()}
        return [(name, self._filter(name), value) for name, value in named.items()]

    @staticmethod
    def _joined(results: dict[str, tuple[Any, Any]]) -> tuple[dict[str, Any], Channels]:
        fields: dict[str, Any] = {"extra": {}}
        for name, (_, y) in results.items():
            kind, _, extra = name.partition("/")
            if kind == "extra":
                fields["extra"][extra] = y
            else:
                fields[kind] = y
        return {name: state for name, (state, _) in results.items()}, Channels(**fields)


def warn_if_smoothed(track: Track) -> None:
    """Warn where the tracker's own output has been filtered before."""
    if track.source in SMOOTHED_SOURCES:
        warnings.warn(
            f"this track ({track.source}) has already been through a causal filter, whose lag no smoother can take "
            "back; use the tracker's unfiltered output (optim.pkl beside smoothed.pkl) where you have it",
            stacklevel=3,
        )
