"""Protocols between the parts: filters, stages, avatars, and their optional capabilities.

Conformance is structural; nothing is inherited. `isinstance` checks for methods by name, a type checker checks their
signatures, and `tests/contracts/test_protocols.py` checks their behaviour.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, TypeVar, runtime_checkable

import numpy as np
from jaxtyping import Array, Bool, Float, Int

from gagjax.typing import AnyArray, Condition, Scalar, Tree

if TYPE_CHECKING:
    from gagjax.avatars.parameters import Parameters
    from gagjax.flame.model import FlameModel
    from gagjax.long_clips.walk import Walk
    from gagjax.splatting.gaussians import Gaussians
    from gagjax.track import Channels, Track
    from gagjax.tuning.batching import Clip

__all__ = [
    "Avatar",
    "BindsModel",
    "BindsTrack",
    "Bridges",
    "ByParts",
    "DrawsSmaller",
    "Filter",
    "FinishesPictures",
    "FrameStage",
    "HasAdjoint",
    "HasLikelihood",
    "HasStrength",
    "LeanInfo",
    "TimeStepped",
    "TrackStage",
]

State = TypeVar("State")


@runtime_checkable
class Filter(Protocol[State]):
    """A filter for `scan`, `stream` and `chain`: a pytree whose leaves are hyperparameters, with an explicit state.

    Frames are pytrees of one structure, without the time axis.

    Example:
        >>> from gagjax.filters import Ema
        >>> isinstance(Ema(alpha=0.5), Filter)
        True
    """

    def init(self, first: Tree) -> State:
        """The state before the first frame, such that stepping over `first` returns `first`."""
        ...

    def step(self, state: State, x: Tree) -> tuple[State, Tree]:
        """One observed frame: the next state, and the filtered frame."""
        ...

    def predict(self, state: State) -> tuple[State, Tree]:
        """One frame without an observation: the next state, and the predicted frame."""
        ...


@runtime_checkable
class TrackStage(Protocol):
    """A stage that processes a whole clip at once. A stage that works frame by frame is a `Filter`."""

    def apply(self, channels: Channels, *, valid: AnyArray | None, dt: Scalar) -> Channels:
        """Enhance a clip.

        Args:
            channels: Time first, (T, ...).
            valid: (T,) bool; values of frames marked False are never read. None trusts all.
            dt: Duration of a frame, seconds.

        Returns:
            The channels of all T frames.
        """
        ...


@runtime_checkable
class ByParts(Protocol):
    """A track stage that can also go through a clip too long for memory in parts."""

    def by_parts(self, channels: Channels, *, valid: Bool[np.ndarray, "T"], dt: Scalar, walk: Walk) -> Channels:
        """As `TrackStage.apply`, up to rounding.

        Args:
            channels: NumPy arrays, time first, (T, ...); those that are the walk's own may be written over.
            valid: (T,) frames to trust.
            dt: Duration of a frame, seconds.
            walk: The length of a part, and where results are kept.

        Returns:
            The channels of all T frames, NumPy arrays.
        """
        ...


@runtime_checkable
class FrameStage(Protocol[State]):
    """A stage that works on images, with a state carried between the chunks of a video."""

    def init(self, first: Float[AnyArray, "H W 3"]) -> State:
        """The state before the first frame, (H, W, 3) in [0, 1]."""
        ...

    def apply(
        self, state: State, frames: Float[AnyArray, "T H W 3"], eye_centres: Float[AnyArray, "T 2 2"] | None = None
    ) -> tuple[State, Float[Array, "T H W 3"]]:
        """Enhance a chunk of frames.

        Args:
            state: From `init` or from the previous chunk.
            frames: (T, H, W, 3) in [0, 1].
            eye_centres: (x, y) of left and right eye as fractions of the image, (T, 2, 2); not finite where an eye is
                not visible.

        Returns:
            The state after the chunk, and the frames.
        """
        ...


@runtime_checkable
class Avatar(Protocol):
    """An avatar for `avatars.render` and `gagjax reenact`."""

    @property
    def model(self) -> FlameModel:
        """The FLAME model whose vertices drive it."""
        ...

    def gaussians(self, parameters: Parameters) -> Gaussians:
        """Gaussians in world units (5 to a metre) for one frame."""
        ...


@runtime_checkable
class BindsTrack(Protocol):
    """A stage configured from the track before it runs, for example with the names of its rotation channels."""

    def for_track(self, track: Track) -> Any:
        """The stage for that track."""
        ...


@runtime_checkable
class PerFrame(Protocol):
    """A stage that may hold values for each frame of a track, such as a target that moves."""

    def at_frames(self, places: Int[AnyArray, "N"], frames: int) -> Any:
        """The stage for the frames `places` of a track of `frames` frames."""
        ...


@runtime_checkable
class BindsModel(Protocol):
    """A stage that uses the geometry of the target head."""

    def for_model(self, model: FlameModel, shape: Float[AnyArray, "S"] | None = None) -> Any:
        """The stage for that head; without a shape, for the mean head."""
        ...


@runtime_checkable
class TimeStepped(Protocol):
    """A filter whose hyperparameters are in seconds, so that frame durations may vary."""

    def with_dt(self, dt: Scalar) -> Any:
        """The filter for frames that last `dt` seconds."""
        ...


@runtime_checkable
class HasLikelihood(Protocol):
    """A model that defines its own likelihood of a clip's observations."""

    def likelihood(self, clip: Clip) -> Float[Array, ""]:
        """Negative log-likelihood per frame and channel."""
        ...


