"""The camera of a fit: a pinhole in pixels, and the crop in which GAGAvatar's own camera sees the same head."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

#: Where nothing is known, a film's focal length in longer picture sides: between a phone's and a portrait lens's.
USUAL_FOCAL = 2.0
#: GAGAvatar's camera: focal length in sides of the square picture (12 half-widths).
GAGAVATAR_FOCAL = 6.0
CROP_ROOM = 1.65  # side of GAGAvatar's crop over the head box's side


class PictureCamera(NamedTuple):
    """A pinhole camera.

    A point (x left, y up, z forward) is seen at `(cx - focal x / z, cy - focal y / z)` pixels.

    Attributes:
        focal: Focal length in pixels.
        cx, cy: Principal point in pixels.
        width, height: Size of the picture in pixels.
    """

    focal: float
    cx: float
    cy: float
    width: int
    height: int

    @classmethod
    def of_picture(cls, width: int, height: int, focal: float | None = None) -> PictureCamera:
        """The camera of a picture whose principal point is its middle.

        Args:
            width, height: Size in pixels.
            focal: Focal length in longer sides of the picture; None takes the usual one.
        """
        side = max(width, height)
        return cls((USUAL_FOCAL if focal is None else focal) * side, width / 2, height / 2, width, height)


class Crop(NamedTuple):
    """A square of the picture.

    Attributes:
        x, y: Its corner in pixels; may lie outside the picture.
        side: Its side in pixels.
    """

    x: float
    y: float
    side: float

    @property
    def camera(self) -> PictureCamera:
        """GAGAvatar's camera for this crop, in pixels of the whole picture."""
        half = self.side / 2
        return PictureCamera(GAGAVATAR_FOCAL * self.side, self.x + half, self.y + half, 0, 0)


def project(camera: PictureCamera, points: Float[np.ndarray, "*batch 3"]) -> Float[np.ndarray, "*batch 2"]:
    """Pixels of points in the camera's axes."""
    points = np.asarray(points)
    return np.array([camera.cx, camera.cy]) - camera.focal * points[..., :2] / points[..., 2:]


def crop_of(boxes: Float[np.ndarray, "T 4"]) -> Crop:
    """One square for a whole shot, as GAGAvatar's tracker cuts it: steady, and with room around every box.

    Args:
        boxes: Head boxes (low x, low y, high x, high y) in pixels.
    """
    low, high = boxes[:, :2], boxes[:, 2:]
    side = CROP_ROOM * float(np.median(np.sqrt((high - low).prod(1))))
    side = max(side, 1.15 * float((high.max(0) - low.min(0)).max()))
    centre = (low.min(0) + high.max(0)) / 2
    return Crop(float(centre[0] - side / 2), float(centre[1] - side / 2), side)


def into_crop(transform: Float[np.ndarray, "T 3 4"], camera: PictureCamera, crop: Crop) -> Float[np.ndarray, "T 3 4"]:
    """A track's transforms as GAGAvatar's camera sees the head in a crop.

    The camera is turned so that it looks at the crop's middle, and moved away as much as its focal length is longer:
    the head keeps its size, its place and the side that it shows.

    Args:
        transform: `[R | t]` in the picture's camera.
        camera: That camera.
        crop: The crop.

    Returns:
        `[R | t]` in GAGAvatar's camera.
    """
    target = crop.camera
    ray = np.array([-(target.cx - camera.cx), -(target.cy - camera.cy), camera.focal], float)
    forward = ray / np.linalg.norm(ray)
    left = np.cross([0.0, 1.0, 0.0], forward)
    left /= np.linalg.norm(left)
    turn = np.stack([left, np.cross(forward, left), forward], 1)  # old axes -> new axes, for row vectors
    rotation, shift = np.asarray(transform)[:, :, :3] @ turn, np.asarray(transform)[:, :, 3] @ turn
    # The head spans focal / depth: what both cameras must agree on, seen along the ray to the crop's middle.
    longer = target.focal / (camera.focal * np.linalg.norm(ray) / camera.focal)
    depth = shift[:, 2:] * longer
    return np.concatenate([rotation, np.concatenate([shift[:, :2], depth], 1)[..., None]], -1)
