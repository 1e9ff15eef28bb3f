"""Marching tetrahedra against a float64 oracle without a table, and the laws of a closed surface."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gagjax.avatars.personal.sdf import tetrahedra
from gagjax.errors import InputError
from tests.oracles import marching_tetrahedra as oracle

GRID = tetrahedra.box(np.full(3, -1.0), np.full(3, 1.0), 0.25)


def sphere(points: np.ndarray, radius: float = 0.7, centre: tuple[float, ...] = (0.03, -0.02, 0.05)) -> np.ndarray:
    return np.linalg.norm(points - np.array(centre), axis=-1) - radius


def torus(points: np.ndarray) -> np.ndarray:
    ring = np.hypot(points[:, 0], points[:, 1]) - 0.55
    return np.hypot(ring, points[:, 2]) - 0.27


def mesh(distances: np.ndarray, capacity: int = 4000) -> tuple[np.ndarray, np.ndarray, tetrahedra.Surface]:
    found = tetrahedra.surface(GRID, np.asarray(distances, np.float32), capacity=capacity)
    used, kept = np.asarray(found.used), np.asarray(found.used_faces)
    return np.asarray(found.vertices)[used], np.asarray(found.faces)[kept], found


def euler(vertices: np.ndarray, faces: np.ndarray) -> int:
    edges = np.unique(np.sort(faces[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2), 1), axis=0)
    return len(vertices) - len(edges) + len(faces)


def test_the_grid_fills_its_box_with_tetrahedra_of_one_orientation() -> None:
    corners = np.asarray(GRID.vertices, np.float64)[np.asarray(GRID.tetrahedra)]
    volumes = np.linalg.det(corners[:, 1:] - corners[:, :1]) / 6
    assert (volumes > 0).all()
    np.testing.assert_allclose(volumes.sum(), 8, rtol=1e-6)
    # A face belongs to two tetrahedra, or lies on the box.
    faces = np.sort(np.asarray(GRID.tetrahedra)[:, [[0, 1, 2], [0, 1, 3], [0, 2, 3], [1, 2, 3]]].reshape(-1, 3), 1)
    unique, count = np.unique(faces, axis=0, return_counts=True)
    alone = np.asarray(GRID.vertices)[unique[count == 1]]
    assert count.max() == 2
    assert (np.abs(np.abs(alone) - 1) < 1e-6).all(1).any(1).all()


@pytest.mark.parametrize(("field", "characteristic"), [(sphere, 2), (torus, 0)])
def test_a_surface_is_closed_oriented_and_of_the_right_kind(field, characteristic) -> None:
    vertices, faces, _ = mesh(field(GRID.vertices))
    assert euler(vertices, faces) == characteristic
    directed = faces[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2)
    pairs, count = np.unique(directed, axis=0, return_counts=True)
    assert (count == 1).all()  # each edge once in each direction: closed, and oriented alike
    assert {tuple(x) for x in pairs} == {tuple(x) for x in pairs[:, ::-1]}
    corners = vertices[faces].astype(np.float64)
    assert np.linalg.det(corners).sum() / 6 > 0.3  # outward


@pytest.mark.parametrize("seed", [0, 1])
def test_equals_the_oracle(seed: int) -> None:
    rng = np.random.default_rng(seed)
    distances = np.float32(sphere(GRID.vertices, 0.6) + 0.15 * rng.normal(size=len(GRID.vertices)))
    vertices, faces, found = mesh(distances)
    crossings, triangles = oracle.surface(GRID.vertices, GRID.tetrahedra, distances)
    edges = np.asarray(GRID.edges)[np.asarray(found.edges)[np.asarray(found.used)]]
    assert [tuple(e) for e in edges] == sorted(crossings)
    wanted = np.array([crossings[tuple(e)] for e in edges])
    np.testing.assert_allclose(vertices, wanted, atol=2e-6)
    assert len(faces) == len(triangles)
    own = oracle.volume(
        {(int(a), int(b)): v for (a, b), v in zip(edges, vertices.astype(np.float64), strict=True)},
        [[(int(edges[i][0]), int(edges[i][1])) for i in face] for face in faces],
    )
    np.testing.assert_allclose(own, oracle.volume(crossings, triangles), rtol=2e-2)  # diagonals may differ


def test_volume_and_area_of_a_sphere_converge() -> None:
    errors = []
    for step in (0.4, 0.2, 0.1):
        grid = tetrahedra.box(np.full(3, -1.0), np.full(3, 1.0), step)
        found = tetrahedra.surface(grid, np.float32(sphere(grid.vertices)), capacity=12_000)
        corners = np.asarray(found.vertices, np.float64)[np.asarray(found.faces)[np.asarray(found.used_faces)]]
        errors.append(abs(np.linalg.det(corners).sum() / 6 / (4 / 3 * np.pi * 0.7**3) - 1))
    assert errors[0] > 3 * errors[1] > 9 * errors[2]  # second order
    assert errors[2] < 0.02


def test_gradients_in_distances_and_places_are_those_of_differences() -> None:
    weight = np.random.default_rng(1).normal(size=(4000, 3))
    distances = sphere(GRID.vertices)

    def moment(d: np.ndarray, v: np.ndarray) -> float:
        crossings, _ = oracle.surface(v, GRID.tetrahedra, d)
        return float(sum((weight[k] * crossings[e]).sum() for k, e in enumerate(sorted(crossings))))

    def own(d, v):
        found = tetrahedra.surface(GRID, d, v, capacity=4000)
        return (jnp.asarray(weight, jnp.float32) * found.vertices * found.used[:, None]).sum()

    by_distance, by_place = jax.grad(own, (0, 1))(jnp.asarray(distances, jnp.float32), jnp.asarray(GRID.vertices))
    assert np.isfinite(np.asarray(by_distance)).all()
    for row in np.flatnonzero(np.abs(np.asarray(by_distance)) > 0.1)[:4]:
        change = np.zeros(len(distances))
        change[row] = 1e-6
        wanted = (moment(distances + change, GRID.vertices) - moment(distances - change, GRID.vertices)) / 2e-6
        np.testing.assert_allclose(by_distance[row], wanted, rtol=1e-3, atol=1e-3)
        move = np.zeros((len(distances), 3))
        move[row, 1] = 1e-6
        places = np.asarray(GRID.vertices, np.float64)
        wanted = (moment(distances, places + move) - moment(distances, places - move)) / 2e-6
        np.testing.assert_allclose(by_place[row, 1], wanted, rtol=1e-3, atol=1e-3)


def test_padding_is_finite_and_too_small_a_capacity_leaves_out() -> None:
    full = tetrahedra.surface(GRID, np.float32(sphere(GRID.vertices)), capacity=4000)
    assert np.isfinite(np.asarray(full.vertices)).all()
    small = tetrahedra.surface(GRID, np.float32(sphere(GRID.vertices)), capacity=100)
    assert np.asarray(small.used).all()
    assert np.asarray(small.faces).max() < 100
    empty = tetrahedra.surface(GRID, np.ones(len(GRID.vertices), np.float32), capacity=50)
    assert not np.asarray(empty.used).any()
    assert not np.asarray(empty.used_faces).any()
    gradient = jax.grad(lambda d: tetrahedra.surface(GRID, d, capacity=50).vertices.sum())(jnp.ones(len(GRID.vertices)))
    assert not np.asarray(gradient).any()


@pytest.mark.parametrize(
    ("high", "step"), [((0.0, 1.0, 1.0), 0.1), ((1.0, 1.0, 1.0), 0.001), ((1.0, np.nan, 1.0), 0.1)]
)
def test_refuses_what_is_no_grid(high, step) -> None:
    with pytest.raises(InputError, match="grid"):
        tetrahedra.box(np.zeros(3), np.array(high), step)