@runtime_checkable
class HasAdjoint(Protocol):
    """A Kalman-type filter: one with a backward pass, for smoothing."""

    def init(self, first: Tree) -> Any:
        """See `Filter`."""
        ...

    def step(self, state: Tree, x: Tree) -> tuple[Any, Tree]:
        """See `Filter`."""
        ...

    def predict(self, state: Tree) -> tuple[Any, Tree]:
        """See `Filter`."""
        ...

    def observe(self, state: Tree, x: Tree, seen: Condition | None = None) -> tuple[Any, Any]:
        """One frame, observed or not.

        Args:
            state: The state after the previous frame.
            x: The frame.
            seen: Whether it was observed; None means yes.

        Returns:
            The next state, and the info for the backward pass.
        """
        ...

    def adjoint(self, later: Tree, info: Tree) -> tuple[Tree, Any]:
        """One step of the backward pass: the smoothed frame, and the adjoint for the previous frame."""
        ...

    def last(self, frame: Tree) -> Any:
        """The adjoint after the last frame."""
        ...


@runtime_checkable
class Bridges(Protocol):
    """A Kalman-type filter that fills a gap before its motion is known from the frames behind the gap.

    The adjoint form of a smoother multiplies the covariance by the adjoint. Where a derivative is still unknown both
    are large and cancel; there the smoothed state is carried back instead, by the model.
    """

    def factors(self, frame: Tree) -> Any:
        """The factors L D L' of the covariance before a first frame."""
        ...

    def advanced(self, factors: Tree, state: Tree, info: Tree) -> tuple[Any, Any]:
        """The factors after a frame, and the state with the covariance that they make.

        Args:
            factors: The factors before the frame.
            state: The state after the frame, from `observe`.
            info: The info of the frame, from `observe`.
        """
        ...

    def bridge(self, y: Tree, later: Tree, info: Tree, state: Tree, factors: Tree, ahead: Tree) -> tuple[Tree, Any]:
        """One step of the backward pass, after `HasAdjoint.adjoint`.

        Args:
            y: The smoothed frame from `adjoint`.
            later: What `adjoint` was given.
            info: The info of the frame, from `observe`.
            state: The state after the frame, from `observe`.
            factors: The factors of its covariance, from `advanced`.
            ahead: What the later frames imply for this one.

        Returns:
            The smoothed frame, and what this one and the later ones imply for the previous frame.
        """
        ...

    def unbridged(self, frame: Tree) -> Any:
        """What a frame without later ones is given as `ahead`."""
        ...


@runtime_checkable
class LeanInfo(Protocol):
    """A Kalman-type filter whose backward pass recomputes part of `observe`'s info, to store less."""

    @property
    def adaptive(self) -> bool:
        """Whether the gain depends on the data; the full info must then be stored."""
        ...

    def lean(self, info: Tree) -> Any:
        """The info without what `restored` can recompute."""
        ...

    def restored(self, info: Tree, x: Tree) -> Any:
        """The full info of an observed frame."""
        ...


@runtime_checkable
class FinishesPictures(Protocol):
    """An avatar that turns rasterized features into the final image."""

    def finish(self, features: Float[AnyArray, "h w C"]) -> Float[Array, "H W 3"]:
        """The image from rasterized features."""
        ...


@runtime_checkable
class DrawsSmaller(Protocol):
    """An avatar that is rasterized at a fraction of the image size."""

    @property
    def factor(self) -> int:
        """Image size over rasterized size, an integer."""
        ...


@runtime_checkable
class HasStrength(Protocol):
    """A stage with one overall strength."""

    @property
    def strength(self) -> Scalar:
        """1 is the tuned strength, 0 leaves the input unchanged."""
        ...
