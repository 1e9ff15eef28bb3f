"""Gaze estimation from tracks, pupils and landmarks."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from gagjax import so3
from gagjax.camera import FOCAL, Intrinsics
from gagjax.conventions.head_pose import rotation_of
from gagjax.errors import InputError
from gagjax.gaze.geometry import (
    camera_centre,
    direction_of,
    look_along,
    rotation_to_direction,
)
from gagjax.track import Channels, Track
from gagjax.typing import AnyArray

EYEBALL_RADIUS = 0.013  # metres, from the eye joint to the pupil in FLAME
# Eyeball radius over the distance between the eye corners, about 13 mm over 30 mm.
RADIUS_RATIO = 0.43
STILL = np.radians(0.05)  # eyes that rotate less than this over a whole clip were not estimated


def eyes_estimated(track: Track) -> bool:
    """Whether the tracker estimated the eyes: over the valid frames they rotate by more than .05 degrees.

    Example:
        >>> from gagjax.simulate import driver
        >>> eyes_estimated(driver(20))
        True
    """
    eyes = np.asarray(track.eyes)[np.asarray(track.valid)]
    return bool(len(eyes)) and bool(np.ptp(eyes, axis=0).max() > STILL)


def gaze_of(track: Track | Channels, frame: str = "world") -> Float[Array, "T 2 3"]:
    """Gaze of a track: unit directions of the left and right eye.

    Args:
        track: A track or its channels.
        frame: "head" (the eyes' own axes), "world" (neck and head rotations applied) or "camera" (x left, y up, z
            forward: a gaze into the lens has z near -1).

    Raises:
        InputError: If the frame is unknown.
    """
    eyes = jnp.asarray(track.eyes)
    direction = direction_of(eyes.reshape(*eyes.shape[:-1], 2, 3))
    if frame == "head":
        return direction
    if track.neck is not None:
        direction = jnp.einsum("...ab,...eb->...ea", so3.exp(jnp.asarray(track.neck)), direction, precision="highest")
    turn = rotation_of(track.extra)
    if turn is not None:
        direction = jnp.einsum("...ab,...eb->...ea", turn, direction, precision="highest")
    if frame == "world":
        return direction
    if frame == "camera":
        rotation = jnp.asarray(track.transform)[..., :3]
        return jnp.einsum("...ea,...ab->...eb", direction, rotation, precision="highest")
    raise InputError(f"{frame!r} is unknown", field="frame", fix="Use head, world or camera")


def rotations_from_pupils(
    pupils: Float[AnyArray, "*#batch 2 2"],
    centres: Float[AnyArray, "*#batch 2 3"],
    transform: Float[AnyArray, "*#batch 3 4"],
    parent: Float[AnyArray, "*#batch 3 3"] | None = None,
    radius: float = EYEBALL_RADIUS,
    intrinsics: Intrinsics | None = None,
) -> Float[Array, "*#batch 6"]:
    """Eye rotations from pupil positions in the image, for tracks without eye pose; exact for the track's camera.

    The ray through a pupil intersects the eyeball, and the gaze runs from the eye centre through the intersection. If
    the ray misses the eyeball, its nearest point is used.

    Args:
        pupils: (x, y) of the left and right pupil as fractions of the image, (..., 2, 2).
        centres: Eye centres in the head's world, (..., 2, 3), metres.
        transform: The track's `[R | t]`, (..., 3, 4).
        parent: Rotation of the head within its world (neck); None is the identity.
        radius: Distance from eye centre to pupil, metres.
        intrinsics: The lens; None is GAGAvatar's.

    Returns:
        Axis-angle of the left and the right eye, (..., 6), radians.
    """
    transform, centres = jnp.asarray(transform), jnp.asarray(centres)
    if intrinsics is None:
        slope = (0.5 - jnp.asarray(pupils)) * (2.0 / FOCAL)
    else:
        shares = intrinsics.fractions[..., None, :]
        slope = (shares[..., 2:] - jnp.asarray(pupils)) / shares[..., :2]
    ray = jnp.concatenate([slope, jnp.ones_like(slope[..., :1])], -1)
    ray = jnp.einsum("...ab,...eb->...ea", transform[..., :3], ray, precision="highest")
    ray = ray / jnp.sqrt((ray**2).sum(-1, keepdims=True))
    away = camera_centre(transform)[..., None, :] - centres
    # The point on the ray closest to the centre.
    along = -(ray * away).sum(-1, keepdims=True)
    nearest = away + along * ray
    depth = radius**2 - (nearest**2).sum(-1, keepdims=True)
    inside = depth > 0
    back = jnp.where(inside, jnp.sqrt(jnp.where(inside, depth, 1.0)), 0.0)
    return look_along(nearest - back * ray, parent)


def rotations_from_landmarks(
    landmarks: Float[AnyArray, "*#batch L 2"],
    *,
    ratio: float = RADIUS_RATIO,
    rest: Float[AnyArray, "2 2"] | None = None,
) -> Float[Array, "*#batch 6"]:
    """Eye rotations from 70 image landmarks alone: the pupil's position between the eye corners.

    No camera is needed. Head rotation is compensated only through the corners' foreshortening, so the result is a few
    degrees off on a turned head; with a camera use `rotations_from_pupils`.

    Args:
        landmarks: iBUG landmarks 0 to 67 and the two pupils (in either order), (..., 70, 2), y down, any unit.
        ratio: Eyeball radius over eye width.
        rest: Offsets of each pupil (left, right) when looking straight ahead, as fractions of the eye width along its
            axis and upwards: a clip's median removes the person's anatomy.

    Returns:
        Axis-angle of the left and the right eye, (..., 6), radians.

    Raises:
        InputError: If there are fewer than 70 landmarks.
    """
    points = jnp.asarray(landmarks)
    if points.shape[-2] < 70:
        raise InputError(f"has {points.shape[-2]} points, pupils are 68 and 69", field="landmarks")
    offset = pupil_offsets(points)
    if rest is not None:
        offset = offset - jnp.asarray(rest)
    share = offset / ratio
    # The pupil stays on the eyeball: beyond 0.95 of its radius (72 degrees) the offset is compressed.
    size = jnp.sqrt((share**2).sum(-1, keepdims=True) + 1e-12)
    share = share * jnp.where(size > 0.95, 0.95 / size, 1.0)
    ahead = jnp.sqrt(1.0 - (share**2).sum(-1, keepdims=True))
    turn = rotation_to_direction(jnp.concatenate([share, ahead], -1))
    return turn.reshape(*turn.shape[:-2], 6)


def pupil_offsets(landmarks: Float[AnyArray, "*#batch L 2"]) -> Float[Array, "*#batch 2 2"]:
    """Pupil offsets from the eye middle, (..., 2, 2): left and right eye, towards the subject's left and upwards, as
    fractions of the eye width."""
    points = jnp.asarray(landmarks)
    # Each eye's corners in the direction of the subject's left, which is the image's right.
    starts, ends = points[..., jnp.array([42, 36]), :], points[..., jnp.array([45, 39]), :]
    middle, axis = 0.5 * (starts + ends), ends - starts
    pupils = points[..., 68:70, :]
    apart = ((pupils - middle) ** 2).sum((-1, -2))
    crossed = ((pupils[..., ::-1, :] - middle) ** 2).sum((-1, -2))
    pupils = jnp.where((crossed < apart)[..., None, None], pupils[..., ::-1, :], pupils)
    square = (axis**2).sum(-1)
    width = jnp.where(square > 0, square, 1.0)
    up = jnp.stack([axis[..., 1], -axis[..., 0]], -1)
    off = pupils - middle
    return jnp.stack([(off * axis).sum(-1) / width, (off * up).sum(-1) / width], -1)
