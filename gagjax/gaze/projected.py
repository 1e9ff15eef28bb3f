"""Per-frame eye masks from projected eyeballs and lids instead of fixed positions."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from gagjax import so3
from gagjax.camera import FOCAL, UNITS_PER_METRE, Intrinsics
from gagjax.conventions.head_pose import folded
from gagjax.flame.eye_aspect_ratio import lid_aperture
from gagjax.flame.model import FlameModel, joints, landmarks, vertices
from gagjax.flame.subset import at_landmarks
from gagjax.gaze.estimate import EYEBALL_RADIUS
from gagjax.gaze.geometry import camera_centre, project
from gagjax.track import Track
from gagjax.typing import AnyArray

_LIDS = jnp.arange(42, 48), jnp.arange(36, 42)  # left and right eye, clockwise in the image
_SHUT = 0.1  # lid aperture below which the eye is not visible


def projected_eye_masks(
    landmarks: Float[AnyArray, "*#batch L 3"],
    centres: Float[AnyArray, "*#batch 2 3"],
    transform: Float[AnyArray, "*#batch 3 4"],
    height: int,
    width: int,
    *,
    forward: Float[AnyArray, "*#batch 3"] | None = None,
    softness: float = 0.06,
    intrinsics: Intrinsics | None = None,
) -> Float[Array, "*#batch 2 H W"]:
    """Soft masks of the visible part of each eye: inside its lids and its eyeball, facing the camera, open.

    Args:
        landmarks: Posed iBUG landmarks, (..., L, 3), metres in the head's world.
        centres: Posed eye joints, (..., 2, 3), metres.
        transform: The track's `[R | t]`, (..., 3, 4).
        height: Rows of the image.
        width: Columns of the image.
        forward: Facing direction, (..., 3); None is +z, i.e. no neck rotation.
        softness: Border width as a fraction of the eye width.
        intrinsics: The lens; None is GAGAvatar's.

    Returns:
        Weights in [0, 1], left and right eye, (..., 2, H, W).
    """
    points, _ = project(jnp.asarray(landmarks), transform, intrinsics)
    middle, depth = project(jnp.asarray(centres), transform, intrinsics)
    size = jnp.array([width, height], jnp.float32)
    corners = jnp.stack([points[..., numbers, :] for numbers in _LIDS], -3) * size
    columns, rows = jnp.meshgrid(jnp.arange(width) + 0.5, jnp.arange(height) + 0.5)
    pixels = jnp.stack([columns, rows], -1)

    along = jnp.roll(corners, -1, -2) - corners
    length = jnp.sqrt((along**2).sum(-1, keepdims=True) + 1e-9)
    inwards = jnp.stack([-along[..., 1], along[..., 0]], -1) / length
    offset = (inwards * corners).sum(-1)
    # Inside distance to the nearest polygon edge, one edge at a time: six images at once would not fit a long clip.
    inside = jnp.full((*corners.shape[:-2], height, width), jnp.inf)
    for edge in range(corners.shape[-2]):
        normal = inwards[..., edge, :]
        reach = jnp.einsum("...c,hwc->...hw", normal, pixels) - offset[..., edge, None, None]
        inside = jnp.minimum(inside, reach)
    span = jnp.sqrt(((corners[..., 0, :] - corners[..., 3, :]) ** 2).sum(-1) + 1e-9)
    border = jnp.maximum(softness * span, 0.5)[..., None, None]

    focal = 0.5 * FOCAL if intrinsics is None else intrinsics.fractions[..., 0, None]
    radius = EYEBALL_RADIUS * UNITS_PER_METRE * focal * width / jnp.maximum(depth, 1e-3)
    away = pixels - (middle * size)[..., None, None, :]
    in_ball = radius[..., None, None] - jnp.sqrt((away**2).sum(-1) + 1e-9)
    mask = jax.nn.sigmoid(inside / border) * jax.nn.sigmoid(in_ball / border)
    seen = visibility(centres, transform, forward) * _ramp(lid_aperture(landmarks) / _SHUT - 0.5)
    return mask * seen[..., None, None]


def visibility(
    centres: Float[AnyArray, "*#batch 2 3"],
    transform: Float[AnyArray, "*#batch 3 4"],
    forward: Float[AnyArray, "*#batch 3"] | None = None,
) -> Float[Array, "*#batch 2"]:
    """Visibility of each eye by facing angle: 1 up to about 65 degrees off, 0 from 85 degrees; the far eye disappears
    earlier, behind the nose.

    Args:
        centres: Left and right eye centre in head axes, (..., 2, 3), metres.
        transform: Camera `[R | t]` of a track, (..., 3, 4).
        forward: Facing direction, (..., 3); None is +z.

    Returns:
        Visibility of each eye in [0, 1], (..., 2).
    """
    ahead = jnp.array([0.0, 0.0, 1.0]) if forward is None else jnp.asarray(forward)
    # Each eye faces slightly outwards, so the one turned away disappears first.
    side = jnp.array([[0.35, 0.0, 0.0], [-0.35, 0.0, 0.0]])
    side = side if forward is None else jnp.cross(jnp.array([0.0, 1.0, 0.0]), ahead)[..., None, :] * side[:, :1]
    out = ahead[..., None, :] + side
    view = camera_centre(transform)[..., None, :] - jnp.asarray(centres)
    cosine = (out * view).sum(-1) / jnp.sqrt((out**2).sum(-1) * (view**2).sum(-1) + 1e-12)
    return _ramp((cosine - 0.09) / 0.33)


def eye_centres_in_image(model: FlameModel, track: Track) -> Float[Array, "T 2 2"]:
    """Image positions of a track's eyes, as `enhance_frames` takes for `eye_centres`.

    Args:
        model: The head.
        track: The track; uses its own shape if set, else the mean head.

    Returns:
        (x, y) of the left and right eye as fractions of the image, NaN where an eye faces away or is closed.
    """
    track = folded(track, model, track.shape)
    points, centres, forward = _posed(model, track)
    places, _ = project(centres, jnp.asarray(track.transform), track.intrinsics)
    seen = visibility(centres, track.transform, forward) * _ramp(lid_aperture(points) / _SHUT - 0.5)
    return jnp.where((seen > 0.05)[..., None], places, jnp.nan)


def track_eye_masks(model: FlameModel, track: Track, height: int, width: int) -> Float[Array, "T 2 H W"]:
    """`projected_eye_masks` for every frame of a track.

    Args:
        model: The head.
        track: T frames.
        height: Image height, pixels.
        width: Image width, pixels.

    Returns:
        Soft masks of left and right eye, (T, 2, H, W).
    """
    track = folded(track, model, track.shape)
    points, centres, forward = _posed(model, track)
    return projected_eye_masks(
        points, centres, track.transform, height, width, forward=forward, intrinsics=track.intrinsics
    )


def _posed(model: FlameModel, track: Track) -> tuple[Array, Array, Array]:
    """Landmarks, eye centres and facing direction of every frame."""
    small = at_landmarks(model)
    shape = jnp.zeros(model.shapes) if track.shape is None else jnp.asarray(track.shape)[..., : model.shapes]
    pose = jnp.concatenate([jnp.zeros_like(jnp.asarray(track.jaw)), jnp.asarray(track.jaw)], -1)
    args = (small, shape, track.expression, pose, track.eyes, track.neck)
    neck = jnp.zeros_like(pose[:, :3]) if track.neck is None else jnp.asarray(track.neck)
    return landmarks(small, vertices(*args)), joints(*args)[..., 3:5, :], so3.exp(neck)[..., :, 2]


def _ramp(x: AnyArray) -> Array:
    x = jnp.clip(x, 0.0, 1.0)
    return x * x * (3.0 - 2.0 * x)
