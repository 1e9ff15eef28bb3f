"""Warp the mesh so that its facial features align with the photo's."""

from __future__ import annotations

import dataclasses

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float
from scipy.interpolate import RBFInterpolator
from scipy.spatial import cKDTree

from gagjax import flame
from gagjax.avatars.avatar import UNITS
from gagjax.avatars.parameters import Parameters
from gagjax.avatars.portrait import zbuffer
from gagjax.avatars.portrait.sighting import Sighting
from gagjax.flame.model import FlameModel

_MOST = 0.012  # maximum displacement by a landmark, metres: more indicates a bad landmark
_SMOOTH = 0.004  # of the spline: landmarks are off by about a millimetre
_REACH = 0.045  # metres from the landmarks over which the warp fades out
_FACING = 0.15  # minimum cosine of a landmark on the visible side
_ROUNDS = 2


def bent(head: FlameModel, sighting: Sighting) -> FlameModel:
    """Warp a person's head so that its landmarks match the photo.

    Landmark residuals on the posed mesh become displacements perpendicular to the line of sight, interpolated over the
    surface by a thin-plate spline and fading out away from the landmarks. Eyeballs move rigidly.

    Args:
        head: The person's head model without shape columns.
        sighting: The photo; without landmarks the head is returned unchanged.
    """
    marks = sighting.marks
    if marks is None:
        return head
    rest, faces = np.asarray(head.v_template, np.float64), np.asarray(head.faces)
    places = (rest[faces[marks.faces]] * marks.bary[..., None]).sum(1)
    fade = np.exp(-((cKDTree(places).query(rest)[0] / _REACH) ** 2))
    for _ in range(_ROUNDS):
        head = _step(head, sighting, places, rest, fade)
    return head


def _step(
    head: FlameModel,
    sighting: Sighting,
    places: Float[np.ndarray, "L 3"],
    rest: Float[np.ndarray, "V 3"],
    fade: Float[np.ndarray, "V"],
) -> FlameModel:
    marks, camera = sighting.marks, sighting.camera
    assert marks is not None
    faces, parameters = np.asarray(head.faces), sighting.parameters
    posed = posed_vertices(head, parameters)
    corners = faces[marks.faces]
    points = zbuffer.into_camera((posed[corners] * marks.bary[..., None]).sum(1), camera)
    normals = np.asarray(flame.normals(head, jnp.asarray(posed, jnp.float32)))[corners]
    turn = np.asarray(camera.viewmat, np.float64)[:3, :3]
    toward = ((normals * marks.bary[..., None]).sum(1) @ turn.T * -points).sum(1) / np.linalg.norm(points, axis=1)
    focal = np.asarray(camera.K, np.float64)[[0, 1], [0, 1]]
    miss = (marks.pixels - zbuffer.onto_picture(points, camera)) * points[:, 2:] / focal / UNITS
    miss = np.concatenate([miss, np.zeros((len(miss), 1))], 1) @ turn  # the head's axes
    length = np.linalg.norm(miss, axis=1, keepdims=True)
    miss *= np.minimum(1, _MOST / np.maximum(length, 1e-9))
    use = (toward > _FACING) & np.isfinite(miss).all(1)
    if use.sum() < 12:
        return head
    unit = 0.05  # length scale of the spline: about the distance between the eyes
    # Coincident points would make the spline's equations singular.
    kept = np.unique(np.round(places[use], 5), axis=0, return_index=True)[1]
    spline = RBFInterpolator(
        places[use][kept] / unit, miss[use][kept], kernel="thin_plate_spline", smoothing=_SMOOTH, degree=1
    )
    move = np.asarray(spline(rest / unit)) * fade[:, None]
    share = np.asarray(head.weights)[:, 3:5]
    for side in range(2):
        ball = share[:, side] > 0.5
        if ball.any():
            move[ball] = move[ball & (rest[:, 2] > np.median(rest[ball, 2]))].mean(0)
    return dataclasses.replace(head, v_template=head.v_template + jnp.asarray(move, jnp.float32))


def posed_vertices(head: FlameModel, parameters: Parameters) -> Float[np.ndarray, "V 3"]:
    """A person's mesh posed as in the photo, metres."""
    posed = flame.vertices(head, jnp.zeros(0), parameters.expression, parameters.pose, parameters.eyes, parameters.neck)
    return np.asarray(posed, np.float64)


def looking(head: FlameModel, sighting: Sighting) -> Sighting:
    """The sighting with the eyes rotated so that the model's irises match the photo's.

    Args:
        head: The person's head.
        sighting: The photo; without irises it is returned unchanged.
    """
    if sighting.irises is None:
        return sighting
    from gagjax.tracking.fit.shot import eye_radius

    parameters, camera = sighting.parameters, sighting.camera
    view = np.asarray(camera.viewmat, np.float64)
    k = np.asarray(camera.K, np.float64)
    centres = np.asarray(
        flame.joints(head, jnp.zeros(0), parameters.expression, parameters.pose, parameters.eyes, parameters.neck)
    )[3:5]
    radius = eye_radius(head) * UNITS
    out = np.asarray(parameters.eyes, np.float64).reshape(2, 3).copy()
    for side in range(2):
        ray = np.append((sighting.irises[side] - k[:2, 2]) / k[[0, 1], [0, 1]], 1.0)
        ray /= np.linalg.norm(ray)
        middle = zbuffer.into_camera(centres[side : side + 1], camera)[0]
        along = ray @ middle
        apart = np.linalg.norm(middle - along * ray)
        if not np.isfinite(apart) or apart > 0.9 * radius:
            continue
        hit = ray * (along - np.sqrt(radius**2 - apart**2))
        direction = (hit - middle) / radius @ view[:3, :3]
        axis = np.cross([0, 0, 1.0], direction)
        sine = np.linalg.norm(axis)
        out[side] = axis / max(sine, 1e-9) * np.arctan2(sine, direction[2])
    new = dataclasses.replace(parameters, eyes=jnp.asarray(out.ravel(), jnp.float32))
    return dataclasses.replace(sighting, parameters=new)
