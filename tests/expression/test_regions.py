"""Region masks and the two forms of regional editing."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gagjax import InputError, expression, flame
from tests.oracles.heads import toy_head

ZERO = np.zeros(6, np.float32)
NAMES = ("eyes", "brows", "nose", "lids", "mouth", "jaw", "cheeks", "forehead", "neck", "rest")


@pytest.fixture(scope="module")
def model():
    return toy_head()


@pytest.fixture(scope="module")
def editor(model):
    return expression.RegionEditor.for_model(model)


def mesh(model, psi):
    return np.asarray(flame.vertices(model, np.zeros(10), psi, ZERO, ZERO), np.float64)


def test_regions_cover_the_face_softly_and_sum_to_one(model):
    weights = expression.region_weights(model)
    assert set(weights) == set(NAMES)
    stacked = np.stack(list(weights.values()))
    np.testing.assert_allclose(stacked.sum(0), 1.0, atol=1e-6)
    assert stacked.min() == 0.0

    def at(number):
        return np.asarray(model.faces)[int(model.landmark_faces[number]), 0]

    for name, number in (("nose", 30), ("mouth", 57), ("jaw", 8), ("brows", 19), ("lids", 37)):
        assert max(weights, key=lambda other: weights[other][at(number)]) == name
    np.testing.assert_array_equal(weights["eyes"][-12:], 1.0)
    points = np.asarray(model.v_template)
    assert points[weights["forehead"] > 0.9, 1].min() > 0.04 and points[weights["neck"] > 0.9, 1].max() < -0.08
    assert points[weights["cheeks"] > 0.9, 1].max() < 0.04


def test_the_files_own_masks_are_used_smaller_ones_first_and_blurred(model):
    points = np.asarray(model.v_template)
    face = (points[:, 2] > 0.04).astype(float)
    nose = (np.linalg.norm(points - [0, 0, 0.08], axis=1) < 0.02).astype(float)
    weights = expression.region_weights(dataclasses.replace(model, masks={"face": face, "nose": nose}))
    assert list(weights) == ["face", "nose", "rest"]
    np.testing.assert_allclose(sum(weights.values()), 1.0, atol=1e-6)
    inside = np.linalg.norm(points - [0, 0, 0.08], axis=1) < 0.01
    assert (weights["nose"][inside] > 0.9).all()
    soft = {"a": np.full(len(points), 0.3), "b": np.full(len(points), 0.7)}
    kept = expression.region_weights(dataclasses.replace(model, masks=soft))
    np.testing.assert_allclose(kept["a"], 0.3, atol=1e-6)
    bare = dataclasses.replace(model, landmark_faces=np.zeros(0, np.int32), landmark_bary=np.zeros((0, 3)))
    with pytest.raises(InputError, match="neither masks nor 68 landmarks"):
        expression.region_weights(bare)


def test_all_gains_one_are_the_identity_in_both_forms(model, editor):
    np.testing.assert_allclose(editor.edit(model, {}).shapedirs, model.shapedirs, rtol=0, atol=1e-30)
    np.testing.assert_array_equal(editor.matrix({}), np.eye(100))


@given(seed=st.integers(0, 2**31), gain=st.floats(0, 3), name=st.sampled_from(NAMES))
def test_the_exact_form_scales_its_region_and_nothing_else(seed, gain, name):
    model, editor = toy_head(), _editor()
    psi = np.random.default_rng(seed).normal(size=100).astype(np.float32)
    before = np.asarray(model.expression_basis, np.float64) @ psi
    after = np.asarray(editor.edit(model, {name: gain}).expression_basis, np.float64) @ psi
    weight = np.asarray(editor.weights, np.float64)[editor.names.index(name)]
    np.testing.assert_allclose(after, before * (1 + (gain - 1) * weight)[:, None], atol=1e-6)


def _editor():
    if not hasattr(_editor, "made"):
        _editor.made = expression.RegionEditor.for_model(toy_head())
    return _editor.made


@given(seed=st.integers(0, 2**31))
def test_gains_act_linearly_and_regions_add_up(seed):
    rng = np.random.default_rng(seed)
    model, editor = toy_head(), _editor()
    gains = dict(zip(NAMES, rng.uniform(0, 2, len(NAMES)), strict=True))
    same = dict.fromkeys(NAMES, 0.4)
    np.testing.assert_allclose(
        editor.edit(model, same).expression_basis, 0.4 * np.asarray(model.expression_basis), atol=1e-8
    )
    np.testing.assert_allclose(editor.matrix(same), 0.4 * np.eye(100), atol=1e-4)
    parts = sum(np.asarray(editor.matrix({name: gain})) - np.eye(100) for name, gain in gains.items())
    np.testing.assert_allclose(editor.matrix(gains), np.eye(100) + parts, atol=2e-5)


def test_the_coefficient_form_is_the_least_squares_fit(model):
    """Without regularisation, against NumPy's least squares on the weighted system."""
    editor = expression.RegionEditor.for_model(model, regularisation=1e-10)
    basis = np.asarray(model.expression_basis, np.float64)
    root = np.sqrt(expression.vertex_areas(model))[:, None]
    weight = np.asarray(editor.weights, np.float64)[editor.names.index("mouth")]
    psi = np.random.default_rng(0).normal(size=100)
    wanted = (root * (basis @ psi) * (1 - 0.5 * weight)[:, None]).ravel()
    best = np.linalg.lstsq((root[..., None] * basis).reshape(-1, 100), wanted, rcond=None)[0]

    def residual(x):
        return np.linalg.norm((root[..., None] * basis).reshape(-1, 100) @ x - wanted)

    ours = np.asarray(editor.coefficients(psi.astype(np.float32), {"mouth": 0.5}), np.float64)
    assert residual(ours) < residual(best) * 1.001 + 1e-7
    assert residual(ours) < 0.7 * residual(psi)


