"""Track one face through a video: detection, tracking, loss and re-detection."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, UInt8

from gagjax.tracking.faces import cover, detection, mesh, regions
from gagjax.tracking.faces.cuts import CutFinder
from gagjax.tracking.faces.regions import Region

LEAST = 0.5  # minimum confidence of the mesh network
SETTLED = 0.02  # a region that changes less than this between iterations has converged
FACE_CHANGE = 0.06  # `CutFinder.least` of the upper face; one face in motion reaches 0.04
BROWS = 24  # size of the upper face's thumbnail, pixels
_LOOKS = 4


class Look(NamedTuple):
    """The result for one frame.

    Attributes:
        points: (478, 3) pixels, NaN if no face was found.
        confidence: Confidence of the mesh network, 0 if no face was found.
        cut: Whether a shot begins with this frame.
        detected: Whether the detector was run.
        mouth: The region around the mouth, for `gagjax.tracking.faces.cover`; black if no face was found.
    """

    points: Float[np.ndarray, "478 3"]
    confidence: float
    cut: bool
    detected: bool
    mouth: UInt8[np.ndarray, "12 12 3"]


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
    brows: CutFinder = dataclasses.field(default_factory=lambda: CutFinder(least=FACE_CHANGE))

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
            self._begin()
        if self.region is not None:
            points, confidence = _mesh(picture, self.region)
            if confidence > LEAST and _plausible(points):
                if not self.brows(_brows(picture, points)):
                    return self._found(picture, points, confidence, cut, False)
                cut = True  # another face in the same place
                self._begin()
        for region in self._candidates(picture):
            points, confidence = _mesh(picture, region)
            for _ in range(_LOOKS):  # the detector's box is rough: iterate with the mesh's own region
                after = regions.of_landmarks(points)
                if confidence <= LEAST or regions.differ(region, after) < SETTLED:
                    break
                region = after
                points, confidence = _mesh(picture, region)
            if confidence > LEAST and _plausible(points):
                self.brows.before, self.brows.recent = None, ()
                self.brows(_brows(picture, points))
                return self._found(picture, points, confidence, cut, True)
        self.region = None
        self.missing += 1
        nothing = np.full((478, 3), np.nan, np.float32)
        return Look(nothing, 0.0, cut, True, np.zeros((cover.SIZE, cover.SIZE, 3), np.uint8))

    def _begin(self) -> None:
        self.region = self.last = None
        self.missing = 0

    def _found(self, picture: np.ndarray, points: np.ndarray, confidence: float, cut: bool, detected: bool) -> Look:
        self.region = self.last = regions.of_landmarks(points)
        self.missing = 0
        return Look(points, confidence, cut, detected, cover.mouth(picture, points))

    def _candidates(self, picture: np.ndarray) -> Iterator[Region]:
        """Where the face may be, the likeliest place first; the mesh network decides."""
        thorough = self.missing % self.tiles_every == 0
        near = self.last if self.missing < self.patience else None
        for faces in detection.stages(picture, tiles=thorough, turns=thorough):
            face = detection.choose(faces, self.which, near)
            if face is not None:
                yield detection.upright(picture, face.region)


def _brows(picture: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Eyes, brows and forehead: what neither speech nor a hand before the mouth changes."""
    face = regions.of_landmarks(points)
    return regions.cut(picture, face._replace(side=face.side / regions.ROOM), BROWS)[: BROWS // 2]


def _mesh(picture: np.ndarray, region: Region) -> tuple[np.ndarray, float]:
    points, confidence = mesh.landmarks([picture], [region])
    return points[0], float(confidence[0])


def _plausible(points: np.ndarray) -> bool:
    """Whether the face has a plausible size: a region that collapses or explodes has lost it."""
    extent = np.ptp(points[:468, :2], axis=0)
    return bool(np.isfinite(points).all() and extent.min() > 8 and extent.max() < 6 * extent.min())
