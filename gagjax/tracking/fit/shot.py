"""The fit of a shot: first who it is, from frames that differ; then every frame, with that person held."""

from __future__ import annotations

import functools
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float

from gagjax.flame.model import FlameModel
from gagjax.tracking import points as numbering
from gagjax.tracking.camera import PictureCamera
from gagjax.tracking.correspondence import Embedding, embed
from gagjax.tracking.fit.head import Person, PointHead, Pose, head_points, point_head
from gagjax.tracking.fit.priors import Priors, priors_for
from gagjax.tracking.fit.solver import Moves, Observed, Settings, frame_step, seen_at, step
from gagjax.tracking.fit.start import first_poses
from gagjax.typing import AnyArray

KEYS = 64  # frames from which a person is learned
CHUNK = 64  # frames that are fitted together once the person is known
_DAMPING = (1e-2, 3e-3)
_RIGID_STEPS, _PERSON_STEPS, _FRAME_STEPS = 4, 14, 7


class Subject(NamedTuple):
    """A head model made ready for fits.

    Attributes:
        model: The whole head.
        embedding: MediaPipe's points on it.
        priors: What is likely.
        head: The head at the points.
        normals: The points' normals at rest, (N, 3).
    """

    model: FlameModel
    embedding: Embedding
    priors: Priors
    head: PointHead
    normals: Float[np.ndarray, "N 3"]


class ShotFit(NamedTuple):
    """A fitted shot of T frames.

    Attributes:
        person: Shape, offsets and focal length.
        pose: Every frame's parameters, NumPy, (T, ...).
        corners: Middle of each eye's corners as fitted, pixels, subject's right then left, (T, 2, 2).
        residual: Mean distance of the 105 published points, a part of the distance between the pupils, (T,).
        cost: Of each step of the first part.
    """

    person: Person
    pose: Pose
    corners: Float[np.ndarray, "T 2 2"]
    residual: Float[np.ndarray, "T"]
    cost: tuple[float, ...]


def subject(model: FlameModel, priors: Priors | None = None) -> Subject:
    """A head model made ready: its points found, its priors chosen.

    Args:
        model: Any head in FLAME's format with 68 iBUG landmarks.
        priors: Instead of `priors_for(model)`.
    """
    from gagjax import flame

    points, chosen = embed(model), priors or priors_for(model)
    normals = np.asarray(flame.normals(model, model.v_template))[np.asarray(model.faces)[points.faces]]
    normals = (normals * points.bary[..., None]).sum(1)
    return Subject(model, points, chosen, point_head(model, points, chosen), normals)


def fit_shot(
    subject: Subject,
    landmarks: Float[np.ndarray, "T 478 3"],
    camera: PictureCamera,
    *,
    fixed_focal: bool = False,
    person: Person | None = None,
) -> ShotFit:
    """Fit the frames of a shot, all of which show the same face.

    Args:
        subject: The head.
        landmarks: Pixels, all finite.
        camera: The camera; its focal length is a guess that the fit mends, or given.
        fixed_focal: Whether the focal length is given.
        person: Who it is, where that is known already; None learns it.

    Returns:
        The fit.
    """
    seen = observed(subject, landmarks, camera)
    settings = settings_for(subject, camera, min(len(landmarks), KEYS))
    costs: list[float] = []
    if person is None:
        keys = key_frames(landmarks)
        person, costs = _learned(subject, settings, landmarks[keys], _some(seen, keys), camera, fixed_focal)
    parts = [
        _frames(subject, settings, person, landmarks[i : i + CHUNK], _some(seen, slice(i, i + CHUNK)), camera)
        for i in range(0, len(landmarks), CHUNK)
    ]
    pose = Pose(*(np.concatenate(values) for values in zip(*(p for p, _ in parts), strict=True)))
    plane = np.concatenate([p for _, p in parts]) + np.array([camera.cx, camera.cy], np.float32)
    residual = residual_of(subject, plane, landmarks)
    return ShotFit(person, pose, corners_of(subject, plane), residual, tuple(costs))


