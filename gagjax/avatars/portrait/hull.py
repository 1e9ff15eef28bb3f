"""Expand the skull until its outline matches the hair's."""

from __future__ import annotations

import dataclasses

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float
from scipy import sparse
from scipy.sparse.linalg import spsolve

from gagjax import flame
from gagjax.avatars.avatar import UNITS
from gagjax.avatars.portrait import pixels, zbuffer
from gagjax.avatars.portrait.bend import posed_vertices
from gagjax.avatars.portrait.parts import Parts
from gagjax.avatars.portrait.sighting import Sighting
from gagjax.flame.model import FlameModel

_STEPS = np.linspace(-0.025, 0.07, 64)  # metres along the normal at which the matte is sampled
_SIDEWAYS = 0.35  # cosine below which a normal counts as parallel to the image plane
_SMOOTH = 0.6


def swollen(head: FlameModel, parts: Parts, sighting: Sighting) -> FlameModel:
    """A person's head with hair volume added to the skull according to the photo's matte.

    Where the skull's normals are perpendicular to the line of sight, the matte gives the hair's thickness; it is
    interpolated over the rest of the skull and ends at the hairline.

    Args:
        head: The person's head.
        parts: Its parts.
        sighting: The photo.
    """
    posed = posed_vertices(head, sighting.parameters)
    camera, faces = sighting.camera, np.asarray(head.faces)
    normals = np.asarray(flame.normals(head, jnp.asarray(posed, jnp.float32)), np.float64)
    turn = np.asarray(camera.viewmat, np.float64)[:3, :3]
    points = zbuffer.into_camera(posed, camera)
    across = np.abs((normals @ turn.T * points).sum(1)) / np.linalg.norm(points, axis=1)
    asked = np.flatnonzero((across < _SIDEWAYS) & (parts.scalp > 0.5))
    if len(asked) < 8:
        return head
    ladder = points[asked, None] + (normals[asked] @ turn.T)[:, None] * (_STEPS * UNITS)[:, None]
    plane = zbuffer.onto_picture(ladder.reshape(-1, 3), camera)
    asked_matte = pixels.sampled(np.asarray(sighting.matte, np.float64), plane)
    inside = np.asarray(asked_matte.reshape(ladder.shape[:2]) > 0.5)
    limits = np.array([camera.width, camera.height]) - 1
    within = np.all((plane > 1) & (plane < limits), axis=1).reshape(inside.shape)
    ends = np.argmin(inside, 1)  # the first step outside
    known = inside[:, 0] & ~inside.all(1) & within[np.arange(len(asked)), ends]
    if known.sum() < 8:
        return head
    stand = np.zeros(len(posed))
    sure = np.zeros(len(posed))
    stand[asked[known]] = _STEPS[np.maximum(ends[known] - 1, 0)]
    sure[asked[known]] = (1 - across[asked[known]] / _SIDEWAYS) * parts.scalp[asked[known]]
    out = _spread(faces, stand, sure, parts.scalp)
    rest = flame.normals(head, head.v_template)
    return dataclasses.replace(head, v_template=head.v_template + jnp.asarray(out[:, None], jnp.float32) * rest)


def _spread(
    faces: np.ndarray, values: Float[np.ndarray, "V"], sure: Float[np.ndarray, "V"], where: Float[np.ndarray, "V"]
) -> Float[np.ndarray, "V"]:
    """Smooth values over the surface, zero outside the skull."""
    count = len(values)
    edges = np.unique(np.sort(faces[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), 1), axis=0)
    graph = sparse.coo_matrix((np.ones(len(edges)), (edges[:, 0], edges[:, 1])), (count, count))
    graph = graph + graph.T
    laplacian = sparse.diags(np.asarray(graph.sum(1)).ravel()) - graph
    bare = 10.0 * (where < 0.05) + 1e-4
    left = sparse.diags(sure + bare) + _SMOOTH * laplacian
    return np.asarray(spsolve(left.tocsc(), sure * values))
