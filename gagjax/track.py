"""Track: one tracked head sequence, time first.

A track holds, per frame, what a head tracker estimates: FLAME expression, jaw and eye rotations and the camera. The
conventions are those of GAGAvatar and FLAME:

* angles are axis-angle vectors in radians; `eyes` is left eye then right eye;
* `transform` is `[R | t]` for row vectors, `X_camera = X_world @ R + t`, camera axes x left, y up, z forward, lengths
  in GAGAvatar units (FLAME metres times 5). In GAGAvatar's own tracks the head stays at the origin: head motion is
  camera motion. Trackers that move the head itself store its pose in `extra`, see `gagjax.conventions.head_pose`;
* frames named `<video>_<number>` may be of several videos: each is a separate sequence, see `Track.sequences`.
"""

from __future__ import annotations

import dataclasses
import os
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from gagjax.camera import Camera, Intrinsics, from_track
from gagjax.conventions.rates import as_rate
from gagjax.errors import InputError
from gagjax.process import deferred
from gagjax.pytree import host, is_concrete, pytree, static
from gagjax.typing import AnyArray, Array, HeldMask, HeldNames, HeldRate

if TYPE_CHECKING:
    import jax.numpy as jnp
else:
    jnp = deferred.module("jax.numpy")

__all__ = ["EXPRESSIONS", "SHAPES", "Channels", "Track", "as_rate", "concat", "interleaved"]

EXPRESSIONS = 100
SHAPES = 300
#: A frame name: its video and its number in it.
FRAME_NAME = re.compile(r"(?P<video>.*)_(?P<number>\d{1,12})", re.DOTALL)
#: Files of these trackers do not hold the camera that filmed; what `transform` says then is made up.
WITHOUT_CAMERA = (
    "vhap",
    "lam",
    "liveportrait",
    "artalk",
    "livelink",
    "arkit",
    "audio2face",
    "mediapipe",
    "deca-without-camera",
    "smirk-without-camera",
    "head-tracker-old",
    "smplx",
    "dejavu",
)


class Channels(NamedTuple):
    """The per-frame arrays of a track, which filters and stages process. Every leaf is time first.

    Attributes:
        expression: FLAME expression coefficients, (T, 100).
        jaw: Jaw rotation, axis-angle, (T, 3), radians.
        eyes: Left and right eye rotation, axis-angle, (T, 6), radians.
        transform: Camera `[R | t]`, (T, 3, 4).
        neck: Neck rotation, axis-angle, (T, 3), or None if the tracker has none.
        extra: Further tracker channels by name, each (T, ...).
    """

    expression: Float[AnyArray, "T 100"]
    jaw: Float[AnyArray, "T 3"]
    eyes: Float[AnyArray, "T 6"]
    transform: Float[AnyArray, "T 3 4"]
    neck: Float[AnyArray, "T 3"] | None = None
    extra: Mapping[str, Float[AnyArray, "T ..."]] = {}

    def map(self, function: Callable[..., Any], *others: Channels) -> Channels:
        """The channels with a function applied to each array and to the same array of others.

        Args:
            function: From arrays to an array.
            others: Channels of the same fields and names.

        Returns:
            The results, in the same places; a neck that is None stays None.
        """
        rows = [each._asdict() for each in (self, *others)]
        made: dict[str, Any] = {
            name: None if value is None else function(*(row[name] for row in rows))
            for name, value in rows[0].items()
            if name != "extra"
        }
        extra = {name: function(*(row["extra"][name] for row in rows)) for name in self.extra}
        return Channels(**made, extra=extra)

    @property
    def present(self) -> tuple[bool, tuple[str, ...]]:
        """What two tracks must share to be joined: whether there is a neck, and the names of the extra channels."""
        return self.neck is not None, tuple(sorted(self.extra))