def residual_of(
    subject: Subject, plane: Float[np.ndarray, "T N 2"], landmarks: Float[np.ndarray, "T 478 3"]
) -> Float[np.ndarray, "T"]:
    """Mean distance of the 105 published points from where the fit puts them, a part of the pupils' distance."""
    distance = np.linalg.norm(plane - landmarks[:, subject.embedding.numbers, :2], axis=-1)
    published = np.isin(subject.embedding.numbers, numbering.EMBEDDED)
    return distance[:, published].mean(1) / _steady_interocular(landmarks)


def corners_of(subject: Subject, plane: Float[np.ndarray, "T N 2"]) -> Float[np.ndarray, "T 2 2"]:
    """Middle of each eye's corners among fitted points, subject's right then left."""
    return plane[:, np.searchsorted(subject.embedding.numbers, numbering.LIDS[:, :2])].mean(2)


def eye_radius(model: FlameModel) -> float:
    """From the joint of an eye to the front of its eyeball, metres."""
    share = np.asarray(model.weights)[:, 3]
    ball = np.asarray(model.v_template)[share > 0.5]
    if not len(ball):
        return 0.012
    centre = np.asarray(model.J_regressor)[3] @ np.asarray(model.v_template)
    return float(np.quantile(np.linalg.norm(ball - centre, axis=1), 0.9))


def key_frames(landmarks: Float[np.ndarray, "T 478 3"], count: int = KEYS) -> np.ndarray:
    """Frames from which to learn a person: evenly spread in time, (at most `count`,)."""
    frames = len(landmarks)
    return np.unique(np.round(np.linspace(0, frames - 1, min(count, frames))).astype(int))


def settings_for(subject: Subject, camera: PictureCamera, frames: int) -> Settings:
    """The priors as numbers for the solver, for a person learned from so many frames."""
    # Errors of one clip's frames are alike: a hundred frames are worth a dozen. Frames cannot be weighted down, since
    # each has its own unknowns; what they have in common gets a firmer prior instead.
    priors = subject.priors
    alike = max(1.0, frames / priors.frames)
    errors = np.ones(len(subject.embedding.marking.errors))
    as_float = functools.partial(jnp.asarray, dtype=jnp.float32)
    return Settings(
        as_float(np.concatenate([priors.expression, errors])),
        as_float(priors.jaw),
        as_float(alike / priors.shape**2),
        as_float(alike / priors.focal**2),
        as_float(camera.focal),
        as_float(priors.robust),
        len(priors.expression) if priors.non_negative else 0,
    )


def observed(subject: Subject, landmarks: np.ndarray, camera: PictureCamera) -> Observed:
    """What the solver is told of landmarks in pixels."""
    numbers = subject.embedding.numbers
    plane = landmarks[:, numbers, :2] - [camera.cx, camera.cy]
    weights = np.broadcast_to(subject.embedding.weights, plane.shape[:2])
    scale = subject.priors.noise * _steady_interocular(landmarks)
    return Observed(*(np.asarray(v, np.float32) for v in (plane, weights, scale)))


def _steady_interocular(landmarks: np.ndarray) -> np.ndarray:
    """Distance between the pupils as the face's size; that of a turned face is too short to measure by."""
    distance = numbering.interocular(landmarks)
    height = np.linalg.norm(landmarks[:, 10, :2] - landmarks[:, 152, :2], axis=-1)
    return np.maximum(distance, 0.45 * height)


def _some(seen: Observed, chosen: np.ndarray | slice) -> Observed:
    return Observed(*(value[chosen] for value in seen))


def begin(subject: Subject, person: Person, landmarks: np.ndarray, camera: PictureCamera) -> Pose:
    """A first pose of each frame, by its rigid points; face at rest."""
    rest = np.full((numbering.MESH, 3), np.nan)
    idle = jnp.zeros(subject.head.basis.shape[-1] - subject.head.shapes)
    rest[subject.embedding.numbers] = np.asarray(head_points(subject.head, person, jnp.zeros(3), idle))
    centred = landmarks - np.array([camera.cx, camera.cy, 0], np.float32)
    rotation, shift = first_poses(rest, centred, float(person.focal))
    frames = len(landmarks)
    zeros = (np.zeros((frames, 3)), np.zeros((frames, len(idle))))
    return Pose(*(jnp.asarray(v, jnp.float32) for v in (rotation, shift, *zeros)))


