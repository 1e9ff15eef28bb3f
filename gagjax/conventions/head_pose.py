"""The head's pose in the world: FLAME's global rotation and translation, and their composition with the camera.

In GAGAvatar's tracks the head is static and the camera moves. VHAP, LAM and FLAME itself rotate the head about its root
joint and translate it. A `Track` keeps both separate: `transform` is the camera in the world, and three reserved names
of `extra` hold the head's pose:

* `rotation`: rotation matrices, (T, 3, 3), columns convention, `x_world = R (x - root) + root + translation`;
* `global_rotation`: the same as axis-angle in radians, (T, 3): the first half of GAGAvatar's `posecode`;
* `translation`: metres, (T, 3).

Rendering needs only the composition: `folded` gives the equivalent track with a static head and a moving camera.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from gagjax.camera import UNITS_PER_METRE
from gagjax.conventions import rotations
from gagjax.process import deferred
from gagjax.track import Channels, Track
from gagjax.typing import AnyArray, Array

if TYPE_CHECKING:
    import jax.numpy as jnp

    from gagjax import so3
    from gagjax.flame.model import FlameModel
else:
    jnp, so3 = deferred.module("jax.numpy"), deferred.module("gagjax.so3")

ROTATION, GLOBAL_ROTATION, TRANSLATION = "rotation", "global_rotation", "translation"
NAMES = (ROTATION, GLOBAL_ROTATION, TRANSLATION)
_SHAPES = {ROTATION: (3, 3), GLOBAL_ROTATION: (3,), TRANSLATION: (3,)}
#: Root joint of the mean FLAME head, metres; `flame.joints` gives that of a given head.
ROOT = (0.0, -0.15, -0.03)


def has_pose(extra: Mapping[str, Any]) -> bool:
    """Whether a track's extra channels hold a head pose."""
    return any(_holds(extra, name) for name in NAMES)


def rotation_of(extra: Mapping[str, Any]) -> Float[Array, "*batch 3 3"] | None:
    """The head's rotation in the world, or None if there is none."""
    if _holds(extra, ROTATION):
        return jnp.asarray(extra[ROTATION])
    return so3.exp(jnp.asarray(extra[GLOBAL_ROTATION])) if _holds(extra, GLOBAL_ROTATION) else None


def host_rotation_of(extra: Mapping[str, Any]) -> Float[np.ndarray, "T 3 3"] | None:
    """`rotation_of` a clip in NumPy, for readers and writers of files, in which JAX does not run."""
    if _holds(extra, ROTATION):
        return np.asarray(extra[ROTATION])
    if not _holds(extra, GLOBAL_ROTATION):
        return None
    return rotations.matrices(np.asarray(extra[GLOBAL_ROTATION], np.float64)).astype(np.float32)


def host_transform_of(track: Track) -> Float[np.ndarray, "T 3 4"]:
    """`transform_of` a track about the mean head's root in NumPy, rounded once from float64, for writers of files."""
    camera = np.asarray(track.transform)
    if not has_pose(track.extra):
        return camera
    wide, root = camera.astype(np.float64), np.asarray(ROOT)
    turn = host_rotation_of(track.extra)
    moved = np.asarray(track.extra[TRANSLATION], np.float64) if _holds(track.extra, TRANSLATION) else np.zeros(3)
    rotation = wide[:, :, :3]
    if turn is not None:
        turn = turn.astype(np.float64)
        moved = moved + root - turn @ root
        rotation = turn.transpose(0, 2, 1) @ rotation
    place = UNITS_PER_METRE * np.einsum("...a,tab->tb" if moved.ndim == 1 else "ta,tab->tb", moved, wide[:, :, :3])
    return np.concatenate([rotation, (place + wide[:, :, 3])[:, :, None]], -1).astype(camera.dtype)


def translation_of(extra: Mapping[str, Any]) -> Float[Array, "*batch 3"] | None:
    """The head's translation in the world in metres, or None if there is none."""
    return jnp.asarray(extra[TRANSLATION]) if _holds(extra, TRANSLATION) else None


