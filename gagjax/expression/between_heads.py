"""A track's coefficients from one FLAME model to another: FLAME 2020 to FLAME 2023, say, or any two of a user's.

Shape and expression coefficients of the other model are those whose meshes come nearest to the first one's, by least squares
over vertices that correspond: the same numbers where both have one mesh, else places that landmarks tie together. Turns of
jaw, eyes and neck mean the same in both and stay. How far the posed meshes are apart is measured and reported.
"""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from gagjax.flame.correspondence import Places, places_on, vertex_weights
from gagjax.flame.model import FlameModel, vertices
from gagjax.track import SHAPES, Track

MILLIMETRES = 1000.0
#: Cost of a unit coefficient, square millimetres: only columns that two models do not share are held back by it.
RIDGE = 1e-7
#: Frames on which posed meshes are compared.
MEASURED = 100


class Carried(NamedTuple):
    """A track on another model, and how near its meshes come.

    Attributes:
        track: The track with the other model's coefficients.
        shape: Mean distance of the heads at rest, millimetres; 0 where the track has no shape.
        expression: Mean distance of the expressions' displacements, millimetres.
        posed: Mean distance of the posed meshes, millimetres.
        worst: The largest distance of a vertex of the posed meshes, millimetres.
    """

    track: Track
    shape: float
    expression: float
    posed: float
    worst: float


def carried_over(track: Track, model: FlameModel, other: FlameModel) -> Carried:
    """A track of one model as one of another.

    Args:
        track: The track, with the coefficients of `model`.
        model: Its model.
        other: The model whose coefficients are wanted; with 68 landmarks where its mesh is another.

    Returns:
        The track and the distances.

    Raises:
        InputError: If the meshes differ and one model has fewer landmarks.
    """
    places = None if _one_mesh(model, other) else places_on(other, model)
    rows = np.arange(len(other.v_template)) if places is None else places.vertices
    weights = vertex_weights(other)[rows]
    weights = weights / weights.sum()

    def seen(field: np.ndarray, *, placed: bool = False) -> np.ndarray:
        """A field of the first model's vertices (V, 3, ...) at the other's: displacements in its size, or places."""
        if places is None:
            return field
        found = places.carried(field, np.asarray(model.faces))
        return found / places.scale if placed else found

    shape, apart = track.shape, 0.0
    if shape is not None:
        people = np.atleast_2d(np.asarray(shape, np.float64))
        count, wanted_count = min(model.shapes, SHAPES), min(other.shapes, SHAPES)
        basis = np.asarray(model.shapedirs, np.float64)[..., :count]
        rest = seen(np.asarray(model.v_template, np.float64), placed=True)
        wanted = (rest - np.asarray(other.v_template, np.float64)[rows])[:, :, None] + seen(basis) @ people[:, :count].T
        own = np.asarray(other.shapedirs, np.float64)[rows][..., :wanted_count]
        found, apart = _fit(own, wanted, weights)
        padded = np.pad(found.T, ((0, 0), (0, SHAPES - wanted_count))).astype(np.float32)
        shape = padded if np.asarray(track.shape).ndim == 2 else padded[0]
    wanted = seen(np.asarray(model.expression_basis, np.float64)) @ np.asarray(track.expression, np.float64).T
    found, off = _fit(np.asarray(other.expression_basis, np.float64)[rows], wanted, weights)
    made = dataclasses.replace(track, shape=shape, expression=found.T.astype(np.float32))
    posed, worst = _apart(track, made, model, other, places)
    return Carried(made, apart, off, posed, worst)


def _one_mesh(model: FlameModel, other: FlameModel) -> bool:
    return np.shape(model.faces) == np.shape(other.faces) and bool(
        (np.asarray(model.faces) == np.asarray(other.faces)).all()
    )


def _fit(
    basis: Float[np.ndarray, "N 3 K"], wanted: Float[np.ndarray, "N 3 T"], weights: Float[np.ndarray, "N"]
) -> tuple[Float[np.ndarray, "K T"], float]:
    """Coefficients nearest to the wanted displacements, metres, and the mean distance that is left, millimetres."""
    root = np.sqrt(weights)[:, None, None] * MILLIMETRES
    system = (basis * root).reshape(-1, basis.shape[2])
    right = (wanted * root).reshape(len(system), -1)
    normal = system.T @ system + RIDGE * np.eye(system.shape[1])
    found = np.linalg.solve(normal, system.T @ right)
    left = np.linalg.norm(np.einsum("nck,kt->nct", basis, found) - wanted, axis=1)
    return found, float(MILLIMETRES * (weights @ left).mean())


def _apart(
    track: Track, made: Track, model: FlameModel, other: FlameModel, places: Places | None
) -> tuple[float, float]:
    frames = np.unique(np.linspace(0, len(track) - 1, min(len(track), MEASURED)).astype(int)).tolist()

    def mesh(each: Track, head: FlameModel, i: int) -> np.ndarray:
        shape = np.zeros(0, np.float32) if each.shape is None else np.asarray(each.shape, np.float32)
        own = (shape[i] if shape.ndim == 2 else shape)[: head.shapes]
        pose = np.concatenate([np.zeros(3, np.float32), np.asarray(each.jaw)[i]])
        neck = None if each.neck is None else np.asarray(each.neck)[i]
        return np.asarray(
            vertices(head, own, np.asarray(each.expression)[i], pose, np.asarray(each.eyes)[i], neck), np.float64
        )

    distances = []
    for i in frames:
        first, second = mesh(track, model, i), mesh(made, other, i)
        if places is not None:
            first = places.carried(first, np.asarray(model.faces)) / places.scale
            second = second[places.vertices]
        distances.append(MILLIMETRES * np.linalg.norm(first - second, axis=1))
    return float(np.mean(distances)), float(np.max(distances))