@pytree
class Track:
    """One tracked sequence of T frames.

    Args:
        expression: FLAME expression coefficients, (T, 100).
        jaw: Jaw rotation, axis-angle, (T, 3), radians.
        eyes: Left and right eye rotation, axis-angle, (T, 6), radians.
        transform: Camera `[R | t]` in the module's convention, (T, 3, 4).
        shape: FLAME shape, (300,) for the clip or (T, 300), or None.
        neck: Neck rotation, axis-angle, (T, 3), radians, or None.
        extra: Further tracker channels, `{name: (T, ...)}`; smoothed like the rest.
        valid: (T,) bool, False where the tracker lost the frame; None means all valid.
        fps: Frames per second: an int, a float, a "30000/1001" string or a Fraction.
        names: One name per frame (the tracker's frame keys), or None.
        rotations: The names in `extra` that hold rotation matrices, (T, 3, 3), and are filtered on SO(3).
        source: The program that wrote the track, e.g. "gagavatar-smoothed"; some filters depend on it.
        intrinsics: Intrinsics of the camera; None means GAGAvatar's, a focal length of 12 half-widths.
        origin: The source file, from which writers of its format copy the fields that a track does not hold
            (`gagjax.io.formats.origin`). Neither data nor structure: JAX drops it, slices keep their part.

    Raises:
        InputError: If a shape does not fit or there is no frame. Values are not checked: see `validate`.

    Example:
        >>> import numpy as np
        >>> track = Track(np.zeros((4, 100)), np.zeros((4, 3)), np.zeros((4, 6)), np.tile(np.eye(3, 4), (4, 1, 1)))
        >>> len(track), track[1:3].seconds
        (4, 0.08)
    """

    expression: Float[AnyArray, "T 100"]
    jaw: Float[AnyArray, "T 3"]
    eyes: Float[AnyArray, "T 6"]
    transform: Float[AnyArray, "T 3 4"]
    shape: Float[AnyArray, "300"] | Float[AnyArray, "T 300"] | None = None
    neck: Float[AnyArray, "T 3"] | None = None
    extra: Mapping[str, Float[AnyArray, "T ..."]] = dataclasses.field(default_factory=dict)
    valid: HeldMask | None = None
    fps: HeldRate = static(default=Fraction(25))
    names: HeldNames | None = static(default=None)
    rotations: HeldNames = static(default=())
    source: str = static(default="")
    intrinsics: Intrinsics | None = None
    origin: Any = host(default=None, repr=False)

    def __post_init__(self) -> None:
        def put(name: str, value: object) -> None:
            object.__setattr__(self, name, value)

        for name, columns in (("expression", (EXPRESSIONS,)), ("jaw", (3,)), ("eyes", (6,)), ("transform", (3, 4))):
            put(name, _floats(getattr(self, name), name, (None, *columns)))
        frames = self.expression.shape[0]
        if frames == 0:
            raise InputError("has no frames", field="track", fix="A track needs at least one frame")
        for name in ("jaw", "eyes", "transform"):
            _same_length(getattr(self, name), name, frames)
        if self.neck is not None:
            put("neck", _same_length(_floats(self.neck, "neck", (None, 3)), "neck", frames))
        if self.shape is not None:
            shape = _floats(self.shape, "shape", None)
            if shape.shape not in ((SHAPES,), (frames, SHAPES)):
                raise InputError(
                    f"has shape {tuple(shape.shape)}", field="shape", fix=f"Pass ({SHAPES},) or ({frames}, {SHAPES})"
                )
            put("shape", shape)
        put(
            "extra",
            {k: _same_length(_floats(v, k, None), k, frames) for k, v in sorted(dict(self.extra or {}).items())},
        )
        put("rotations", tuple(sorted(self.rotations)))
        for name in self.rotations:
            if name not in self.extra or self.extra[name].shape[1:] != (3, 3):
                raise InputError("is named as a rotation but is not a (T, 3, 3) extra channel", field=name)
        valid = np.ones(frames, bool) if self.valid is None else self.valid
        valid = valid if isinstance(valid, Array) else np.asarray(valid, bool)
        if valid.ndim != 1:
            raise InputError(f"has shape {tuple(valid.shape)}, expected ({frames},)", field="valid")
        put("valid", _same_length(valid, "valid", frames))
        put("fps", as_rate(self.fps))
        if self.names is not None:
            names = tuple(str(name) for name in self.names)
            if len(names) != frames:
                raise InputError(f"has {len(names)} entries for {frames} frames", field="names")
            put("names", names)
        if self.origin is not None and len(self.origin.frames) != frames:
            put("origin", None)  # no longer the frames of the file
        lens = self.intrinsics
        if isinstance(lens, Intrinsics) and lens.K.ndim == 3 and lens.K.shape[0] != frames:
            raise InputError(f"has {lens.K.shape[0]} frames, expression has {frames}", field="intrinsics")

    def __len__(self) -> int:
        return self.expression.shape[0]

    def __repr__(self) -> str:
        """Shapes and metadata only, short enough for one screen."""
        lost = f", {int((~np.asarray(self.valid)).sum())} lost" if is_concrete(self.valid) else ""
        arrays = {
            name: value for name, value in self.channels._asdict().items() if name != "extra" and value is not None
        }
        arrays |= {} if self.shape is None else {"shape": self.shape}
        parts = [f"{name}={tuple(np.shape(value))}" for name, value in arrays.items()]
        parts += [f"extra.{name}={tuple(np.shape(value))}" for name, value in self.extra.items()]
        if self.names is not None:
            parts.append(f"names={self.names[0]!r}..{self.names[-1]!r}")
        lens = "" if self.intrinsics is None else f", filmed at {self.intrinsics.width} x {self.intrinsics.height}"
        return (
            f"Track({len(self)} frames at {self.fps} fps{lost}, {self.source or 'no source'}: {', '.join(parts)}{lens})"
        )

    def __getitem__(self, frames: slice) -> Track:
        """The frames of a slice, as a track; with a step, fps is divided by it."""
        if not isinstance(frames, slice):
            raise TypeError("index a Track with a slice: track[i : i + 1] is one frame")
        step = frames.step or 1
        if step < 1:
            raise ValueError(f"a Track runs forward in time, got step {step}")
        return self._map(
            lambda x: x[frames],
            fps=self.fps / step,
            names=self.names[frames] if self.names is not None else None,
            origin=None if self.origin is None else self.origin.at(np.arange(len(self))[frames]),
        )

    @property
    def camera(self) -> Camera:
        """The camera of every frame: intrinsics in pixels, image size, and world-to-camera transforms.

        The world is the track's, in GAGAvatar units; where the head itself moves, apply
        `gagjax.conventions.head_pose.folded` first.
        """
        return from_track(self.transform, intrinsics=self.intrinsics)

    @property
    def camera_known(self) -> bool:
        """Whether `camera` is the real camera, not a placeholder that shows the head from the front."""
        return self.intrinsics is not None or not self.source.startswith(WITHOUT_CAMERA)

    @property
    def sequences(self) -> dict[str, np.ndarray]:
        """Frame indices of each video by its name, in track order; one unnamed sequence if frames name no video.

        Example:
            >>> still = np.zeros((4, 100)), np.zeros((4, 3)), np.zeros((4, 6)), np.tile(np.eye(3, 4), (4, 1, 1))
            >>> {k: v.tolist() for k, v in Track(*still, names=("a_0", "b_0", "a_1", "b_1")).sequences.items()}
            {'a': [0, 2], 'b': [1, 3]}
        """
        everything = {"": np.arange(len(self))}
        if self.names is None:
            return everything
        found = [FRAME_NAME.fullmatch(name) for name in self.names]
        videos: dict[str, list[int]] = {}
        for place, match in enumerate(found):
            if match is None:
                return everything
            videos.setdefault(match["video"], []).append(place)
        return {video: np.asarray(places) for video, places in videos.items()}

    def take(self, places: Int[AnyArray, "N"] | Sequence[int], *, names: Iterable[str] | None = None) -> Track:
        """The track with the frames at the given indices, in that order; frames may repeat.

        Args:
            places: (N,) frame indices.
            names: Their new names; None keeps the old ones.
        """
        places = np.asarray(places)
        if names is None and self.names is not None:
            names = (self.names[i] for i in places)
        return self._map(
            lambda x: x[places],
            names=None if names is None else tuple(names),
            origin=None if self.origin is None else self.origin.at(np.arange(len(self))[places]),
        )

    def split(self) -> dict[str, Track]:
        """Each sequence as a separate track, by name; the track itself if there is only one."""
        found = self.sequences
        return {name: self if len(found) == 1 else self.take(places) for name, places in found.items()}

    def one_after_another(self) -> Track:
        """The track with its sequences concatenated; the track itself if there is only one."""
        found = self.sequences
        return self if len(found) == 1 else self.take(np.concatenate(list(found.values())))

    @property
    def seconds(self) -> float:
        """Duration in seconds."""
        return float(len(self) / self.fps)

    @property
    def channels(self) -> Channels:
        """The per-frame arrays, as the pytree that filters and stages process."""
        return Channels(self.expression, self.jaw, self.eyes, self.transform, self.neck, self.extra)

    def with_channels(self, channels: Channels) -> Track:
        """This track with its per-frame arrays replaced, everything else kept."""
        return dataclasses.replace(self, **channels._asdict())

    def pad(self, frames: int) -> Track:
        """The track padded to `frames` by repeating the last frame, marked invalid; for batches of equal length.

        Raises:
            ValueError: If the track is longer than that.
        """
        missing = frames - len(self)
        if missing < 0:
            raise ValueError(f"cannot pad {len(self)} frames to {frames}")
        names = None if self.names is None else self.names + _names_after(self.names[-1], missing)
        longer = self._map(lambda x: np.concatenate([x, np.repeat(x[-1:], missing, 0)]), names=names, origin=None)
        return dataclasses.replace(longer, valid=np.concatenate([self.valid, np.zeros(missing, bool)]))

    def validate(self, file: str | None = None) -> Track:
        """The track itself, after its values have been validated.

        Args:
            file: The source file, for the message.

        Raises:
            InputError: If a frame marked valid holds a value that is not finite, no frame is valid, or the camera's
                rotation part is not a rotation.
        """
        valid = np.asarray(self.valid)
        if not valid.any():
            raise InputError("has no valid frame", file=file, field="valid")
        for name, value in _named_arrays(self):
            bad = ~np.isfinite(np.asarray(value)).reshape(len(self), -1).all(1) & valid
            if bad.any():
                first = int(np.argmax(bad))
                frame = f"{first} ({self.names[first]})" if self.names is not None else str(first)
                raise InputError(
                    f"is not finite in {int(bad.sum())} of {len(self)} frames, first in frame {frame}",
                    file=file,
                    field=name,
                    fix="Mark such frames as missing (valid=False, or --drop-nonfinite on the command line)",
                )
        rotation = np.asarray(self.transform, np.float64)[valid][:, :, :3]
        off = np.abs(rotation @ rotation.transpose(0, 2, 1) - np.eye(3)).max(initial=0.0)
        if off > 1e-2 or (np.linalg.det(rotation) < 0).any():
            raise InputError(
                f"its first three columns are no rotation (R R^T is off the identity by up to {off:.3g})",
                file=file,
                field="transform",
                fix="Pass world-to-camera matrices [R | t] for row vectors, with det R = +1",
            )
        return self

    def _map(self, function: Callable[[Any], Any], **changes: Any) -> Track:
        per_frame_shape = self.shape is not None and self.shape.ndim == 2
        return dataclasses.replace(
            self,
            **self.channels.map(function)._asdict(),
            shape=function(self.shape) if per_frame_shape else self.shape,
            valid=function(self.valid),
            intrinsics=per_frame_lens(self.intrinsics, function),
            **changes,
        )


