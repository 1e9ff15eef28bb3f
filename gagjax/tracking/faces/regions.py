"""Square, rotated image regions and their pixels."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from gagjax.tracking import points as numbering

ROOM = 1.5  # side of a region over the longer side of the face's box, as MediaPipe's networks were trained


class Region(NamedTuple):
    """A square image region, which may be rotated and may extend beyond the image.

    Attributes:
        x, y: Its centre in pixels.
        side: Its side in pixels.
        angle: Rotation of its x axis against the image's, radians, clockwise in the image.
    """

    x: float
    y: float
    side: float
    angle: float


def of_landmarks(points: Float[np.ndarray, "478 3"]) -> Region:
    """The upright region around a face's landmarks, used to crop the next frame."""
    left, right = points[263, :2], points[33, :2]
    angle = float(np.arctan2(left[1] - right[1], left[0] - right[0]))
    return _around(points[: numbering.MESH, :2], angle)


def of_box(low: np.ndarray, high: np.ndarray, right_eye: np.ndarray, left_eye: np.ndarray) -> Region:
    """The upright region of a detection, from its box and eyes in pixels."""
    angle = float(np.arctan2(left_eye[1] - right_eye[1], left_eye[0] - right_eye[0]))
    centre = (low + high) / 2
    return Region(float(centre[0]), float(centre[1]), ROOM * float(max(high - low)), angle)


def _around(plane: np.ndarray, angle: float) -> Region:
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    upright = plane @ turn.T
    low, high = upright.min(0), upright.max(0)
    x, y = (low + high) / 2 @ turn
    return Region(float(x), float(y), ROOM * float(max(high - low)), angle)


def differ(a: Region, b: Region) -> float:
    """Difference of two regions in position, size and angle, relative to their side."""
    side = max(a.side, b.side, 1e-6)
    turn = abs((a.angle - b.angle + np.pi) % (2 * np.pi) - np.pi)
    return float(np.hypot(a.x - b.x, a.y - b.y) / side + abs(a.side - b.side) / side + turn)


def matrix(region: Region, size: int) -> tuple[Float[np.ndarray, "2 2"], Float[np.ndarray, "2"]]:
    """The affine map from the region's pixels (size x size) to the image's: `p @ linear.T + shift`."""
    step = region.side / size
    cos, sin = np.cos(region.angle) * step, np.sin(region.angle) * step
    linear = np.array([[cos, -sin], [sin, cos]])
    return linear, np.array([region.x, region.y]) - linear @ np.array([size / 2, size / 2])


def cut(picture: UInt8[np.ndarray, "H W 3"], region: Region, size: int) -> UInt8[np.ndarray, "size size 3"]:
    """The pixels of a region, bilinear; large regions are area-averaged first, black outside the image."""
    linear, shift = matrix(region, size)
    factor = max(1, int(region.side / size / 1.5))
    image, origin = Image.fromarray(picture), np.zeros(2)
    if factor > 1:
        reach = region.side * 0.75
        box = [int(region.x - reach), int(region.y - reach), int(region.x + reach) + 1, int(region.y + reach) + 1]
        box = [max(box[0], 0), max(box[1], 0), min(box[2], image.width), min(box[3], image.height)]
        if box[2] - box[0] > factor and box[3] - box[1] > factor:
            image, origin = image.crop((box[0], box[1], box[2], box[3])).reduce(factor), np.array(box[:2], float)
        else:
            factor = 1
    linear, shift = linear / factor, (shift - origin) / factor
    coefficients = (linear[0, 0], linear[0, 1], shift[0], linear[1, 0], linear[1, 1], shift[1])
    turned = image.transform((size, size), Image.Transform.AFFINE, coefficients, Image.Resampling.BILINEAR)
    return np.asarray(turned)
