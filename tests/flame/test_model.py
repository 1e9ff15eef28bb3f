"""The FLAME layer against the golden vectors, a float64 oracle and its laws."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gagjax import InputError, flame
from tests.oracles import flame as oracle

SCALE = 5.0  # GAGAvatar units per metre


@pytest.fixture(scope="module")
def model() -> flame.FlameModel:
    return oracle.golden_model()


@pytest.fixture(scope="module")
def golden(shared):
    with np.load(shared / "upstream" / "golden_flame_v1.npz") as archive:
        return dict(archive)


def test_the_synthetic_model_follows_the_published_rule(golden):
    for name, value in oracle.golden_arrays().items():
        name = {"landmark_faces": "lmk_faces", "landmark_bary": "lmk_bary"}.get(name, name)
        flat = np.asarray(value, np.float64).ravel()
        probe = np.concatenate([flat[:4], flat[-4:], [flat.sum()]])
        np.testing.assert_allclose(probe, golden[f"probe_{name}"], rtol=1e-9, err_msg=name)


def test_equals_the_golden_vectors(model, golden):
    args = (golden["shape"], golden["expression"], golden["pose"], golden["eye"])
    points = flame.vertices(model, *args)
    np.testing.assert_allclose(SCALE * points[:, ::4], golden["vertices"], atol=3e-5, rtol=0)
    np.testing.assert_allclose(SCALE * flame.landmarks(model, points), golden["landmarks_plain"], atol=3e-5, rtol=0)
    np.testing.assert_allclose(flame.joints(model, *args), golden["joints"], atol=3e-5, rtol=0)


angles = st.sampled_from([0.0, 1e-8, 1e-6, 1e-4, 9e-3, 1.1e-2, 0.5, np.pi - 1e-4, np.pi, 4.0, 2 * np.pi, 9.0])


@settings(max_examples=12)
@given(seed=st.integers(0, 2**31), scale=angles)
def test_equals_a_float64_oracle_at_any_angle(seed, scale):
    model = oracle.golden_model()
    rng = np.random.default_rng(seed)
    shape, expression = rng.normal(size=300), rng.normal(size=100)
    vectors = rng.normal(size=(5, 3))
    vectors *= scale / np.linalg.norm(vectors, axis=1, keepdims=True)
    pose, neck, eyes = np.concatenate([vectors[0], vectors[2]]), vectors[1], vectors[3:].ravel()
    points, posed = oracle.lbs(model, shape, expression, pose, eyes, neck)
    args = (model, *(np.asarray(x, np.float32) for x in (shape, expression, pose, eyes, neck)))
    np.testing.assert_allclose(flame.vertices(*args), points, atol=6e-6)
    np.testing.assert_allclose(flame.joints(*args), posed, atol=3e-6)


def test_batches_broadcast_and_one_identity_serves_a_clip(model):
    rng = np.random.default_rng(0)
    shape = rng.normal(size=300).astype(np.float32)
    expression, pose, eyes = (rng.normal(size=(2, 3, n)).astype(np.float32) for n in (100, 6, 6))
    clip = flame.vertices(model, shape, expression, pose, eyes)
    assert clip.shape == (2, 3, 5023, 3)
    one = flame.vertices(model, shape, expression[1, 2], pose[1, 2], eyes[1, 2])
    np.testing.assert_allclose(clip[1, 2], one, atol=2e-6)
    per_frame = flame.vertices(model, np.broadcast_to(shape, (2, 3, 300)), expression, pose, eyes)
    np.testing.assert_allclose(clip, per_frame, atol=2e-6)


def test_fewer_coefficients_count_as_zeros_and_more_are_refused(model):
    zero = np.zeros(6, np.float32)
    short = flame.vertices(model, np.ones(10, np.float32), np.ones(50, np.float32), zero, zero)
    padded = flame.vertices(model, np.r_[np.ones(10), np.zeros(290)], np.r_[np.ones(50), np.zeros(50)], zero, zero)
    np.testing.assert_allclose(short, padded, atol=1e-6)
    with pytest.raises(InputError, match="shape: has 301"):
        flame.vertices(model, np.zeros(301), np.zeros(100), zero, zero)


@pytest.mark.parametrize("scale", [0.0, 1e-7, 1e-2, np.pi, 7.0])
def test_gradients_are_finite_in_every_input(model, scale):
    vector = np.full(6, scale / np.sqrt(3), np.float32)

    def loss(model, shape, expression, pose, eyes, neck):
        points = flame.vertices(model, shape, expression, pose, eyes, neck)
        return (points**2).sum() + (flame.normals(model, points) ** 3).sum() + flame.landmarks(model, points).sum()

    args = (model, np.zeros(300, np.float32), np.zeros(100, np.float32), vector, vector, vector[:3])
    for leaf in jax.tree.leaves(jax.grad(loss, argnums=(0, 1, 2, 3, 4, 5), allow_int=True)(*args)):
        if leaf.dtype != jax.dtypes.float0:
            assert jnp.isfinite(leaf).all()


def test_normals_are_those_of_a_sphere():
    corners = np.array([[1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0], [0, 0, 1], [0, 0, -1], [9, 9, 9]], np.float32)
    faces = [[0, 2, 4], [2, 1, 4], [1, 3, 4], [3, 0, 4], [2, 0, 5], [1, 2, 5], [3, 1, 5], [0, 3, 5]]
    model = flame.FlameModel(
        corners, np.zeros((7, 3, 100)), np.zeros((7, 3, 36)), np.ones((5, 7)) / 7, np.ones((7, 5)) / 5,
        np.array(faces), np.zeros(1, int), np.ones((1, 3)) / 3,
    )  # fmt: skip
    np.testing.assert_allclose(flame.normals(model, model.v_template)[:6], corners[:6], atol=1e-6)
    np.testing.assert_array_equal(flame.normals(model, 1e-3 * model.v_template)[6], 0.0)


def test_eye_centres_are_the_eye_joints(model):
    shape = np.random.default_rng(1).normal(size=300).astype(np.float32)
    zero = np.zeros(6, np.float32)
    posed = flame.joints(model, shape, np.zeros(100, np.float32), zero, zero)
    np.testing.assert_allclose(flame.eye_centres(model, shape), posed[3:5], atol=1e-6)


@pytest.mark.misuse
def test_a_wrong_array_is_named():
    arrays = oracle.golden_arrays() | {"posedirs": np.zeros((5023, 3, 35))}
    with pytest.raises(InputError, match=r"posedirs: has shape \(5023, 3, 35\), expected \(5023, 3, 36\)"):
        flame.FlameModel(**arrays)
