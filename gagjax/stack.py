"""The four enhancements combined: the stages, their order, and the presets.

Tracks go through temporal, expression and gaze in that order; consecutive stages that are filters run as one chain in
one jitted `lax.scan`. Frames go through detail, then eyes, in one jitted program.

* Track stage: a filter over one frame of `Channels` (see `gagjax.filters.base`), or an object with
  `apply(channels, *, valid, dt) -> channels` that sees the whole sequence. Either may have `for_track(track) -> stage`
  to read the track's metadata (rotations, frame rate, source).
* Frame stage: `init(first frame) -> state` and `apply(state, frames, eye_centres) -> (state, frames)`.
"""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, UInt8

from gagjax import forked, shape_bucketing
from gagjax.conventions import track_units
from gagjax.errors import InputError
from gagjax.filters import chain, scan
from gagjax.filters.base import check_observed
from gagjax.long_clips import stages as long_stages
from gagjax.long_clips.walk import Walk
from gagjax.protocols import BindsModel, BindsTrack, Filter, FrameStage, PerFrame, TimeStepped, TrackStage
from gagjax.pytree import check_pytree, is_concrete, pytree
from gagjax.reference import FAULTS, Variant, check_variant
from gagjax.track import Channels, Track, interleaved
from gagjax.typing import AnyArray, Scalar

if TYPE_CHECKING:
    from gagjax.flame.model import FlameModel

STAGES = ("temporal", "expression", "gaze", "detail", "eyes")
#: Stages that `default` and `live` run unless told otherwise: gaze is only redirected on request.
USUAL = ("temporal", "expression", "detail", "eyes")
#: Clips of more frames than this are enhanced in parts.
LONG = 65_536
_warned = False


@pytree
class Stack:
    """The stages to run; None omits one.

    Args:
        temporal: Track stage that smooths.
        expression: Track stage that edits the expression.
        gaze: Track stage that redirects the eyes.
        detail: Frame stage that sharpens.
        eyes: Frame stage for the eye region.

    Example:
        >>> Stack().temporal is None
        True
    """

    temporal: Filter[Any] | TrackStage | None = None
    expression: Filter[Any] | TrackStage | None = None
    gaze: Filter[Any] | TrackStage | None = None
    detail: FrameStage[Any] | None = None
    eyes: FrameStage[Any] | None = None

    @staticmethod
    def reference(
        variant: Variant = "document", enable: Iterable[str] = STAGES, seed: int = 1, identity: bool = False
    ) -> Stack:
        """The original enhancements, for comparison; warns once about their known faults.

        Args:
            variant: "document" for the published formulas, "code" for those of the original program.
            enable: Names of the stages to run, out of `STAGES`.
            seed: Seed of the untrained networks' weights.
            identity: Weigh expressions as the original does when it is given identity features; the document variant
                always does.

        Raises:
            InputError: If a stage is not known.
        """
        check_variant(variant)
        from gagjax.detail.networks import reference_weights
        from gagjax.reference.detail import ReferenceDetail, ReferenceEyes
        from gagjax.reference.expression import reference_expression
        from gagjax.reference.gaze import ReferenceGaze
        from gagjax.reference.temporal import reference_temporal

        _warn_of_reference()
        return _build(
            enable,
            temporal=lambda: reference_temporal(variant),
            expression=lambda: reference_expression(variant, identity),
            gaze=lambda: ReferenceGaze(variant=variant),
            detail=lambda: ReferenceDetail(reference_weights(seed).attention, variant=variant),
            eyes=lambda: ReferenceEyes(reference_weights(seed).eyes),
        )

    @staticmethod
    def default(enable: Iterable[str] = USUAL) -> Stack:
        """The recommended preset for files: zero-lag smoothing, and the corrected form of each enhancement.

        Args:
            enable: Names of the stages to run, out of `STAGES`. Gaze redirection ("gaze") is off by default.

        Raises:
            InputError: If a stage is not known.

        Example:
            >>> Stack.default(enable=("detail",)).temporal is None
            True
        """
        return _recommended(enable, live=False)

    @staticmethod
    def live(enable: Iterable[str] = USUAL) -> Stack:
        """The causal preset for streams: every track stage is a filter, at most one frame of lag.

        Args:
            enable: Names of the stages to run, out of `STAGES`.

        Raises:
            InputError: If a stage is not known.
        """
        return _recommended(enable, live=True)

    def for_model(self, model: FlameModel, shape: Float[AnyArray, "S"] | None = None) -> Stack:
        """The stack for a known head: binds its geometry to the stages that use it (gaze: eye centres, eyelid closure).

        Args:
            model: The head that the track drives or was tracked on.
            shape: Its shape coefficients; None is the mean head.
        """
        bound = {
            name: stage.for_model(model, shape)
            for name in STAGES
            if isinstance(stage := getattr(self, name), BindsModel)
        }
        return dataclasses.replace(self, **bound)


