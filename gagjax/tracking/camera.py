"""The camera of a fit: a pinhole in pixels, and the crop in which GAGAvatar's own camera sees the same head."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from gagjax.camera import Intrinsics, in_crop

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

    @property
    def intrinsics(self) -> Intrinsics:
        """The same camera as a track holds it."""
        matrix = [[self.focal, 0, self.cx], [0, self.focal, self.cy], [0, 0, 1]]
        return Intrinsics(np.asarray(matrix, np.float32), max(self.width, 1), max(self.height, 1))


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
    """A track's transforms as GAGAvatar's camera sees the head in a crop; see `gagjax.camera.in_crop`.

    Args:
        transform: `[R | t]` in the picture's camera.
        camera: That camera.
        crop: The crop.

    Returns:
        `[R | t]` in GAGAvatar's camera.
    """
    return in_crop(np.asarray(transform), camera.intrinsics, np.tile(np.asarray(crop, float), (len(transform), 1)))
