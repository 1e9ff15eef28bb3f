"""A whole clip: landmarks to shots, shots to parameters, parameters to a Track."""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, UInt8

from gagjax import flame
from gagjax.errors import NoFaceError
from gagjax.track import EXPRESSIONS, SHAPES, Track
from gagjax.tracking import points as numbering
from gagjax.tracking.camera import Crop, PictureCamera, crop_of, into_crop
from gagjax.tracking.faces.cover import covered
from gagjax.tracking.fit.gaze import EyeModel, gaze
from gagjax.tracking.fit.shot import ShotFit, Subject, eye_radius, fit_shot, valid_frames
from gagjax.tracking.sources import Source
from gagjax.typing import AnyArray

SOURCE = "gagjax-tracking"
#: A head that the fit finds turned so far, radians, is seen from the side (it falls short: renderings turned by 70
#: degrees come out at 56, by 75 at 61): half of the landmarks are guesses, and what they say of the face is, too.
MOST_TURNED = np.deg2rad(58.0)
_HEAD = np.array([[-0.02, -0.42], [0.02, 0.04]])  # the head's box beyond the face's, in face heights


@dataclasses.dataclass(frozen=True)
class Shot:
    """One shot of a clip.

    Attributes:
        start, stop: Its frames.
        camera: The camera that the fit found or was given; None where no face was found.
        crop: The square in which GAGAvatar's camera sees the head.
        found: In which of its frames a face was found.
        valid: In which the fit is good.
        residual: Of the fit, a part of the distance between the pupils; NaN where no face was found.
        transform: `[R | t]` in `camera`, repeated over lost frames.
    """

    start: int
    stop: int
    camera: PictureCamera | None
    crop: Crop | None
    found: Bool[np.ndarray, "T"]
    valid: Bool[np.ndarray, "T"]
    residual: Float[np.ndarray, "T"]
    transform: Float[np.ndarray, "T 3 4"]


class TrackedClip(NamedTuple):
    """A clip's track and what else the fit knows.

    Attributes:
        track: In GAGAvatar's camera and each shot's crop.
        shots: The shots.
    """

    track: Track
    shots: tuple[Shot, ...]

    @property
    def filmed(self) -> Track:
        """The track in the camera that filmed the whole picture: `Track.camera` maps the head to its pixels."""
        cameras = [shot.camera for shot in self.shots]
        known = next(camera for camera in cameras if camera is not None)
        usual = PictureCamera.of_picture(known.width, known.height)
        lenses = [(camera or usual).intrinsics for camera in cameras]
        each = [np.tile(lens.K, (shot.stop - shot.start, 1, 1)) for lens, shot in zip(lenses, self.shots, strict=True)]
        lens = lenses[0] if len(lenses) == 1 else dataclasses.replace(lenses[0], K=np.concatenate(each))
        transform = np.concatenate([shot.transform for shot in self.shots]).astype(np.float32)
        return dataclasses.replace(self.track, transform=transform, intrinsics=lens)

    @property
    def crops(self) -> Float[np.ndarray, "T 3"]:
        """Each frame's crop: corner x, y and side in pixels; NaN in a shot without a face."""
        each = [
            np.tile(
                np.full(3, np.nan) if shot.crop is None else np.asarray(shot.crop, float), (shot.stop - shot.start, 1)
            )
            for shot in self.shots
        ]
        return np.concatenate(each)

    @property
    def residual(self) -> Float[np.ndarray, "T"]:
        """The fit's residual in every frame."""
        return np.concatenate([shot.residual for shot in self.shots])


def track_clip(
    subject: Subject,
    landmarks: Float[np.ndarray, "T 478 3"],
    cuts: Bool[np.ndarray, "T"],
    source: Source,
    *,
    focal: float | None = None,
    mouths: UInt8[np.ndarray, "T 12 12 3"] | None = None,
) -> TrackedClip:
    """Fit every shot of a clip.

    Args:
        subject: The head model.
        landmarks: Pixels, NaN where no face was found.
        cuts: Where shots begin.
        source: What the landmarks are of.
        focal: The camera's focal length in longer sides of the picture, if known.
        mouths: The mouths' surroundings (`gagjax.tracking.faces.cover.mouth`): frames in which something is before the
            mouth are then not valid.

    Returns:
        The track and the shots.

    Raises:
        NoFaceError: If no face was found at all.
    """
    if not np.isfinite(landmarks[:, 0, 0]).any():
        raise NoFaceError(
            f"no face was found in {len(landmarks)} frames", file=source.path, fix="Pass a film in which a face is seen"
        )
    starts = np.unique(np.r_[0, np.flatnonzero(cuts)])
    shots, columns = [], []
    for start, stop in zip(starts, np.r_[starts[1:], len(landmarks)], strict=True):
        seen = None if mouths is None else mouths[start:stop]
        shot, values = _shot(subject, landmarks[start:stop], int(start), source, focal, seen)
        shots.append(shot)
        columns.append(values)
    joined = {key: np.concatenate([c[key] for c in columns]).astype(np.float32) for key in columns[0]}
    extra: dict[str, Any] = {"bbox": joined["bbox"]}
    track = Track(
        joined["expression"],
        joined["jaw"],
        joined["eyes"],
        joined["transform"],
        shape=joined["shape"] if len(shots) > 1 else joined["shape"][0],
        extra=extra,
        valid=np.concatenate([shot.valid for shot in shots]),
        fps=source.fps,
        names=tuple(f"{source.path.stem}_{i}" for i in range(len(landmarks))),
        source=SOURCE,
    )
    return TrackedClip(track, tuple(shots))