def per_frame_lens(lens: Intrinsics | None, function: Callable[[Any], Any]) -> Intrinsics | None:
    """Apply a function to per-frame intrinsics; constant intrinsics and None are returned unchanged."""
    return lens if lens is None or np.ndim(lens.K) == 2 else dataclasses.replace(lens, K=function(lens.K))


def concat(tracks: Iterable[Track]) -> Track:
    """Concatenate tracks in order; fps, rotations and source are taken from the first.

    Raises:
        InputError: If frame rates or channels differ.
    """
    parts = list(tracks)
    first = parts[0]
    for other in parts[1:]:
        if other.fps != first.fps:
            raise InputError(
                f"differs: {first.fps} and {other.fps}", field="fps", fix="Resample to one frame rate first"
            )
        if first.channels.present != other.channels.present:
            raise InputError("the tracks do not hold the same channels", field="extra")
    channels = first.channels.map(lambda *xs: np.concatenate(xs), *(t.channels for t in parts[1:]))
    named = all(t.names is not None for t in parts)
    return dataclasses.replace(
        first,
        **channels._asdict(),
        shape=_joined_shape(parts),
        valid=np.concatenate([t.valid for t in parts]),
        names=tuple(n for t in parts for n in t.names or ()) if named else None,
        intrinsics=_joined_lens(parts),
    )