def track_stages(stack: Stack, track: Track) -> list[Filter[Any] | TrackStage]:
    """The track stages of a stack, each bound to the track."""
    stages = [stage for stage in (stack.temporal, stack.expression, stack.gaze) if stage is not None]
    return [stage.for_track(track) if isinstance(stage, BindsTrack) else stage for stage in stages]


def at_frames(stack: Stack, places: Int[AnyArray, "N"], frames: int) -> Stack:
    """The stack for some frames of a track: stages that hold values for each frame keep those of these frames.

    Args:
        stack: The stages.
        places: Frame numbers, (N,).
        frames: Number of frames of the whole track.

    Raises:
        InputError: If a stage holds values for another number of frames.
    """
    stages = {name: getattr(stack, name) for name in ("temporal", "expression", "gaze")}
    cut = {name: stage.at_frames(places, frames) for name, stage in stages.items() if isinstance(stage, PerFrame)}
    return dataclasses.replace(stack, **cut)


def run_stages(
    stages: Sequence[Filter[Any] | TrackStage], channels: Channels, valid: AnyArray, real: AnyArray, dt: Scalar
) -> Channels:
    """Run the track stages in order on the channels of a clip.

    Args:
        stages: Filters, and stages that see the whole sequence.
        channels: Time first, (T, ...).
        valid: (T,) frames that were observed.
        real: (T,) True for the clip's own frames, False for padding to its bucket.
        dt: Seconds per frame.

    Returns:
        The channels of all T frames.
    """
    filters: list[Filter[Any]] = []
    for stage in [*stages, None]:
        if stage is not None and not isinstance(stage, TrackStage):
            filters.append(stage.with_dt(dt) if isinstance(stage, TimeStepped) else stage)
            continue
        if filters:
            channels, _ = scan(chain(*filters), channels, valid=valid)
            filters = []
            # Missing frames now hold predictions: the next stage may read them and sees no gap.
            valid = real
        if stage is not None:
            channels = stage.apply(channels, valid=valid, dt=dt)
            valid = real
    return channels


_compiled_stages = jax.jit(run_stages)


def traceable(stages: Sequence[Filter[Any] | TrackStage]) -> bool:
    """Whether the stages can be the arguments of one compiled program: all of gagjax can, and every filter."""
    own = all(
        not isinstance(stage, TrackStage) or type(stage).__module__.partition(".")[0] == "gagjax" for stage in stages
    )
    return own and all(
        isinstance(leaf, jax.Array | np.ndarray | np.generic | float | int) for leaf in jax.tree.leaves(stages)
    )


def run_compiled(
    stages: Sequence[Filter[Any] | TrackStage], channels: Channels, valid: AnyArray, real: AnyArray, dt: Scalar
) -> Channels:
    """`run_stages` as one compiled program; stage by stage where somebody else's stage sees whole clips.

    Args:
        stages: Filters, and stages that see the whole sequence.
        channels: Time first, (T, ...).
        valid: (T,) frames that were observed.
        real: (T,) True for the clip's own frames, False for padding to its bucket.
        dt: Seconds per frame.

    Returns:
        The channels of all T frames; the same numbers either way.
    """
    if not traceable(stages):
        channels, valid, real = jax.tree.map(jnp.asarray, (channels, valid, real))
        return run_stages(stages, channels, valid, real, dt)
    made: Channels = _compiled_stages(stages, channels, valid, real, dt)
    return made


class FramesState(NamedTuple):
    """The state of the frame stages: pass it to the next chunk of the same video."""

    detail: Any
    eyes: Any


