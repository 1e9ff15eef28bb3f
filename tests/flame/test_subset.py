"""A model cut down to landmarks is exact; apertures measure what they say."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gagjax import flame
from gagjax.flame.eye_aspect_ratio import lid_aperture, lip_aperture
from gagjax.flame.subset import at_landmarks, restrict
from tests.oracles import flame as oracle


def test_a_restricted_model_poses_its_vertices_as_the_whole_does():
    model, rng = oracle.golden_model(), np.random.default_rng(0)
    args = [rng.normal(size=n).astype(np.float32) for n in (300, 100, 6, 6, 3)]
    keep = np.array([3, 100, 5022])
    small = flame.vertices(restrict(model, keep), *args)
    np.testing.assert_allclose(small[:3], flame.vertices(model, *args)[keep], atol=3e-6)
    np.testing.assert_allclose(small[3:], flame.joints(model, *args), atol=3e-6)


def test_landmarks_of_the_small_model_are_those_of_the_whole():
    model, rng = oracle.golden_model(), np.random.default_rng(1)
    args = [rng.normal(size=n).astype(np.float32) for n in (300, 100, 6, 6)]
    small = at_landmarks(model)
    assert len(small.v_template) < 0.05 * len(model.v_template)
    expected = flame.landmarks(model, flame.vertices(model, *args))
    np.testing.assert_allclose(flame.landmarks(small, flame.vertices(small, *args)), expected, atol=3e-6)


def face(lids: tuple[float, float], lips: float) -> np.ndarray:
    """68 landmarks of which only eyes and inner lips matter: widths 1, openings as given."""
    points = np.zeros((68, 2))
    for start, opening in ((42, lids[0]), (36, lids[1])):
        points[start : start + 6] = [
            [0, 0],
            [0.3, opening / 2],
            [0.7, opening / 2],
            [1, 0],
            [0.7, -opening / 2],
            [0.3, -opening / 2],
        ]
    x = np.array([0, 0.25, 0.5, 0.75, 1, 0.75, 0.5, 0.25])
    points[60:68] = np.stack([x, lips / 2 * np.array([0, 1, 1, 1, 0, -1, -1, -1])], -1)
    return points


@pytest.mark.parametrize("size", [1.0, 0.03, 200.0])
def test_apertures_are_ratios(size):
    points = size * face((0.3, 0.1), 0.4) + 7.0
    np.testing.assert_allclose(lid_aperture(points), [0.3, 0.1], rtol=1e-3)
    np.testing.assert_allclose(lip_aperture(points), 0.4, rtol=1e-3)


def test_apertures_of_closed_lids_have_a_gradient():
    points = jnp.asarray(face((0.0, 0.0), 0.0), jnp.float32)
    assert float(lip_aperture(points)) < 1e-5
    assert all(jnp.isfinite(jax.jacobian(f)(points)).all() for f in (lid_aperture, lip_aperture))
