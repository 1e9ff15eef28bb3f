"""The base layer under the photo's pixels: Gaussians over the whole head, coloured from the nearest known colours."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy import sparse
from scipy.sparse.linalg import factorized
from scipy.spatial import cKDTree

from gagjax.avatars.builtin import sampling
from gagjax.avatars.portrait.parts import EYE, INSIDE, RIM, SKIN, TEETH, TONGUE, Parts
from gagjax.flame.model import FlameModel

#: Edge of a lattice cell by part, metres.
_CELLS = {SKIN: 0.0034, RIM: 0.0014, EYE: 0.0011, INSIDE: 0.0032, TEETH: 0.0018, TONGUE: 0.003}
_FINE = 0.0017  # around facial features
_DIFFUSION, _PRIOR, _MIRROR = 0.05, 2e-6, 0.25
_DEFAULTS = {TEETH: (0.60, 0.55, 0.47), TONGUE: (0.30, 0.08, 0.075), EYE: (0.7, 0.68, 0.66)}
#: Distance over which the mouth interior darkens behind the lips, metres.
_DARK = {INSIDE: 0.009, TEETH: 0.03, TONGUE: 0.02}


class Ground(NamedTuple):
    """Gaussians over the whole mesh.

    Attributes:
        placed: In affine triangle frames.
        bary: Barycentric coordinates, (N, 3).
        part: (N,).
        cell: Edge of each Gaussian's lattice cell, metres, (N,).
    """

    placed: sampling.Placed
    bary: Float[np.ndarray, "N 3"]
    part: np.ndarray
    cell: Float[np.ndarray, "N"]


def cover(model: FlameModel, parts: Parts) -> Ground:
    """A lattice of Gaussians over a person's mesh at rest."""
    v, f = np.asarray(model.v_template, np.float64), np.asarray(model.faces)
    cell = np.array([_CELLS[k] for k in range(len(_CELLS))])[parts.of]
    near = parts.face[f].all(1) & (parts.of == SKIN)
    cell = np.where(near, _FINE, cell)
    placed = sampling.tiles(v, f, cell)
    bary = np.concatenate([1 - placed.offsets[:, :2].sum(1, keepdims=True), placed.offsets[:, :2]], 1)
    return Ground(placed, bary, parts.of[placed.triangles], cell[placed.triangles])


def sunk(ground: Ground, model: FlameModel, share: Float[np.ndarray, "N"]) -> Ground:
    """The ground moved inwards where finer Gaussians cover it, so that it does not occlude them.

    Args:
        ground: The ground.
        model: Its mesh.
        share: Coverage of each Gaussian, 0 to 1.
    """
    v, f = np.asarray(model.v_template, np.float64), np.asarray(model.faces)
    length = np.linalg.norm(sampling.axes(v, f)[:, :, 2], axis=1)[ground.placed.triangles]
    offsets = ground.placed.offsets.copy()
    offsets[:, 2] -= share * 0.8 * ground.cell / np.maximum(length, 1e-6)
    return ground._replace(placed=ground.placed._replace(offsets=offsets))


def fill(
    ground: Ground,
    model: FlameModel,
    rest: Float[np.ndarray, "V 3"],
    own: Float[np.ndarray, "N 3"],
    sure: Float[np.ndarray, "N"],
    scalp: Float[np.ndarray, "V"],
) -> Float[np.ndarray, "N 3"]:
    """Albedo for all of the ground: from the photo where visible, else from the mirrored side, else from neighbours.

    Args:
        ground: The ground.
        model: Its mesh.
        rest: Vertices of a symmetric head, for mirroring.
        own: Linear albedo from the photo, (N, 3).
        sure: Visibility of each, 0 to 1.
        scalp: Possible hair cover of each vertex, which keeps hair and skin colours apart.
    """
    faces = np.asarray(model.faces)
    skin = np.isin(ground.part, (SKIN, RIM))
    places = (rest[faces[ground.placed.triangles]] * ground.bary[..., None]).sum(1)
    other = np.arange(len(places))
    index = np.flatnonzero(skin)
    other[index] = index[cKDTree(places[index]).query(places[index] * [-1, 1, 1])[1]]
    mirrored = _MIRROR * sure[other] * skin * (1 - sure)
    direct = np.where(skin, sure, 0)
    usual = np.median(own[skin & (sure > 0.5)], 0) if (skin & (sure > 0.5)).any() else np.array([0.5, 0.33, 0.26])
    corners = faces[ground.placed.triangles]
    hairy = (scalp[corners] * ground.bary).sum(1)
    known = np.where((direct > 0)[:, None], own, own[other])
    where = (faces, len(rest), ground.placed.triangles, ground.bary, known)
    heard = direct + 0.2 * mirrored
    # Separate colour fields for skin and hair, so that neither bleeds into the other in unobserved areas.
    low = (diffused(*where, heard * (1 - hairy), usual)[corners] * ground.bary[..., None]).sum(1)
    if (heard * hairy).sum() > 1:
        hair = (diffused(*where, heard * hairy**2, usual)[corners] * ground.bary[..., None]).sum(1)
        low = low + hairy[:, None] * (hair - low)
    total = direct + mirrored + 0.02
    out = (direct[:, None] * own + mirrored[:, None] * own[other] + 0.02 * low) / total[:, None]
    for part, colour in _DEFAULTS.items():
        out[ground.part == part] = colour
    for part, length in _DARK.items():
        inner = ground.part == part
        if inner.any():
            depth = places[inner, 2].max() - places[inner, 2]
            out[inner] *= np.exp(-depth / length)[:, None] * (1 - 0.05) + 0.05
    return out


def diffused(
    faces: np.ndarray,
    count: int,
    triangles: np.ndarray,
    bary: Float[np.ndarray, "N 3"],
    values: Float[np.ndarray, "N 3"],
    weights: Float[np.ndarray, "N"],
    prior: Float[np.ndarray, "3"],
) -> Float[np.ndarray, "V 3"]:
    """Vertex values that are smooth along the surface and close to weighted samples on it."""
    corners = faces[triangles]
    heavy = bary * weights[:, None]
    known = np.bincount(corners.ravel(), heavy.ravel(), count)
    right = np.stack(
        [np.bincount(corners.ravel(), (heavy * values[:, c, None]).ravel(), count) for c in range(values.shape[1])], -1
    )
    edges = np.unique(np.sort(faces[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), 1), axis=0)
    a, b = edges.T
    ones = np.ones(len(a))
    graph = sparse.coo_matrix((ones, (a, b)), (count, count))
    degree = np.bincount(edges.ravel(), minlength=count).astype(float)
    laplacian = sparse.diags(degree) - graph - graph.T
    solve = factorized((sparse.diags(known + _PRIOR) + _DIFFUSION * laplacian).tocsc())
    wanted = right + _PRIOR * prior
    return np.stack([solve(wanted[:, c]) for c in range(wanted.shape[1])], -1)
