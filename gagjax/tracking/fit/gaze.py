"""Gaze from the irises: each relative to the place of its eyeball in the fitted head, on an eyeball of known size.

The fitted head averages hundreds of landmarks, so it says where an eyeball is better than the eye's two corners do: the
network draws the corners after the iris, and a gaze measured from them comes out a third too small. Both eyes turn
together but for their vergence, so that half of each one's noise goes; while the lids are closed there is nothing to
see. The vertical offset of a clip is taken out; a sideways one only as far as nobody holds it for a whole clip.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from gagjax.tracking import points as numbering
from gagjax.tracking.fit.head import UNITS

MOST = np.deg2rad(38.0)  # an eye turns hardly further
DEPTH = 0.885  # of the eyeball's radius: how far from its centre the iris seems to turn
STANDING = np.deg2rad([0.0, 8.0])  # a clip's median gaze (down, to a side) may be so far off straight ahead
CLOSED = 0.45  # of a clip's usual lid opening: below it the pupil is not seen
VERGENCE = (np.deg2rad(0.0), np.deg2rad(4.0))
USUAL_VERGENCE = np.deg2rad(1.0)  # of each eye, for something two metres away
CORNERS = 0.1  # how much of the corners' own displacement counts: the network draws them after the iris
#: Pitch from what moves with it: the iris's own pitch, and how far the upper lid, the lower lid and the marked corners
#: lie below the fitted corners, radians a distance between the eyes. Least squares on the films of known truth that
#: are not held out. The network draws an iris it hardly sees at the middle of the opening; lids follow the gaze.
PITCH = np.array([0.66, 2.35, 5.64, 15.4])
_IRISES = np.array([[468, 469, 470, 471, 472], [473, 474, 475, 476, 477]])


class EyeModel(NamedTuple):
    """The eyes of a person, subject's right then left.

    Attributes:
        centres: Where they turn, head frame, metres, (2, 3).
        radius: From there to the iris, metres.
    """

    centres: Float[np.ndarray, "2 3"]
    radius: float


def gaze(
    eyes: EyeModel,
    rotation: Float[np.ndarray, "T 3 3"],
    shift: Float[np.ndarray, "T 3"],
    focal: float,
    landmarks: Float[np.ndarray, "T 478 3"],
    corners: Float[np.ndarray, "T 2 2"],
    middle: tuple[float, float],
) -> tuple[Float[np.ndarray, "T 6"], Bool[np.ndarray, "T"]]:
    """Eye rotations of a shot, its constant offset taken out.

    Args:
        eyes: The person's eyes.
        rotation: Head to camera for row vectors.
        shift: GAGAvatar's units.
        focal: Pixels.
        landmarks: Pixels.
        corners: The middle of each eye's two corners as the fit has it, pixels, right eye then left.
        middle: The principal point, pixels.

    Returns:
        Axis-angle of left and right eye as in a Track, and whether the eyes were open enough to see.
    """
    angles, weights = eye_angles(eyes, rotation, shift, focal, landmarks, corners, middle)
    opening = numbering.lid_opening(landmarks)
    usual = np.maximum(np.median(opening, 0), 0.12)
    open_enough = opening > CLOSED * usual
    weights = weights * np.clip(opening / usual, 0.1, 1) * open_enough
    total = weights.sum(1)
    seen = total > 0.15
    both_eyes = (weights[..., None] * angles).sum(1) / np.maximum(total, 1e-6)[:, None]
    if not seen.any():
        return np.zeros((len(angles), 6)), seen
    both = seen & open_enough.all(1)
    apart = np.median((angles[both, 0, 1] - angles[both, 1, 1]) / 2) if both.sum() > 10 else USUAL_VERGENCE
    # Where one eye counts for more, its own share of the vergence comes out again.
    lean = (weights[:, 0] - weights[:, 1]) / np.maximum(total, 1e-6)
    both_eyes[:, 1] -= lean * apart
    both_eyes[:, 0] = _pitch(both_eyes[:, 0], landmarks, corners, seen)
    usual_gaze = np.median(both_eyes[seen], 0)
    both_eyes -= usual_gaze - np.clip(usual_gaze, -STANDING, STANDING)
    half = float(np.clip(apart, *VERGENCE))
    return _as_track(np.clip(_held(both_eyes, seen), -MOST, MOST), half), seen


def _pitch(
    iris: Float[np.ndarray, "T"],
    landmarks: Float[np.ndarray, "T 478 3"],
    corners: Float[np.ndarray, "T 2 2"],
    seen: Bool[np.ndarray, "T"],
) -> Float[np.ndarray, "T"]:
    """The eyes' common pitch from iris, lids and corners, about the clip's usual pitch."""
    plane = np.asarray(landmarks, float)[..., :2]
    across = corners[:, 1] - corners[:, 0]
    size = np.maximum(np.linalg.norm(across, axis=1, keepdims=True), 1e-6)
    down = np.stack([-across[:, 1], across[:, 0]], 1) / size**2
    lids = plane[:, numbering.LID_PAIRS].mean(2)  # (T, eye, upper or lower, 2)
    marked = plane[:, numbering.LIDS[:, :2]].mean(2)
    places = np.stack([lids[:, :, 0], lids[:, :, 1], marked], 1) - corners[:, None]
    below = np.einsum("tkec,tc->tk", places, down) / 2
    told = np.concatenate([iris[:, None], below], 1)
    usual = np.median(told[seen], 0)
    return usual[0] + (told - usual) @ PITCH


def together(
    angles: Float[np.ndarray, "2 2"], weights: Float[np.ndarray, "2"], before: Float[np.ndarray, "6"] | None
) -> Float[np.ndarray, "6"]:
    """One frame's eye rotations, as a stream has them: no clip to take an offset from.

    Args:
        angles: Pitch and yaw of the subject's right and left eye, radians.
        weights: How well each is seen.
        before: What the frame before had; kept while neither eye is seen.
    """
    total = float(weights.sum())
    if total < 0.15 and before is not None:
        return before
    both_eyes = (weights[:, None] * angles).sum(0) / max(total, 1e-6)
    return _as_track(np.clip(both_eyes, -MOST, MOST)[None], USUAL_VERGENCE)[0]


def _as_track(both_eyes: Float[np.ndarray, "T 2"], half: float) -> Float[np.ndarray, "T 6"]:
    zero = np.zeros(len(both_eyes))
    left = np.stack([both_eyes[:, 0], both_eyes[:, 1] - half, zero], 1)
    right = np.stack([both_eyes[:, 0], both_eyes[:, 1] + half, zero], 1)
    return np.concatenate([left, right], 1).astype(np.float32)


def eye_angles(
    eyes: EyeModel,
    rotation: Float[np.ndarray, "T 3 3"],
    shift: Float[np.ndarray, "T 3"],
    focal: float,
    landmarks: Float[np.ndarray, "T 478 3"],
    corners: Float[np.ndarray, "T 2 2"],
    middle: tuple[float, float],
) -> tuple[Float[np.ndarray, "T 2 2"], Float[np.ndarray, "T 2"]]:
    """Where each eye looks in the head: pitch (down) and yaw (to the subject's left), and how well it is seen.

    Arguments are as in `gaze`; the subject's right eye comes first. A closed eye is not well seen.
    """
    plane = np.asarray(landmarks, float)[..., :2]
    directions, share = _directions(eyes, rotation, shift, focal, plane, corners, middle)
    return _angles(directions), share * np.clip((numbering.lid_opening(landmarks) - 0.08) / 0.1, 0.01, 1)


def _directions(
    eyes: EyeModel,
    rotation: np.ndarray,
    shift: np.ndarray,
    focal: float,
    plane: np.ndarray,
    corners: np.ndarray,
    middle: tuple[float, float],
) -> tuple[np.ndarray, np.ndarray]:
    """Where each eye looks, unit vectors in the head's frame, (T, 2, 3), and how well it is seen, (T, 2)."""
    centres = UNITS * eyes.centres @ np.asarray(rotation, float) + np.asarray(shift, float)[:, None]  # (T, 2, 3)
    seen_corners = plane[:, numbering.LIDS[:, :2]].mean(2)
    at = plane[:, _IRISES].mean(2) - CORNERS * (seen_corners - corners)
    # The ray through the iris, and where it enters the eyeball; one that misses it touches its edge.
    ray = np.concatenate([np.array(middle) - at, np.full((*at.shape[:2], 1), float(focal))], -1)
    ray /= np.linalg.norm(ray, axis=-1, keepdims=True)
    along = (ray * centres).sum(-1)
    missed = (centres**2).sum(-1) - along**2
    radius = UNITS * DEPTH * eyes.radius
    entry = along - np.sqrt(np.maximum(radius**2 - missed, (0.3 * radius) ** 2))
    camera = ray * entry[..., None] - centres
    camera /= np.linalg.norm(camera, axis=-1, keepdims=True)
    head = np.einsum("tea,tba->teb", camera, np.asarray(rotation, float))
    # A turned head hides the far eye's corner: its share falls with the angle.
    side = np.asarray(rotation, float)[:, 0, 2]  # how much the subject's left points away from the camera
    share = np.clip(1 + np.stack([side, -side], 1) * 1.5, 0.05, 1)
    return head, share


def _angles(directions: np.ndarray) -> np.ndarray:
    """Axis-angle about x and y that turn +z to a direction."""
    flat = np.hypot(directions[..., 0], directions[..., 1])
    scale = np.arctan2(flat, directions[..., 2]) / np.maximum(flat, 1e-9)
    return np.stack([-directions[..., 1] * scale, directions[..., 0] * scale], -1)


def _held(values: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Values where they were seen, in between on straight lines, at the ends held."""
    at = np.flatnonzero(seen)
    frames = np.arange(len(values))
    return np.stack([np.interp(frames, at, values[at, k]) for k in range(values.shape[1])], 1)