def test_cross_talk(model, editor):
    exact, fitted = editor.crosstalk(model), editor.crosstalk(model, "coefficients")
    off = ~np.eye(len(editor.names), dtype=bool)
    assert (exact.millimetres[off] == 0.0).all() and (exact.leak == 0.0).all()
    np.testing.assert_allclose(np.diag(exact.millimetres), exact.intended)
    assert (fitted.millimetres[off] > 0).any() and np.isfinite(fitted.millimetres).all()
    # Against one direct measurement: a clip of random expressions with the mouth switched off.
    rng = np.random.default_rng(0)
    moved = np.asarray(model.expression_basis, np.float64) @ rng.normal(size=(100, 4000))
    r = editor.names.index("mouth")
    own = np.asarray(editor.weights, np.float64)[r]
    areas = expression.vertex_areas(model) * own
    direct = 1e3 * np.sqrt((areas * own**2 * (moved**2).sum(1).mean(-1)).sum() / areas.sum())
    assert exact.intended[r] == pytest.approx(direct, rel=0.02)
    assert exact.table().count("\n") == len(editor.names) + 1


def test_gradients_with_respect_to_gains(model, editor):
    psi = np.random.default_rng(1).normal(size=100).astype(np.float32)

    def height(gain):
        return flame.vertices(editor.edit(model, {"mouth": gain}), np.zeros(10), psi, ZERO, ZERO)[:, 1].sum()

    gradient = float(jax.grad(height)(1.0))
    difference = float(height(1.5) - height(0.5))
    assert gradient == pytest.approx(difference, rel=1e-2) and abs(gradient) > 1e-5
    assert jnp.isfinite(jax.grad(lambda g: editor.coefficients(psi, {"nose": g}).sum())(0.0))


def test_amplitudes_are_millimetres_and_gains_match_them(model, editor):
    rng = np.random.default_rng(2)
    clip = rng.normal(size=(300, 100)).astype(np.float32)
    amplitude = dict(zip(editor.names, np.asarray(editor.amplitudes(clip)), strict=True))
    weight = np.asarray(editor.weights, np.float64)[editor.names.index("jaw")]
    areas = expression.vertex_areas(model)
    moved = np.asarray(model.expression_basis, np.float64) @ clip.T.astype(np.float64)
    square = (areas * weight * (moved**2).sum(1).mean(-1)).sum() / (areas * weight).sum()
    assert amplitude["jaw"] == pytest.approx(1e3 * np.sqrt(square), rel=1e-3)
    gains = editor.matching_gains(clip, 1.5 * clip)
    assert float(gains["jaw"]) == pytest.approx(1.5, rel=1e-4) and float(gains["eyes"]) == 1.0
    assert float(editor.matching_gains(clip, 9 * clip)["nose"]) == 2.0


def test_an_unknown_region_is_named(model, editor):
    with pytest.raises(InputError, match=r"gains: has no region chin\. There are"):
        editor.edit(model, {"chin": 1.0})
