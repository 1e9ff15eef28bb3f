"""MediaPipe's points on a head in FLAME's format.

The built-in head's are measured (`benchmarks/calibrate_points.py`) and shipped. A FLAME file may bring the 105 points
that its authors publish. Any other head with the 68 iBUG landmarks gets the built-in head's points, warped onto it by
a thin-plate spline through the landmarks that both have.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from gagjax.errors import InputError
from gagjax.flame.builtin_head import is_builtin
from gagjax.flame.correspondence import builtin_arrays, closest, outer_skin
from gagjax.flame.model import FlameModel, landmarks
from gagjax.tracking import points as numbering

__all__ = ["Embedding", "closest", "embed", "fitted_points", "outer_skin"]

_DATA = Path(__file__).parent / "data" / "builtin_head.npz"
_MARKING = Path(__file__).parent / "data" / "builtin_marking.npz"
#: How much of the slide measured on renderings counts, with yaw and with pitch. Chosen on the rendered films of
#: benchmarks/tracking_truth.py: pitch comes out a third too small without it, and yaw too large with it.
SLIDE = np.array([0.0, 1.0], np.float32)
_CHIN = 8  # of iBUG's jaw line only the chin is one place on the skin


class Marking(NamedTuple):
    """How the network's marks depart from their places on a head, metres in the head's frame.

    The network has its own idea of a face: marks do not follow a turned head, an open jaw or a smile exactly. What is
    alike for all faces is a displacement that is known; what differs is an error with a known covariance, given by
    modes: errors that come and go from frame to frame, and habits that stay with a person.

    Attributes:
        rest: Displacement of a face at rest seen from the front, (N, 3).
        slides: With the head's yaw and pitch, per radian, (2, N, 3).
        jaw: With the jaw's opening, per radian, (N, 3).
        controls: With each expression column that is fitted, per unit, (E, N, 3); E may be 0.
        errors: One standard deviation of each mode of a frame's error, (M, N, 3).
        habits: One standard deviation of each mode of a person's error, (Q, N, 3).
    """

    rest: Float[np.ndarray, "N 3"]
    slides: Float[np.ndarray, "2 N 3"]
    jaw: Float[np.ndarray, "N 3"]
    controls: Float[np.ndarray, "E N 3"]
    errors: Float[np.ndarray, "M N 3"]
    habits: Float[np.ndarray, "Q N 3"]


class Embedding(NamedTuple):
    """Points on a head's surface that the mesh network marks.

    Attributes:
        numbers: MediaPipe's number of each point, (N,).
        faces: Triangle of each, (N,).
        bary: Barycentric weights in it, (N, 3).
        weights: How much each is trusted in a fit, (N,), about 1 for a firm point.
        marking: How the network's marks depart from these points.
    """

    numbers: Int[np.ndarray, "N"]
    faces: Int[np.ndarray, "N"]
    bary: Float[np.ndarray, "N 3"]
    weights: Float[np.ndarray, "N"]
    marking: Marking


def embed(model: FlameModel) -> Embedding:
    """MediaPipe's points on a head.

    Args:
        model: Any head in FLAME's format with the 68 iBUG landmarks.

    Returns:
        The points that a fit uses.

    Raises:
        InputError: If the model has fewer than 68 landmarks.
    """
    points = surface_points(model)
    return points._replace(marking=_measured_marking()) if is_builtin(model) else points


def surface_points(model: FlameModel) -> Embedding:
    """As `embed`, with no more of the marking than the slides."""
    if np.shape(model.landmark_faces)[0] < 68:
        raise InputError(
            f"has {np.shape(model.landmark_faces)[0]} landmarks, tracking needs the 68 iBUG landmarks",
            field="landmark_faces",
            fix="Put landmark_embedding.pkl beside the model, or use FLAME_with_eye.pt",
        )
    data = _shipped()
    face, bary = data["faces"], data["bary"]
    weights = _weights(data["spread"])
    if not is_builtin(model):
        face, bary = _warped(model)
    if model.mediapipe_faces is not None and model.mediapipe_bary is not None:
        chosen = numbering.EMBEDDED
        face, bary, weights = face.copy(), bary.copy(), weights * 0.35
        face[chosen], bary[chosen] = np.asarray(model.mediapipe_faces), np.asarray(model.mediapipe_bary)
        weights[chosen] = 1.0
    use = fitted_points()
    marking = _slides_alone(SLIDE[:, None, None] * data["slides"][:, use])
    return Embedding(use, np.asarray(face)[use], np.asarray(bary)[use], weights[use], marking)


def _slides_alone(slides: Float[np.ndarray, "2 N 3"]) -> Marking:
    """The marking of a head of which no more than the slides is known."""
    count = slides.shape[1]
    still, none = np.zeros((count, 3), np.float32), np.zeros((0, count, 3), np.float32)
    return Marking(still, slides, still, none, none, none)


@functools.cache
def _measured_marking() -> Marking:
    """The built-in head's, measured on renderings of it (`benchmarks/calibrate_marking.py`)."""
    with np.load(_MARKING) as file:
        return Marking(*(file[name].astype(np.float32) for name in Marking._fields))


def fitted_points() -> Int[np.ndarray, "N"]:
    """The points that a fit uses: all published ones, and of the rest, which carry less, every third."""
    rest = np.setdiff1d(np.arange(numbering.MESH), numbering.EMBEDDED)
    return np.union1d(numbering.EMBEDDED, rest[::3])


@functools.cache
def _shipped() -> dict[str, np.ndarray]:
    with np.load(_DATA) as file:
        return {key: file[key] for key in file.files}


def _weights(spread: np.ndarray) -> np.ndarray:
    """Trust from the spread over pictures: 1 for a firm point, little for the outline, which slides as a head turns."""
    weights = 1 / (1 + (spread / 0.0025) ** 2)
    weights[numbering.OVAL] *= 0.3
    weights[numbering.LID_PAIRS.ravel()] *= 3.0  # few points, on which all of a blink rests
    weights[np.r_[numbering.UPPER_LIP[:18], numbering.LOWER_LIP[:18]]] *= 1.7
    return np.asarray(weights, np.float32)


def _warped(model: FlameModel) -> tuple[np.ndarray, np.ndarray]:
    from scipy.interpolate import RBFInterpolator

    vertices, faces = np.asarray(model.v_template, float), np.asarray(model.faces)
    template, own_faces, own = builtin_arrays()
    theirs = np.asarray(landmarks(model, model.v_template), float)
    data = _shipped()
    points = (template[own_faces[data["faces"]]] * data["bary"][..., None]).sum(1)
    use = np.r_[_CHIN, 17:68]
    warp = RBFInterpolator(own[use], theirs[use] - own[use], kernel="thin_plate_spline", smoothing=1e-5)
    points = points + warp(points)
    skin, low = outer_skin(model), np.asarray(model.weights)[faces, 2].mean(1) > 0.5
    face, bary, _ = closest(points, vertices, faces, skin)
    for chosen, side in ((numbering.UPPER_LIP, ~low), (numbering.LOWER_LIP, low)):
        face[chosen], bary[chosen], _ = closest(points[chosen], vertices, faces, skin & side)
    return face, bary
