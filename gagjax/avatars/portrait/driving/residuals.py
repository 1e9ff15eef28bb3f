"""What the coefficients of a track leave over: the driver's landmarks, followed by the avatar's mesh.

A driver's landmarks lie a few millimetres from those of the head that was fitted to them. What is constant about that is
the driver's identity; what changes is performance that the coefficients do not express (lips, lids, brows) and error of
the fitted pose. The change relative to a reference frame is added to the avatar's mesh.
"""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int
from scipy.interpolate import RBFInterpolator
from scipy.spatial import cKDTree

from gagjax import flame
from gagjax.avatars.avatar import UNITS
from gagjax.avatars.parameters import Parameters
from gagjax.avatars.portrait import zbuffer
from gagjax.avatars.portrait.bend import posed_vertices
from gagjax.avatars.portrait.parts import smoothstep
from gagjax.flame.model import FlameModel

_MOST = 0.012  # maximum displacement, metres: more indicates a bad landmark
_REACH = 0.045  # metres from the landmarks over which the displacement fades out
_SMOOTH = 0.01  # of the spline
_UNIT = 0.05  # its length scale, metres: about the distance between the eyes


class Warp(NamedTuple):
    """A linear map from displacements of landmarks to displacements of a head's vertices.

    Attributes:
        faces: Triangle of each landmark, (L,).
        bary: Barycentric coordinates in it, (L, 3).
        spread: The map, (V, L).
    """

    faces: Int[np.ndarray, "L"]
    bary: Float[np.ndarray, "L 3"]
    spread: Float[np.ndarray, "V L"]

    def moved(self, shifts: Float[np.ndarray, "L 3"]) -> Float[np.ndarray, "V 3"]:
        """Displacements of the vertices, metres.

        Args:
            shifts: Displacements of the landmarks, head axes, metres.
        """
        return np.asarray(self.spread @ shifts, np.float32)


def warp_of(head: FlameModel, faces: Int[np.ndarray, "L"], bary: Float[np.ndarray, "L 3"]) -> Warp:
    """The warp of a head by its landmarks.

    Args:
        head: The avatar's head, without shape columns.
        faces: Triangle of each landmark.
        bary: Barycentric coordinates in it.
    """
    rest, triangles = np.asarray(head.v_template, np.float64), np.asarray(head.faces)
    places = (rest[triangles[faces]] * bary[..., None]).sum(1)
    # Coincident points would make the spline's equations singular.
    kept = np.unique(np.round(places, 5), axis=0, return_index=True)[1]
    spline = RBFInterpolator(
        places[kept] / _UNIT, np.eye(len(kept)), kernel="thin_plate_spline", smoothing=_SMOOTH, degree=1
    )
    near = np.exp(-((cKDTree(places).query(rest)[0] / _REACH) ** 2))
    spread = np.zeros((len(rest), len(faces)), np.float32)
    spread[:, kept] = spline(rest / _UNIT) * near[:, None]
    share = np.asarray(head.weights)[:, 3:5]
    for side in range(2):  # eyeballs move rigidly
        ball = share[:, side] > 0.5
        if ball.any():
            spread[ball] = spread[ball & (rest[:, 2] > np.median(rest[ball, 2]))].mean(0)
    return Warp(np.asarray(faces), np.asarray(bary), spread)


def misses(
    head: FlameModel, warp: Warp, parameters: Parameters, pixels: Float[np.ndarray, "L 2"]
) -> tuple[Float[np.ndarray, "L 3"], Float[np.ndarray, "L"]]:
    """Displacements that bring a posed head's landmarks onto a picture's.

    Args:
        head: The person's head, without shape columns.
        warp: Of that head, or another of the same topology.
        parameters: The frame, with its camera.
        pixels: The landmarks in the picture.

    Returns:
        Displacements across the line of sight, head axes, metres; and how surely each landmark is visible, 0 to 1.
    """
    camera = parameters.camera
    assert camera is not None
    posed, corners = posed_vertices(head, parameters), np.asarray(head.faces)[warp.faces]
    points = zbuffer.into_camera((posed[corners] * warp.bary[..., None]).sum(1), camera)
    normals = np.asarray(flame.normals(head, jnp.asarray(posed, jnp.float32)))[corners]
    turn = np.asarray(camera.viewmat, np.float64)[:3, :3]
    toward = ((normals * warp.bary[..., None]).sum(1) @ turn.T * -points).sum(1) / np.linalg.norm(points, axis=1)
    focal = np.asarray(camera.K, np.float64)[[0, 1], [0, 1]]
    off = (pixels - zbuffer.onto_picture(points, camera)) * points[:, 2:] / focal / UNITS
    known = np.isfinite(off).all(1)
    out = np.concatenate([np.where(known[:, None], off, 0), np.zeros((len(off), 1))], 1) @ turn
    return out, smoothstep(0.05, 0.3, toward) * known


def change(
    now: tuple[Float[np.ndarray, "L 3"], Float[np.ndarray, "L"]],
    then: tuple[Float[np.ndarray, "L 3"], Float[np.ndarray, "L"]],
) -> Float[np.ndarray, "L 3"]:
    """The change of `misses` from a reference frame to a frame, where both show the landmark.

    Args:
        now: The frame's.
        then: The reference frame's.

    Returns:
        Displacements, head axes, metres; at most 12 mm.
    """
    off = (now[0] - then[0]) * (now[1] * then[1])[:, None]
    length = np.linalg.norm(off, axis=1, keepdims=True)
    return np.asarray(off * np.minimum(1, _MOST / np.maximum(length, 1e-9)))
