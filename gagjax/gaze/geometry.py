"""Closed-form gaze geometry: eye rotations from targets, and gaze directions from eye rotations.

Frames and signs are FLAME's: metres, y up, the face towards +z, the subject's left eye at +x. At rest both eyes look
along +z and share the head's axes, so in both eyes a positive rotation about x looks down and a positive one about y to
the subject's left. Rotations are axis-angle in radians. Rotations from rest to a target have their axis in the x-y
plane, so the eye never rolls (Listing's law).
"""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float

from gagjax import so3
from gagjax.camera import FOCAL, UNITS_PER_METRE, Intrinsics
from gagjax.numerics import safe_sqrt
from gagjax.typing import AnyArray

# Eye centres of an average FLAME head, left then right, in metres. A centimetre matters little: from a camera 1.7 m away
# it is a third of a degree. `eye_centres(model, shape)` gives those of a given head.
NOMINAL_EYE_CENTRES = ((0.0315, 0.03, 0.02), (-0.0315, 0.03, 0.02))


def rotation_towards(
    target: Float[AnyArray, "*#batch 3"], eye_centre: Float[AnyArray, "*#batch 3"]
) -> Float[Array, "*#batch 3"]:
    """The rotation from rest (+z) that makes an eye look at a point.

    Args:
        target: The point, in the head's frame, (..., 3), any unit.
        eye_centre: The eye's centre of rotation, in the same frame and unit, (..., 3).

    Returns:
        Axis-angle in radians, (..., 3), without roll; zero for a target at the eye's centre. Straight behind the eye,
        where the axis is ambiguous, it is a half turn about y.

    Example:
        >>> import numpy as np
        >>> np.degrees(rotation_towards(np.array([0.0, -1.0, 1.0]), np.zeros(3))).round(3).tolist()
        [45.0, 0.0, 0.0]
    """
    # Halved, so that the difference of two values near the float limits does not overflow.
    return rotation_to_direction(jnp.asarray(target) / 2 - jnp.asarray(eye_centre) / 2)


def rotation_to_direction(direction: Float[AnyArray, "*#batch 3"]) -> Float[Array, "*#batch 3"]:
    """The rotation from rest (+z) that makes an eye look along a direction of any length; see `rotation_towards`."""
    d = jnp.asarray(direction)
    d = d.astype(jnp.promote_types(d.dtype, jnp.float32))
    # Scaled first, so that the thresholds do not depend on the target's unit or distance.
    d = so3.scaled(d)
    x, y, z = d[..., 0], d[..., 1], d[..., 2]
    square = x * x + y * y
    ahead = (square < 1e-6) & (z > 0)
    undefined = (square < 1e-20) & ~ahead
    safe_z = jnp.where(ahead, z, 1.0)
    sine = jnp.sqrt(jnp.where(ahead | undefined, 1.0, square))
    tangent = square / safe_z**2
    factor = jnp.where(ahead, (1.0 - tangent / 3.0) / safe_z, jnp.arctan2(sine, z) / sine)
    turn = jnp.stack([-y * factor, x * factor, jnp.zeros_like(x)], -1)
    behind = jnp.where((z < 0)[..., None], jnp.array([0.0, jnp.pi, 0.0]), jnp.zeros(3))
    return jnp.where(undefined[..., None], behind, turn)


def direction_of(rotation: Float[AnyArray, "*#batch 3"]) -> Float[Array, "*#batch 3"]:
    """The unit gaze direction of an eye rotation: the image of +z."""
    return so3.exp(jnp.asarray(rotation, jnp.float32))[..., :, 2]


def look_at(
    target: Float[AnyArray, "*#batch 3"],
    centres: Float[AnyArray, "*#batch 2 3"],
    parent: Float[AnyArray, "*#batch 3 3"] | None = None,
) -> Float[Array, "*#batch 6"]:
    """The rotations that make both eyes look at one point; they converge on near points.

    Args:
        target: The point, (..., 3), in the frame of `centres`.
        centres: Left and right eye centre after head pose, (..., 2, 3).
        parent: Rotation from the eyes' parent frame (FLAME: global times neck) to the target's; None is the identity.

    Returns:
        Axis-angle of the left and right eye, (..., 6), radians.
    """
    direction = jnp.asarray(target)[..., None, :] - jnp.asarray(centres)
    return look_along(direction, parent)