def transform_of(channels: Channels, root: AnyArray | tuple[float, ...] = ROOT) -> Float[AnyArray, "*batch 3 4"]:
    """The camera relative to the head at rest: `channels.transform` composed with the head's pose.

    Args:
        channels: One frame or a clip.
        root: The head's centre of rotation, (3,) or (..., 3), metres.

    Returns:
        `[R | t]` for row vectors in GAGAvatar units; `channels.transform` itself if there is no pose.
    """
    if not has_pose(channels.extra):
        return channels.transform
    camera = jnp.asarray(channels.transform)
    root = jnp.asarray(root, camera.dtype)
    turn, shift = rotation_of(channels.extra), translation_of(channels.extra)
    moved = jnp.zeros(3, camera.dtype) if shift is None else shift
    if turn is not None:
        moved = moved + root - jnp.einsum("...ab,...b->...a", turn, root, precision="highest")
        rotation = jnp.einsum("...ba,...bc->...ac", turn, camera[..., :3], precision="highest")
    else:
        rotation = camera[..., :3]
    place = UNITS_PER_METRE * jnp.einsum("...a,...ab->...b", moved, camera[..., :3], precision="highest")
    return jnp.concatenate([rotation, (place + camera[..., 3])[..., None]], -1)


def to_head(
    point: AnyArray, extra: Mapping[str, Any], root: AnyArray | tuple[float, ...] = ROOT, *, direction: bool = False
) -> Any:
    """Transform a world point (or direction) to the frame of the head at rest, metres; (..., 3)."""
    if not has_pose(extra):
        return point
    turn, shift = rotation_of(extra), translation_of(extra)
    point, root = jnp.asarray(point), jnp.asarray(root)
    if not direction:
        point = point - (0.0 if shift is None else shift) - root
    if turn is not None:
        point = jnp.einsum("...ba,...b->...a", turn, point, precision="highest")
    return point if direction else point + root


def root_of(model: FlameModel, shape: Float[AnyArray, "..."] | None = None) -> Float[Array, "3"]:
    """The root joint of a head at rest, metres."""
    from gagjax.flame.model import joints

    own = jnp.zeros(0) if shape is None else jnp.asarray(shape, jnp.float32)[..., : model.shapes]
    zero = jnp.zeros(6)
    return joints(model, own, jnp.zeros(0), zero, zero)[..., 0, :]


def folded(track: Track, model: FlameModel | None = None, shape: Float[AnyArray, "..."] | None = None) -> Track:
    """The equivalent track in GAGAvatar's convention: the head at rest, its pose folded into the camera.

    Args:
        track: The track.
        model: The head whose root joint is the centre of rotation; None means the mean FLAME head.
        shape: The head's shape coefficients.

    Returns:
        A track without the reserved channels; the track itself if it has none.

    Example:
        >>> still = np.tile(np.eye(3, 4), (2, 1, 1))
        >>> nearer = {"translation": np.array([[0, 0, 0], [0.05, 0, 0]])}
        >>> track = Track(np.zeros((2, 100)), np.zeros((2, 3)), np.zeros((2, 6)), still, extra=nearer)
        >>> np.round(folded(track).transform[1, 0, 3], 3).item()
        0.25
    """
    if not has_pose(track.extra):
        return track
    root = ROOT if model is None else root_of(model, shape)
    return _at_rest(track, transform_of(track.channels, root))


def host_folded(track: Track) -> Track:
    """`folded` about the mean head's root in NumPy, for writers of files."""
    return _at_rest(track, host_transform_of(track)) if has_pose(track.extra) else track


def _at_rest(track: Track, transform: AnyArray) -> Track:
    return dataclasses.replace(
        track,
        transform=transform,
        extra={name: value for name, value in track.extra.items() if name not in NAMES},
        rotations=tuple(name for name in track.rotations if name not in NAMES),
    )


def with_neck(track: Track, model: FlameModel, shape: Float[AnyArray, "..."] | None = None) -> Track:
    """`folded`, with the neck rotation folded into the camera as well: for heads whose neck cannot bend.

    The bust below the neck joint rotates too, which skinning would have kept static.
    """
    if track.neck is None or not np.any(np.asarray(track.neck)):
        return dataclasses.replace(folded(track, model, shape), neck=None)
    from gagjax.flame.model import joints

    own = jnp.zeros(0) if shape is None else jnp.asarray(shape, jnp.float32)[..., : model.shapes]
    zero = jnp.zeros(6)
    joint = joints(model, own, jnp.zeros(0), zero, zero)[..., 1, :]
    outer = folded(track, model, shape)
    inner = outer.channels._replace(neck=None, extra={ROTATION: so3.exp(jnp.asarray(track.neck))})
    return dataclasses.replace(outer, transform=transform_of(inner, joint), neck=None)


def _holds(extra: Mapping[str, Any], name: str) -> bool:
    return name in extra and tuple(np.shape(extra[name])[-len(_SHAPES[name]) :]) == _SHAPES[name]
