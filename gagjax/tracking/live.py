"""One face of a film or a camera, frame by frame as it comes: landmarks, two warm steps of the fit, gaze."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, UInt8

from gagjax import flame
from gagjax.flame.model import EXPRESSIONS
from gagjax.tracking import points as numbering
from gagjax.tracking.camera import PictureCamera
from gagjax.tracking.clip import MOST_TURNED, turned_away
from gagjax.tracking.faces import detection, mesh
from gagjax.tracking.faces.cover import CoverWatch
from gagjax.tracking.faces.following import Follower
from gagjax.tracking.faces.regions import Region
from gagjax.tracking.fit.gaze import EyeModel, eye_angles, together
from gagjax.tracking.fit.head import Person, Pose, head_points
from gagjax.tracking.fit.shot import Subject, begin, corners_of, eye_radius, fit_shot, observed, settings_for
from gagjax.tracking.fit.solver import frame_step, seen_at


class LiveFrame(NamedTuple):
    """What one frame of a live stream gave, as a Track's channels hold it.

    Attributes:
        expression: (100,).
        jaw: (3,).
        eyes: (6,).
        transform: `[R | t]` in the tracker's `lens`, (3, 4).
        valid: Whether a face was found and the fit is good; else the values are the last good ones.
        residual: A part of the distance between the pupils; NaN where no face was found.
        fresh: Whether what came before tells nothing of this frame: the film has cut, or the person has been learned
            anew and the camera with it.
    """

    expression: Float[np.ndarray, "100"]
    jaw: Float[np.ndarray, "3"]
    eyes: Float[np.ndarray, "6"]
    transform: Float[np.ndarray, "3 4"]
    valid: bool
    residual: float
    fresh: bool = False


@dataclasses.dataclass
class LiveTracker:
    """Tracks a stream; the person is learned from its first frames and then held.

    Args:
        subject: The head model.
        which: The face to follow.
        focal: Focal length in longer sides of the picture, if known.
        learn: From how many frames with a face the person is learned; before that the mean head stands in.
        most: Residual beyond which a frame is not valid.
    """

    subject: Subject
    which: str | int = "largest"
    focal: float | None = None
    learn: int = 25
    most: float = 0.05

    def __post_init__(self) -> None:
        self.follower = Follower(which=self.which)
        self.camera: PictureCamera | None = None
        self.person: Person | None = None
        self._pose: Pose | None = None
        self._seen: list[np.ndarray] = []
        self._last: LiveFrame | None = None
        self._fresh = True
        self._cover = CoverWatch()

    @property
    def lens(self) -> PictureCamera | None:
        """The camera to which `LiveFrame.transform` refers, as far as it is known; None before the first picture."""
        if self.camera is None or self.person is None:
            return self.camera
        return self.camera._replace(focal=float(self.person.focal))

    def warm(self, width: int, height: int) -> None:
        """Load the networks and compile everything, so that no frame of a stream has to wait for it.

        Args:
            width, height: Of the pictures to come, pixels.

        Raises:
            InputError: If the models are not installed.
        """
        grey = np.full((height, width, 3), 127, np.uint8)
        detection.detect(grey)
        region = Region(width / 2, height / 2, min(width, height) / 2, 0.0)
        detection.upright(grey, region)
        mesh.landmarks([grey], [region])
        self.camera = PictureCamera.of_picture(width, height, self.focal)
        points = self._made_up()
        self._fitted(points)
        fit_shot(self.subject, np.repeat(points, 2, 0), self.camera, fixed_focal=self.focal is not None)
        self.__post_init__()

    def _made_up(self) -> Float[np.ndarray, "1 478 3"]:
        """Landmarks of the mean head, a quarter of the picture large, seen from the front."""
        assert self.camera is not None
        head, numbers = self.subject.head, self.subject.embedding.numbers
        person = Person(jnp.zeros(self.subject.priors.shapes), jnp.zeros((head.count, 3)), jnp.float32(1))
        rest = np.asarray(head_points(head, person, jnp.zeros(3), jnp.zeros(len(self.subject.priors.columns))))
        scale = 0.25 * min(self.camera.width, self.camera.height) / np.ptp(rest[:, 1])
        points = np.zeros((1, numbering.COUNT, 3), np.float32)
        eyes = np.asarray(flame.eye_centres(self.subject.model, np.zeros(self.subject.priors.shapes, np.float32)))
        points[0, numbers] = rest
        points[0, 468:473], points[0, 473:478] = eyes[1], eyes[0]  # subject's right first
        middle = [self.camera.cx, self.camera.cy, 0]
        return ((points - rest.mean(0)) * [scale, -scale, -scale] + middle).astype(np.float32)

    def __call__(self, picture: UInt8[np.ndarray, "H W 3"]) -> LiveFrame | None:
        """The next frame's parameters, or None before any face has been found.

        Args:
            picture: RGB, all of one size.

        Raises:
            InputError: If the models are not installed.
        """
        if self.camera is None:
            self.camera = PictureCamera.of_picture(picture.shape[1], picture.shape[0], self.focal)
        look = self.follower(picture)
        if look.cut or look.detected:
            self._pose = None
        if look.cut:
            self.person, self._seen, self._fresh = None, [], True
            self._cover = CoverWatch()
        if not np.isfinite(look.points[0, 0]):
            return None if self._last is None else self._last._replace(valid=False, residual=float("nan"))
        frame = self._fitted(look.points[None])
        away = turned_away(frame.transform[None, :, :3], frame.transform[None, :, 3])[0]
        if frame.valid and (away > MOST_TURNED or self._cover(look.mouth)):
            frame = frame._replace(valid=False)
        if frame.valid or self._last is None:
            self._last, fresh = frame, self._fresh
            self._fresh = False
            return frame._replace(fresh=fresh)
        return self._last._replace(valid=False, residual=frame.residual)

    def _fitted(self, points: Float[np.ndarray, "1 478 3"]) -> LiveFrame:
        assert self.camera is not None
        person = self._learned(points)
        seen = observed(self.subject, points, self.camera)
        settings = settings_for(self.subject, self.camera, 1)
        one, damping = jnp.ones(()), jnp.asarray(3e-3, jnp.float32)
        steps = 2
        if self._pose is None:
            self._pose = begin(self.subject, person, points, self.camera)
            self._pose = frame_step(self.subject.head, settings, person, self._pose, seen, 0 * one, 10 * damping)
            steps = 6
        for _ in range(steps):
            self._pose = frame_step(self.subject.head, settings, person, self._pose, seen, one, damping)
        pose = Pose(*(np.asarray(value) for value in self._pose))
        middle = np.array([self.camera.cx, self.camera.cy], np.float32)
        plane = np.asarray(seen_at(self.subject.head, person, self._pose)) + middle
        from gagjax.tracking.fit.shot import residual_of

        residual = float(residual_of(self.subject, plane, points)[0])
        expression = np.zeros(EXPRESSIONS, np.float32)
        expression[self.subject.priors.columns] = pose.expression[0, : len(self.subject.priors.columns)]
        transform = np.concatenate([pose.rotation[0], pose.shift[0][:, None]], 1)
        return LiveFrame(
            expression,
            np.asarray(pose.jaw[0]),
            self._eyes(person, pose, plane, points),
            transform,
            residual < self.most,
            residual,
        )

    def _eyes(self, person: Person, pose: Pose, plane: np.ndarray, points: np.ndarray) -> np.ndarray:
        assert self.camera is not None
        shape = np.asarray(person.shape)[: self.subject.priors.shapes]
        centres = np.asarray(flame.eye_centres(self.subject.model, shape))[[1, 0]]
        model = EyeModel(centres, eye_radius(self.subject.model))
        corners = corners_of(self.subject, plane)
        middle = (self.camera.cx, self.camera.cy)
        angles, weights = eye_angles(
            model, np.asarray(pose.rotation), np.asarray(pose.shift), float(person.focal), points, corners, middle
        )
        before = None if self._last is None else self._last.eyes
        return together(angles[0], weights[0], before)

    def _learned(self, points: np.ndarray) -> Person:
        """The person so far: after `learn` frames fitted once, and then held."""
        assert self.camera is not None
        if self.person is not None and len(self._seen) >= self.learn:
            return self.person
        self._seen.append(points[0])
        if self.person is None or len(self._seen) == self.learn:
            whole = np.stack(self._seen)
            self.person = fit_shot(self.subject, whole, self.camera, fixed_focal=self.focal is not None).person
            self._pose, self._fresh = None, True
        return self.person