def interleaved(parts: Sequence[Channels], places: Sequence[Any]) -> Channels:
    """Put the channels of sequences back at their frames' original positions.

    Args:
        parts: Channels of each sequence.
        places: Frame indices of each sequence in the whole.

    Returns:
        Channels of the whole track.
    """
    order = np.argsort(np.concatenate([np.asarray(each) for each in places]), kind="stable")
    return parts[0].map(lambda *xs: _joined(xs)[order], *parts[1:])


def _joined(arrays: Iterable[Any]) -> Any:
    parts = list(arrays)
    return (np if all(isinstance(x, np.ndarray) for x in parts) else jnp).concatenate(parts)


def _floats(value: object, name: str, shape: tuple[int | None, ...] | None) -> Any:
    """The value as a float array (float64 kept under x64), checked against `shape` if given."""
    if not isinstance(value, Array):
        value = np.asarray(value)
        if value.dtype.kind not in "fiub":
            raise InputError(f"holds {value.dtype}, not numbers", field=name)
        if value.dtype != np.float64 or not _doubles():
            value = value.astype(np.float32, copy=False)
    if value.ndim == 0:
        raise InputError("is a single number; arrays are time first, (T, ...)", field=name)
    if shape is not None and (
        value.ndim != len(shape) or any(n not in (None, m) for n, m in zip(shape, value.shape, strict=True))
    ):
        expected = ", ".join("T" if n is None else str(n) for n in shape)
        raise InputError(f"has shape {tuple(value.shape)}, expected ({expected})", field=name)
    return value


