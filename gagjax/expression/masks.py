"""Face regions as soft vertex weights that sum to one, from the model's masks or its landmarks."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float

from gagjax.errors import InputError
from gagjax.flame.model import FlameModel

REST = "rest"
# iBUG landmark indices that seed each region. Cheeks and forehead have none: see `_seeds`.
_AROUND = {
    "brows": range(17, 27),
    "nose": range(27, 36),
    "lids": range(36, 48),
    "mouth": range(48, 68),
    "jaw": range(4, 13),
}
_LEAST = 0.02  # weights below this become zero, so that regions have bounded support


def region_weights(model: FlameModel, *, softness: float = 0.004) -> dict[str, Float[np.ndarray, "V"]]:
    """The face's regions as soft weights that sum to one at every vertex.

    A model with masks keeps its own regions: where they overlap the smaller one wins ("lips" over "face"), hard masks
    are blurred along the mesh, and uncovered vertices are "rest". A model without masks gets eyes, lids, brows, nose,
    mouth, jaw, cheeks, forehead and neck: each vertex is softly assigned to the nearest region along the surface;
    eyeballs and neck are assigned by skinning weights.

    Args:
        model: The head.
        softness: Width of the borders, metres.

    Returns:
        Weights in [0, 1] by region name, (V,) each, "rest" last; exactly zero outside a region's soft border.

    Raises:
        InputError: If the model has neither masks nor 68 landmarks.
    """
    if model.masks:
        weights = _from_masks(model, softness)
    elif len(model.landmark_faces) >= 68:
        weights = _from_landmarks(model, softness)
    else:
        raise InputError(
            "has neither masks nor 68 landmarks",
            field="model",
            fix="Put FLAME_masks.pkl beside the model file, or load FLAME_with_eye.pt",
        )
    stacked = np.stack(list(weights.values())).astype(np.float64)
    stacked = np.where(stacked < _LEAST, 0.0, stacked)
    stacked /= stacked.sum(0)
    return {name: row.astype(np.float32) for name, row in zip(weights, stacked, strict=True) if row.any()}


def vertex_areas(model: FlameModel) -> Float[np.ndarray, "V"]:
    """Surface area of the mean head per vertex, square metres."""
    points, faces = np.asarray(model.v_template, np.float64), np.asarray(model.faces)
    a, b, c = (points[faces[:, k]] for k in range(3))
    area = np.linalg.norm(np.cross(b - a, c - a), axis=1) / 6.0
    return np.bincount(faces.reshape(-1), np.repeat(area, 3), minlength=len(points))


def _from_masks(model: FlameModel, softness: float) -> dict[str, np.ndarray]:
    masks = {name: np.asarray(value, np.float64) for name, value in model.masks.items()}
    hard = all(np.isin(value, (0.0, 1.0)).all() for value in masks.values())
    free = np.ones(len(model.v_template))
    weights: dict[str, np.ndarray] = {}
    for name in sorted(masks, key=lambda name: masks[name].sum()):
        weights[name] = np.minimum(np.clip(masks[name], 0.0, 1.0), free)
        free = free - weights[name]
    weights = {name: weights[name] for name in masks} | {REST: free + weights.get(REST, 0.0)}
    if hard:
        weights = dict(zip(weights, _blurred(model, np.stack(list(weights.values())), softness), strict=True))
    return weights


def _blurred(model: FlameModel, values: np.ndarray, width: float) -> np.ndarray:
    """Values diffused over the mesh by about `width`; preserves a partition of unity."""
    from scipy.sparse import coo_matrix

    edges, lengths = _edges(model)
    if not len(edges):
        return values
    count = values.shape[1]
    pairs = np.concatenate([edges, edges[:, ::-1]])
    linked = coo_matrix((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), (count, count)).tocsr()
    linked.data[:] = 1.0
    degree = np.asarray(linked.sum(1)).reshape(-1)
    # Each round moves half of a value along one edge: a random walk of n rounds spreads over sqrt(n / 2) edges.
    rounds = int(np.clip(2.0 * (width / max(np.median(lengths), 1e-6)) ** 2, 1, 50))
    for _ in range(rounds):
        mean = (linked @ values.T).T / np.maximum(degree, 1.0)
        values = np.where(degree > 0, 0.5 * values + 0.5 * mean, values)
    return values


def _from_landmarks(model: FlameModel, softness: float) -> dict[str, np.ndarray]:
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import dijkstra

    points = np.asarray(model.v_template, np.float64)
    eyeballs = np.clip(np.asarray(model.weights, np.float64)[:, 3:5].sum(1), 0.0, 1.0)
    edges, lengths = _edges(model)
    graph = coo_matrix((np.maximum(lengths, 1e-9), (edges[:, 0], edges[:, 1])), (len(points), len(points))).tocsr()
    seeds, unit = _seeds(model, points, eyeballs > 0.5)
    distances = {}
    for name, numbers in seeds.items():
        distances[name] = dijkstra(graph, directed=False, indices=numbers, min_only=True)
    # A vertex far from every region belongs to none; a quarter of the outer eye-corner distance is about 2 cm.
    distances[REST] = np.full(len(points), 0.35 * unit)
    if "neck" in distances:
        distances["neck"] = np.maximum(distances["neck"] - 0.1 * unit, 0.0)
    stacked = np.stack(list(distances.values()))
    share = np.exp(-(stacked - stacked.min(0)) / softness)
    share = share / share.sum(0) * (1.0 - eyeballs)
    return {"eyes": eyeballs} | dict(zip(distances, share, strict=True))


def _seeds(model: FlameModel, points: np.ndarray, eyeball: np.ndarray) -> tuple[dict[str, np.ndarray], float]:
    """Seed vertices of each region, and the distance between the outer eye corners."""
    corners = points[np.asarray(model.faces)[np.asarray(model.landmark_faces)]]
    marks = (corners * np.asarray(model.landmark_bary, np.float64)[..., None]).sum(1)
    unit = float(np.linalg.norm(marks[36] - marks[45]))
    skin = np.flatnonzero(~eyeball)

    def nearest(places: np.ndarray) -> np.ndarray:
        off = np.linalg.norm(points[skin][None] - places[:, None], axis=-1)
        return np.unique(skin[off.argmin(1)])

    def between(a: np.ndarray, b: np.ndarray, count: int) -> np.ndarray:
        return a + np.linspace(0.0, 1.0, count)[:, None] * (b - a)

    seeds = {name: nearest(marks[list(numbers)]) for name, numbers in _AROUND.items()}
    cheeks = []
    for eye, wing, corner, edge in ((36, 31, 48, 2), (45, 35, 54, 14)):
        middle = 0.4 * marks[eye] + 0.3 * marks[corner] + 0.3 * marks[edge]
        low = 0.35 * marks[eye] + 0.4 * marks[wing] + 0.25 * marks[edge]
        cheeks.append(between(middle, low, 4))
        cheeks.append(between(middle, 0.5 * (marks[corner] + marks[edge]), 3))
    seeds["cheeks"] = nearest(np.concatenate(cheeks))
    up = marks[17:27]
    rise = 0.3 * unit * (marks[27] - marks[8]) / np.linalg.norm(marks[27] - marks[8])
    seeds["forehead"] = nearest(np.concatenate([up + rise, up + 1.6 * rise]))
    # The neck has no landmark nearby and moves with the root: its skinning weights identify it best.
    rooted = np.asarray(model.weights)[:, 0] > 0.6
    if rooted.any():
        seeds["neck"] = np.flatnonzero(rooted)
    return seeds, unit


def _edges(model: FlameModel) -> tuple[np.ndarray, np.ndarray]:
    faces = np.asarray(model.faces)
    edges = np.unique(np.sort(np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]), 1), axis=0)
    points = np.asarray(model.v_template, np.float64)
    return edges, np.linalg.norm(points[edges[:, 0]] - points[edges[:, 1]], axis=1)


def gain_vector(names: tuple[str, ...], gains: Mapping[str, object]) -> list[object]:
    """Gains in region order, 1 where none is given.

    Raises:
        InputError: If a region is unknown.
    """
    unknown = sorted(set(gains) - set(names))
    if unknown:
        raise InputError(f"has no region {', '.join(unknown)}", field="gains", fix=f"There are {', '.join(names)}")
    return [gains.get(name, 1.0) for name in names]
