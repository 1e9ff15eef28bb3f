"""Track one face through a video: detection, tracking, loss and re-detection."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, UInt8

from gagjax.tracking.faces import detection, mesh, regions
from gagjax.tracking.faces.cuts import CutFinder
from gagjax.tracking.faces.regions import Region

LEAST = 0.5  # minimum confidence of the mesh network
SETTLED = 0.02  # a region that changes less than this between iterations has converged
_LOOKS = 4


class Look(NamedTuple):
    """The result for one frame.

    Attributes:
        points: (478, 3) pixels, NaN if no face was found.
        confidence: Confidence of the mesh network, 0 if no face was found.
        cut: Whether a shot begins with this frame.
        detected: Whether the detector was run.
    """

    points: Float[np.ndarray, "478 3"]
    confidence: float
    cut: bool
    detected: bool


@dataclasses.dataclass
class Follower:
    """Tracks one face, frame by frame.

    Args:
        which: "largest", or the index of the face from the left (from 0), at the start of each shot.
        tiles_every: After a frame without a face, tiles are searched only once per this many frames (they cost some
            hundred milliseconds).
        patience: Number of frames for which a lost face is searched at its last position before any face is accepted.

    Example:
        `look = Follower()(picture)`
    """

    which: str | int = "largest"
    tiles_every: int = 12
    patience: int = 12
    region: Region | None = None
    last: Region | None = None
    missing: int = 0
    cuts: CutFinder = dataclasses.field(default_factory=CutFinder)

    def __call__(self, picture: UInt8[np.ndarray, "H W 3"]) -> Look:
        """The tracked face's landmarks in the next frame.

        Args:
            picture: RGB, (H, W, 3).

        Returns:
            The result; its points are NaN if there is no face.

        Raises:
            InputError: If the models are not installed.
        """
        cut = self.cuts(picture)
        if cut:
            self.region = self.last = None
            self.missing = 0
        if self.region is not None:
            points, confidence = _mesh(picture, self.region)
            if confidence > LEAST and _plausible(points):
                return self._found(points, confidence, cut, False)
        region = self._detect(picture)
        if region is not None:
            points, confidence = _mesh(picture, region)
            for _ in range(_LOOKS):  # the detector's box is rough: iterate with the mesh's own region
                after = regions.of_landmarks(points)
                if confidence <= LEAST or regions.differ(region, after) < SETTLED:
                    break
                region = after
                points, confidence = _mesh(picture, region)
            if confidence > LEAST and _plausible(points):
                return self._found(points, confidence, cut, True)
        self.region = None
        self.missing += 1
        return Look(np.full((478, 3), np.nan, np.float32), 0.0, cut, True)

    def _found(self, points: np.ndarray, confidence: float, cut: bool, detected: bool) -> Look:
        self.region = self.last = regions.of_landmarks(points)
        self.missing = 0
        return Look(points, confidence, cut, detected)

    def _detect(self, picture: np.ndarray) -> Region | None:
        thorough = self.missing % self.tiles_every == 0
        faces = detection.detect(picture, tiles=thorough, turns=thorough)
        near = self.last if self.missing < self.patience else None
        face = detection.choose(faces, self.which, near)
        return None if face is None else detection.upright(picture, face.region)


def _mesh(picture: np.ndarray, region: Region) -> tuple[np.ndarray, float]:
    points, confidence = mesh.landmarks([picture], [region])
    return points[0], float(confidence[0])


def _plausible(points: np.ndarray) -> bool:
    """Whether the face has a plausible size: a region that collapses or explodes has lost it."""
    extent = np.ptp(points[:468, :2], axis=0)
    return bool(np.isfinite(points).all() and extent.min() > 8 and extent.max() < 6 * extent.min())