def _doubles() -> bool:
    """Whether JAX computes, or would compute, in float64."""
    jax = sys.modules.get("jax")
    if jax is not None:
        return bool(jax.config.read("jax_enable_x64"))
    return os.environ.get("JAX_ENABLE_X64", "").lower() in ("y", "yes", "t", "true", "on", "1")


def _same_length(value: AnyArray, name: str, frames: int) -> Any:
    if value.ndim == 0 or value.shape[0] != frames:
        raise InputError(f"has {value.shape[0] if value.ndim else 'no'} frames, expression has {frames}", field=name)
    return value


def _named_arrays(track: Track) -> Iterable[tuple[str, Any]]:
    for name, value in track.channels._asdict().items():
        if name == "extra":
            yield from value.items()
        elif value is not None and is_concrete(value):
            yield name, value


def _names_after(last: str, count: int) -> tuple[str, ...]:
    """Names for padding frames, continuing the last frame's video."""
    match = FRAME_NAME.fullmatch(last)
    video, number = ("pad", -1) if match is None else (match["video"], int(match["number"]))
    return tuple(f"{video}_{number + 1 + i}" for i in range(count))


def _joined_lens(parts: list[Track]) -> Intrinsics | None:
    lenses = [t.intrinsics for t in parts]
    first = lenses[0]
    if first is None or any(lens is None for lens in lenses):
        if any(lens is not None for lens in lenses):
            raise InputError("is known for some of the tracks alone", field="intrinsics")
        return None
    if any(lens is None or (lens.width, lens.height) != (first.width, first.height) for lens in lenses):
        raise InputError("are of pictures of different sizes", field="intrinsics")
    each = [lens.K for lens in lenses if lens is not None]
    if all(np.ndim(k) == 2 and np.array_equal(k, each[0]) for k in each):
        return first
    frames = [np.broadcast_to(k, (len(t), 3, 3)) for k, t in zip(each, parts, strict=True)]
    return dataclasses.replace(first, K=np.concatenate(frames))


def _joined_shape(parts: list[Track]) -> Any:
    shapes = [t.shape for t in parts if t.shape is not None]
    if len(shapes) < len(parts):
        return None
    if all(s.ndim == 1 for s in shapes) and all(np.array_equal(s, shapes[0]) for s in shapes):
        return shapes[0]
    return np.concatenate([np.broadcast_to(s, (len(t), SHAPES)) for s, t in zip(shapes, parts, strict=True)])