def look_along(
    direction: Float[AnyArray, "*#batch 2 3"], parent: Float[AnyArray, "*#batch 3 3"] | None = None
) -> Float[Array, "*#batch 6"]:
    """As `look_at`, for one direction per eye, (..., 2, 3); equal directions keep the eyes parallel."""
    if parent is not None:
        direction = jnp.einsum("...ab,...ea->...eb", parent, direction, precision="highest")
    turn = rotation_to_direction(direction)
    return turn.reshape(*turn.shape[:-2], 6)


def angle_between(a: Float[AnyArray, "*#batch 3"], b: Float[AnyArray, "*#batch 3"]) -> Float[Array, "*#batch"]:
    """The angle between two vectors of any length, radians; accurate for tiny angles and safe at 0 and pi.

    In float32 the arccosine of the normalised dot product loses everything below 0.02 degrees and is NaN when rounding
    takes the product above 1; this form avoids both, and its gradient is finite everywhere.
    """
    a, b = so3.scaled(jnp.asarray(a)), so3.scaled(jnp.asarray(b))
    across, along = jnp.cross(a, b), (a * b).sum(-1)
    square = (across**2).sum(-1)
    length = safe_sqrt(square)
    # If both arguments are zero (a zero vector), the derivative would be 0/0.
    empty = (square == 0) & (along == 0)
    return jnp.where(empty, 0.0, jnp.arctan2(length, jnp.where(empty, 1.0, along)))


def angular_error(a: Float[AnyArray, "*#batch 3"], b: Float[AnyArray, "*#batch 3"]) -> Float[Array, "*#batch"]:
    """The gaze error in degrees between two directions, as gaze papers report it."""
    return jnp.rad2deg(angle_between(a, b))


def vergence(eyes: Float[AnyArray, "*#batch 6"]) -> Float[Array, "*#batch"]:
    """The signed angle between the two lines of sight in the horizontal plane, radians: positive converges.

    Eyes on a target at 0.6 m straight ahead converge by about 6 degrees, 3 in each eye.
    """
    left, right = direction_of(eyes[..., :3]), direction_of(eyes[..., 3:])
    return jnp.arctan2(right[..., 0], right[..., 2]) - jnp.arctan2(left[..., 0], left[..., 2])


def camera_centre(transform: Float[AnyArray, "*#batch 3 4"]) -> Float[Array, "*#batch 3"]:
    """Camera position in the head's world, in metres, from a track's `[R | t]` (GAGAvatar units)."""
    return camera_to_world(jnp.zeros(3), transform)


def camera_to_world(
    point: Float[AnyArray, "*#batch 3"], transform: Float[AnyArray, "*#batch 3 4"]
) -> Float[Array, "*#batch 3"]:
    """Transform a point from camera coordinates (x left, y up, z forward) to the head's world, both in metres.

    Args:
        point: (..., 3), metres from the camera.
        transform: The track's `[R | t]`, `X_camera = X_world @ R + t` in GAGAvatar units, (..., 3, 4).
    """
    transform = jnp.asarray(transform)
    from_camera = jnp.asarray(point) - transform[..., 3] / UNITS_PER_METRE
    return jnp.einsum("...ab,...b->...a", transform[..., :3], from_camera, precision="highest")


