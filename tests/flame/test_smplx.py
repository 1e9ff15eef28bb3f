"""smplx's linear blend skinning and contour tables as independent oracles."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from gagjax import InputError, flame, so3
from tests.oracles import flame as oracle

torch = pytest.importorskip("torch")
lbs = pytest.importorskip("smplx.lbs")


@pytest.mark.parametrize("scale", [0.0, 1e-5, 0.3, 3.0, 7.0])
def test_equals_smplx(scale):
    model, rng = oracle.golden_model(), np.random.default_rng(1)
    shape, expression = rng.normal(size=(3, 300)), rng.normal(size=(3, 100))
    pose, eyes, neck = (scale * rng.normal(size=(3, n)) for n in (6, 6, 3))
    numbers = [torch.tensor(np.asarray(getattr(model, n))) for n in ("v_template", "shapedirs")]
    full = np.concatenate([pose[:, :3], neck, pose[:, 3:], eyes], 1)
    points, posed = lbs.lbs(
        torch.tensor(np.concatenate([shape, expression], 1).astype(np.float32)),
        torch.tensor(full.astype(np.float32)),
        *numbers,
        torch.tensor(np.asarray(model.posedirs).reshape(-1, 36).T.copy()),
        torch.tensor(np.asarray(model.J_regressor)),
        torch.tensor(model.parents),
        torch.tensor(np.asarray(model.weights)),
    )
    ours = flame.vertices(model, shape, expression, pose, eyes, neck)
    np.testing.assert_allclose(ours, points.numpy(), atol=6e-6)
    np.testing.assert_allclose(flame.joints(model, shape, expression, pose, eyes, neck), posed.numpy(), atol=6e-6)


@pytest.fixture(scope="module")
def with_contour():
    rng = np.random.default_rng(2)
    bary = np.abs(rng.normal(size=(79, 17, 3)))
    return dataclasses.replace(
        oracle.golden_model(),
        contour_faces=rng.integers(0, 9976, (79, 17)),
        contour_bary=bary / bary.sum(-1, keepdims=True),
    )


def test_the_contour_is_that_of_smplx(with_contour):
    model = with_contour
    yaws = np.radians([-60.0, -39.0, -20.3, -1.2, -0.4, 0.0, 0.4, 1.2, 20.3, 38.6, 60.0])
    vectors = np.stack([0 * yaws, yaws, 0 * yaws], -1).astype(np.float32)
    rotations = so3.exp(vectors)
    vertices = np.random.default_rng(3).normal(size=(len(yaws), 5023, 3)).astype(np.float32)
    pose = torch.zeros(len(yaws), 15)
    pose[:, :3] = torch.tensor(vectors)
    faces, bary = lbs.find_dynamic_lmk_idx_and_bcoords(
        torch.tensor(vertices),
        pose,
        torch.tensor(np.asarray(model.contour_faces, np.int64)),
        torch.tensor(np.asarray(model.contour_bary)),
        torch.tensor([0]),
    )
    corners = np.asarray(model.faces)[faces.numpy()]
    expected = (vertices[np.arange(len(yaws))[:, None, None], corners] * bary.numpy()[..., None]).sum(-2)
    found = flame.dynamic_landmarks(model, vertices, flame.yaw_of(rotations))
    np.testing.assert_allclose(found[:, :17], expected, atol=1e-6)
    np.testing.assert_array_equal(found[:, 17:], flame.landmarks(model, vertices)[:, 17:])


def test_a_model_without_tables_says_so():
    with pytest.raises(InputError, match="no jaw-line tables"):
        flame.dynamic_landmarks(oracle.golden_model(), np.zeros((5023, 3)), 0.0)