def enhance_track(stack: Stack, track: Track, walk: Walk | None = None) -> Track:
    """Run the track stages over a track, each of its sequences independently.

    Clips of similar lengths share one compiled program (`gagjax.shape_bucketing`). Clips of more than `LONG` frames are
    gone through in parts, with what the filters know handed on: the same result up to rounding, NumPy arrays, the large
    ones in files without a name (`gagjax.long_clips.Walk`), so that a process needs memory for a part and not the clip.

    Args:
        stack: The stages.
        track: The sequence, or several (`Track.sequences`). Values of frames marked invalid are never read; they are
            replaced by the stages' predictions, and stay marked.
        walk: How to go through the clip in parts, whatever its length; None leaves it to the length.

    Returns:
        A track with the enhanced channels, everything else kept; the track itself if no track stage is enabled.

    Raises:
        InputError: If the stack is none, such as the name of a preset, or a stage in it is no pytree, no frame of a
            sequence is valid, a stage holds values for another number of frames, this process was forked from one in
            which JAX ran, or a stage cannot work on this track, such as eyes that are to meet a camera that is not known.

    Example:
        >>> track = Track(np.zeros((4, 100)), np.zeros((4, 3)), np.zeros((4, 6)), np.tile(np.eye(3, 4), (4, 1, 1)))
        >>> len(enhance_track(Stack(), track))
        4
    """
    return enhance_track_by(run_compiled, stack, track, walk)


def enhance_track_by(run: Callable[..., Channels], stack: Stack, track: Track, walk: Walk | None = None) -> Track:
    """`enhance_track` with another way to run the stages, such as a program kept from an earlier process.

    Args:
        run: Takes and returns what `run_compiled` does.
        stack: The stages.
        track: The sequence, or several.
        walk: See `enhance_track`; clips in parts do not use `run`.

    Returns:
        See `enhance_track`.

    Raises:
        InputError: See `enhance_track`.
    """
    forked.check()
    _check_stack(stack)
    sequences = track.sequences
    if len(sequences) > 1:
        parts = {
            name: enhance_track_by(run, at_frames(stack, places, len(track)), track.take(places), walk)
            for name, places in sequences.items()
        }
        return track.with_channels(interleaved([part.channels for part in parts.values()], list(sequences.values())))
    check_observed(track.valid)
    if not track.source:  # tracks from files were validated when read
        track_units.warn(track.channels, track.valid)
    stages = track_stages(stack, track)
    if not stages:
        return track
    frames = len(track)
    if walk is not None or frames > LONG:
        held = jax.tree.map(np.asarray, track.channels)
        channels = long_stages.run_stages(
            stages, held, np.asarray(track.valid), np.float32(1 / track.fps), Walk() if walk is None else walk
        )
        return track.with_channels(channels)
    whole = shape_bucketing.bucket(frames) if shape_bucketing.fits(stages, frames) else frames
    dt = np.float32(1 / track.fps)
    channels = shape_bucketing.lengthen(track.channels, whole)
    real = np.arange(whole) < frames
    valid = shape_bucketing.lengthen(track.valid, whole) & real
    return track.with_channels(shape_bucketing.shorten(run(stages, channels, valid, real, dt), frames))


def enhance_frames(
    stack: Stack,
    frames: Float[AnyArray, "T H W 3"] | UInt8[AnyArray, "T H W 3"],
    eye_centres: Float[AnyArray, "T 2 2"] | Float[AnyArray, "2 2"] | Sequence[Sequence[float]] | None = None,
    state: FramesState | None = None,
) -> tuple[Float[Array, "T H W 3"] | UInt8[Array, "T H W 3"], FramesState]:
    """Run the frame stages over frames of one video, or a chunk of it.

    Args:
        stack: The stages.
        frames: RGB, (T, H, W, 3): floats in [0, 1], or uint8 as read from a file. The result has the same type.
        eye_centres: (x, y) of both eyes as fractions of the image, (T, 2, 2) or (2, 2) for all frames; not finite where
            an eye is not visible. None: `default` and `live` leave the eyes alone, `reference` uses fixed positions.
        state: From the previous chunk; None at the start of a video and at a cut.

    Returns:
        The enhanced frames, and the state for the next chunk.

    Raises:
        InputError: If the stack is none, such as the name of a preset, shape or values are not those of frames, or this process was forked from one in which JAX ran.
    """
    forked.check()
    _check_stack(stack)
    frames = _checked(frames)
    count = frames.shape[0]
    if eye_centres is not None:
        eye_centres = jnp.asarray(eye_centres, jnp.float32)
        if eye_centres.shape not in ((2, 2), (count, 2, 2)):
            raise InputError(
                f"has shape {eye_centres.shape}", field="eye_centres", fix=f"Pass (2, 2) or ({count}, 2, 2)"
            )
        eye_centres = jnp.broadcast_to(eye_centres, (count, 2, 2))
    if state is None:
        state = init_frames(stack, frames)
    return _run_frames(stack, frames, eye_centres, state)