def project(
    points: Float[AnyArray, "*#batch N 3"],
    transform: Float[AnyArray, "*#batch 3 4"],
    intrinsics: Intrinsics | None = None,
) -> tuple[Float[Array, "*#batch N 2"], Float[Array, "*#batch N"]]:
    """Project points of the head's world into a track's image.

    Args:
        points: (..., N, 3), metres.
        transform: The track's `[R | t]`, (..., 3, 4).
        intrinsics: The lens; None is GAGAvatar's.

    Returns:
        (x, y) as fractions of the image from its top left corner, and the depth in GAGAvatar units.
    """
    transform = jnp.asarray(transform)
    seen = UNITS_PER_METRE * jnp.einsum("...na,...ab->...nb", points, transform[..., :3], precision="highest")
    seen = seen + transform[..., None, :, 3]
    depth = seen[..., 2]
    safe = jnp.where(jnp.abs(depth) > 1e-3, depth, 1e-3)
    if intrinsics is None:
        return 0.5 - 0.5 * FOCAL * seen[..., :2] / safe[..., None], depth
    shares = intrinsics.fractions[..., None, :]
    return shares[..., 2:] - shares[..., :2] * seen[..., :2] / safe[..., None], depth


def pitch_yaw(direction: Float[AnyArray, "*#batch 3"]) -> Float[Array, "*#batch 2"]:
    """Pitch and yaw of a direction in the ETH-XGaze convention: `arcsin(y)` and `arctan2(x, z)`, radians.

    ETH-XGaze uses image axes (x right, y down, z away from the camera) and labels the *negated* gaze direction, so
    positive pitch looks up and positive yaw to the image's left: see `eth_xgaze_label`.

    Args:
        direction: (..., 3), any nonzero length; zero gives zeros.

    Source: Zhang et al., ETH-XGaze, ECCV 2020 (convention only).
    """
    d = so3.scaled(jnp.asarray(direction, jnp.float32))
    x, y, z = d[..., 0], d[..., 1], d[..., 2]
    flat = x * x + z * z
    level = safe_sqrt(flat)
    vertical = flat == 0
    nothing = vertical & (y == 0)
    # arctan2 over the horizontal length equals the arcsine of the normalised y, without its infinite slope at the poles.
    pitch = jnp.where(nothing, 0.0, jnp.arctan2(y, jnp.where(nothing, 1.0, level)))
    yaw = jnp.where(vertical, 0.0, jnp.arctan2(x, jnp.where(vertical, 1.0, z)))
    return jnp.stack([pitch, yaw], -1)


def direction_from_pitch_yaw(angles: Float[AnyArray, "*#batch 2"]) -> Float[Array, "*#batch 3"]:
    """The unit direction from pitch and yaw: the inverse of `pitch_yaw`."""
    pitch, yaw = angles[..., 0], angles[..., 1]
    return jnp.stack([jnp.cos(pitch) * jnp.sin(yaw), jnp.sin(pitch), jnp.cos(pitch) * jnp.cos(yaw)], -1)


# Track cameras have x left and y up; ETH-XGaze cameras x right and y down.
_TRACK_TO_IMAGE = (-1.0, -1.0, 1.0)


def eth_xgaze_label(
    gaze: Float[AnyArray, "*#batch 3"], transform: Float[AnyArray, "*#batch 3 4"]
) -> Float[Array, "*#batch 2"]:
    """The ETH-XGaze label (pitch, yaw) of a gaze direction in the head's world, for a track's camera.

    Args:
        gaze: Gaze direction in the head's world, (..., 3).
        transform: The track's `[R | t]`, (..., 3, 4).

    Returns:
        Pitch and yaw in radians, (..., 2): both zero for a gaze straight into the lens direction.
    """
    camera = jnp.einsum("...a,...ab->...b", jnp.asarray(gaze), jnp.asarray(transform)[..., :3], precision="highest")
    return pitch_yaw(-camera * jnp.array(_TRACK_TO_IMAGE))


def gaze_from_eth_xgaze(
    label: Float[AnyArray, "*#batch 2"], transform: Float[AnyArray, "*#batch 3 4"]
) -> Float[Array, "*#batch 3"]:
    """The gaze direction in the head's world of an ETH-XGaze label: the inverse of `eth_xgaze_label`."""
    camera = -direction_from_pitch_yaw(label) * jnp.array(_TRACK_TO_IMAGE)
    return jnp.einsum("...ab,...b->...a", jnp.asarray(transform)[..., :3], camera, precision="highest")