def _shot(
    subject: Subject,
    landmarks: np.ndarray,
    start: int,
    source: Source,
    focal: float | None,
    mouths: np.ndarray | None,
) -> tuple[Shot, dict[str, np.ndarray]]:
    frames = len(landmarks)
    found = np.isfinite(landmarks[:, 0, 0])
    stop = start + frames
    if not found.any():
        empty = {
            "expression": np.zeros((frames, EXPRESSIONS)),
            "jaw": np.zeros((frames, 3)),
            "eyes": np.zeros((frames, 6)),
            "transform": np.tile(np.concatenate([np.diag([-1.0, 1, -1]), [[0], [0], [9]]], 1), (frames, 1, 1)),
            "shape": np.zeros((frames, SHAPES)),
            "bbox": np.tile([0.0, 0, 1, 1], (frames, 1)),
        }
        lost = np.zeros(frames, bool)
        nothing = np.full(frames, np.nan)
        return Shot(start, stop, None, None, found, lost, nothing, empty["transform"]), empty
    seen = np.asarray(landmarks[found])
    camera = PictureCamera.of_picture(source.width, source.height, focal)
    fit = fit_shot(subject, seen, camera, fixed_focal=focal is not None)
    camera = camera._replace(focal=float(fit.person.focal))
    eyes = eyes_of(subject, fit, seen, camera)
    boxes = head_boxes(seen)
    crop = crop_of(boxes)
    transform = np.concatenate([fit.pose.rotation, fit.pose.shift[..., None]], -1)
    expression = np.zeros((len(seen), EXPRESSIONS))
    expression[:, subject.priors.columns] = fit.pose.expression[:, : len(subject.priors.columns)]
    shape = np.zeros(SHAPES)
    shape[: subject.priors.shapes] = np.asarray(fit.person.shape)[: subject.priors.shapes]
    box = (boxes - np.tile([crop.x, crop.y], 2)) / crop.side
    # A lost frame repeats the one before it, or the first that was found.
    at = np.maximum(np.cumsum(found) - 1, 0)
    values = {
        "expression": expression[at],
        "jaw": fit.pose.jaw[at],
        "eyes": eyes[at],
        "transform": into_crop(transform, camera, crop)[at],
        "shape": np.tile(shape, (frames, 1)),
        "bbox": np.clip(box, 0, 1)[at],
    }
    valid = np.zeros(frames, bool)
    valid[found] = valid_frames(fit.residual) & (turned_away(fit.pose.rotation, fit.pose.shift) < MOST_TURNED)
    if mouths is not None:
        valid[found] &= ~covered(mouths[found])
    residual = np.full(frames, np.nan)
    residual[found] = fit.residual
    return Shot(start, stop, camera, crop, found, valid, residual, transform[at]), values


def turned_away(rotation: Float[AnyArray, "T 3 3"], shift: Float[AnyArray, "T 3"]) -> Float[np.ndarray, "T"]:
    """By how much a head looks away from the camera, radians.

    Args:
        rotation: Head to camera for row vectors.
        shift: The head's origin in the camera's axes.
    """
    towards = -np.asarray(shift) / np.linalg.norm(np.asarray(shift), axis=-1, keepdims=True)
    return np.arccos(np.clip((np.asarray(rotation)[:, 2] * towards).sum(-1), -1, 1))


def eyes_of(
    subject: Subject, fit: ShotFit, landmarks: Float[np.ndarray, "T 478 3"], camera: PictureCamera
) -> Float[np.ndarray, "T 6"]:
    """Eye rotations of a fitted shot."""
    shape = np.asarray(fit.person.shape, np.float32)[: subject.priors.shapes]
    centres = np.asarray(flame.eye_centres(subject.model, shape))[[1, 0]]  # subject's right first
    model = EyeModel(centres, eye_radius(subject.model))
    middle = (camera.cx, camera.cy)
    eyes, _ = gaze(
        model,
        np.asarray(fit.pose.rotation),
        np.asarray(fit.pose.shift),
        float(fit.person.focal),
        landmarks,
        fit.corners,
        middle,
    )
    return eyes


def head_boxes(landmarks: Float[np.ndarray, "T 478 3"]) -> Float[np.ndarray, "T 4"]:
    """A box around the head, hair included, from its face's landmarks, pixels."""
    plane = landmarks[:, : numbering.MESH, :2]
    low, high = plane.min(1), plane.max(1)
    size = (high - low).max(1, keepdims=True)
    return np.concatenate([low + _HEAD[0] * size, high + _HEAD[1] * size], 1)