@jax.jit
def init_frames(stack: Stack, frames: AnyArray) -> FramesState:
    """The state before the first of `frames`, (T, H, W, 3): where `enhance_frames` starts by default."""
    first = as_float(frames[0])
    return FramesState(*(None if stage is None else stage.init(first) for stage in (stack.detail, stack.eyes)))


@jax.jit
def _run_frames(
    stack: Stack, frames: AnyArray, eye_centres: AnyArray | None, state: FramesState
) -> tuple[Any, FramesState]:
    kind = frames.dtype
    frames = as_float(frames)
    ends = []
    for stage, own in zip((stack.detail, stack.eyes), state, strict=True):
        if stage is not None:
            own, frames = stage.apply(own, frames, eye_centres)
        ends.append(own)
    if kind == jnp.uint8:
        frames = jnp.clip(jnp.round(frames * 255), 0, 255).astype(jnp.uint8)
    return frames, FramesState(*ends)


def as_float(frames: AnyArray) -> Any:
    """Frames as float32; uint8 is divided by 255."""
    if frames.dtype == jnp.uint8:
        return frames.astype(jnp.float32) * np.float32(1 / 255)
    return frames.astype(jnp.float32)


def _check_stack(stack: object) -> None:
    """Refuse what is no stack, and say how to make one."""
    if isinstance(stack, Stack):
        for name in STAGES:
            stage = getattr(stack, name)
            if not isinstance(stage, TrackStage):  # which sees the whole clip, and may compile what it likes by itself
                check_pytree(stage, name, inside=False)
        return
    known = ("default", "live", "reference")
    if isinstance(stack, str):
        fix = (
            f"Pass gagjax.Stack.{stack}()"
            if stack in known
            else f"Make one: {', '.join(f'Stack.{n}()' for n in known)}"
        )
        raise InputError(f"is the name {stack!r}, not a stack", field="stack", fix=fix)
    stack_name = getattr(stack, "__name__", "")
    if callable(stack) and stack_name in known:
        raise InputError("is a function", field="stack", fix=f"Call it: gagjax.Stack.{stack_name}()")
    raise InputError(
        f"is of type {type(stack).__name__}",
        field="stack",
        fix="Pass a gagjax.Stack, such as Stack.default() or Stack(temporal=...)",
    )


def _checked(frames: AnyArray) -> Any:
    if np.ndim(frames) != 4 or np.shape(frames)[-1] != 3 or 0 in np.shape(frames):
        raise InputError(
            f"has shape {np.shape(frames)}", field="frames", fix="Pass (T, H, W, 3) with at least one frame"
        )
    frames = frames if isinstance(frames, jax.Array) else np.asarray(frames)
    if frames.dtype != np.uint8:
        if not np.issubdtype(frames.dtype, np.floating):
            raise InputError(f"has type {frames.dtype}", field="frames", fix="Pass floats in [0, 1], or uint8")
        if is_concrete(frames):
            low, high = float(frames.min()), float(frames.max())
            # Resampling may overshoot a little; this catches floats in 0..255, the usual mistake, and NaN.
            if not (low >= -0.5 and high <= 1.5):
                raise InputError(
                    f"holds values from {low:.4g} to {high:.4g}", field="frames", fix="Scale float frames to [0, 1]"
                )
    return jnp.asarray(frames)


def _build(enable: Iterable[str], **makers: Callable[[], Any]) -> Stack:
    if isinstance(enable, str):
        enable = (enable,)
    names = tuple(enable)
    unknown = [name for name in names if name not in STAGES]
    if unknown:
        raise InputError(f"names no stage: {', '.join(map(repr, unknown))}", field="enable", fix=f"Use {STAGES}")
    return Stack(**{name: make() for name, make in makers.items() if name in names})


def _recommended(enable: Iterable[str], *, live: bool) -> Stack:
    from gagjax import detail, expression, gaze
    from gagjax.detail.eyes import EyeEnhancer
    from gagjax.track_smoother import TrackSmoother

    return _build(
        enable,
        temporal=TrackSmoother.live if live else TrackSmoother.default,
        expression=expression.live_stage if live else expression.default_stage,
        gaze=gaze.live_stage if live else gaze.default_stage,
        detail=detail.default_stage,
        # After the detail stage the eye network gains no more than plain sharpening, at ten times its cost.
        eyes=EyeEnhancer,
    )


def _warn_of_reference() -> None:
    global _warned
    if not _warned:
        _warned = True
        warnings.warn(
            "the reference preset reproduces the original enhancements, faults included: "
            + "; ".join(FAULTS)
            + ". Use Stack.default() unless you compare against it.",
            stacklevel=3,
        )