def _facing(subject: Subject, pose: Pose, seen: Observed) -> Observed:
    """Points that look away from the camera are the network's guesses: they count little."""
    away = np.einsum("nc,tcd->tnd", subject.normals, np.asarray(pose.rotation))[..., 2]
    share = np.clip((0.25 - away) / 0.5, 0.05, 1.0)
    return seen._replace(weights=np.asarray(seen.weights * share, np.float32))


def _moves(face: bool = False, shape: bool = False, focal: bool = False, offsets: bool = False) -> Moves:
    return Moves(*(jnp.asarray(float(value), jnp.float32) for value in (face, shape, focal, offsets)))


def _learned(
    subject: Subject,
    settings: Settings,
    landmarks: np.ndarray,
    seen: Observed,
    camera: PictureCamera,
    fixed_focal: bool,
) -> tuple[Person, list[float]]:
    person = Person(
        jnp.zeros(subject.head.shapes), jnp.zeros((subject.head.count, 3)), jnp.asarray(camera.focal, jnp.float32)
    )
    landmarks, seen, real = _padded(landmarks, seen, KEYS if len(landmarks) > 1 else 1)
    pose = begin(subject, person, landmarks, camera)
    precision = jnp.asarray(max(1.0, real / subject.priors.frames) / subject.priors.offset**2, jnp.float32)
    costs = []
    weighted = seen
    for i in range(_RIGID_STEPS + _PERSON_STEPS):
        free = i >= _RIGID_STEPS
        if i in (_RIGID_STEPS, _RIGID_STEPS + 5):
            weighted = _facing(subject, pose, seen)
        late = i >= _RIGID_STEPS + 3
        moves = _moves(free, free, late and not fixed_focal, late)
        damping = jnp.asarray(_DAMPING[int(free)], jnp.float32)
        person, pose, cost = step(subject.head, settings, person, pose, weighted, moves, damping, precision)
        costs.append(float(cost))
    return person, costs


def _frames(
    subject: Subject,
    settings: Settings,
    person: Person,
    landmarks: np.ndarray,
    seen: Observed,
    camera: PictureCamera,
) -> tuple[Pose, np.ndarray]:
    landmarks, seen, real = _padded(landmarks, seen, CHUNK if len(landmarks) > 1 else 1)
    pose = begin(subject, person, landmarks, camera)
    for i in range(2 + _FRAME_STEPS):
        if i == 2:
            seen = _facing(subject, pose, seen)
        face, damping = (jnp.asarray(v, jnp.float32) for v in (float(i >= 2), _DAMPING[int(i >= 2)]))
        pose = frame_step(subject.head, settings, person, pose, seen, face, damping)
    plane = np.asarray(seen_at(subject.head, person, pose))[:real]
    return Pose(*(np.asarray(value)[:real] for value in pose)), plane


def _padded(landmarks: np.ndarray, seen: Observed, frames: int) -> tuple[np.ndarray, Observed, int]:
    """Frames up to a fixed number, the last one repeated with no weight: one compiled program serves every length."""
    real = len(landmarks)
    missing = max(0, frames - real)
    if not missing:
        return landmarks, seen, real

    def longer(values: AnyArray) -> np.ndarray:
        return np.concatenate([values, np.repeat(values[-1:], missing, 0)])

    weights = np.concatenate([seen.weights, np.zeros((missing, seen.weights.shape[1]), np.float32)])
    return longer(landmarks), Observed(longer(seen.points), weights, longer(seen.scale)), real


def valid_frames(residual: Float[np.ndarray, "T"]) -> Bool[np.ndarray, "T"]:
    """Frames whose fit is good: the network marks a covered or upside-down face as surely as any other."""
    usual = float(np.median(residual))
    return residual < max(0.035, min(0.06, 2.5 * usual))
