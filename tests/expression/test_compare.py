"""Distances, blends, transfer, and codes of other trackers."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gagjax import InputError, expression, flame
from tests.oracles import flame as oracle
from tests.oracles.heads import toy_head

RNG = np.random.default_rng(0)
A, B = (RNG.normal(size=(4, 100)).astype(np.float32) for _ in range(2))


@pytest.fixture(scope="module")
def editor():
    return expression.RegionEditor.for_model(toy_head())


def test_distances_against_numpy(editor):
    np.testing.assert_allclose(expression.distance(A, B), np.linalg.norm(A - B, axis=1), rtol=1e-5)
    cosine = (A * B).sum(1) / np.linalg.norm(A, axis=1) / np.linalg.norm(B, axis=1)
    np.testing.assert_allclose(expression.distance(A, B, "cosine"), 1 - cosine, atol=1e-6)
    weights = np.arange(100.0)
    expected = np.sqrt((weights * (A.astype(np.float64) - B) ** 2).sum(1))
    np.testing.assert_allclose(expression.distance(A, B, "weighted", weights=weights), expected, rtol=1e-5)
    moved = np.asarray(toy_head().expression_basis, np.float64) @ (A - B).T.astype(np.float64)
    areas = expression.vertex_areas(toy_head())
    millimetres = 1e3 * np.sqrt((areas[:, None] * (moved**2).sum(1)).sum(0) / areas.sum())
    np.testing.assert_allclose(expression.distance(A, B, "vertex", editor=editor), millimetres, rtol=1e-4)


@given(metric=st.sampled_from(["l2", "cosine", "weighted", "vertex"]), seed=st.integers(0, 1000))
def test_distances_are_symmetric_zero_at_home_and_differentiable(metric, seed):
    if not hasattr(_kept, "editor"):
        _kept.editor = expression.RegionEditor.for_model(toy_head())
    kwargs = {"weights": np.ones(100), "editor": _kept.editor}
    a, b = np.random.default_rng(seed).normal(size=(2, 100)).astype(np.float32)
    there, back = (expression.distance(x, y, metric, **kwargs) for x, y in ((a, b), (b, a)))
    assert float(there) == pytest.approx(float(back), rel=1e-5) and float(there) > 0
    assert abs(float(expression.distance(a, a, metric, **kwargs))) < 1e-6
    for point in (a, np.zeros(100, np.float32)):
        gradient = jax.grad(lambda x: expression.distance(x, a, metric, **kwargs))(point)
        assert jnp.isfinite(gradient).all()


def _kept() -> None:
    """Holds the editor between hypothesis examples."""


def test_blends(editor):
    np.testing.assert_allclose(expression.blend(A, B, 0.0), A)
    np.testing.assert_allclose(expression.blend(A, B, 1.0), B, atol=1e-6)
    np.testing.assert_allclose(
        expression.blend(A, B, dict.fromkeys(editor.names, 0.3), editor), 0.7 * A + 0.3 * B, atol=1e-3
    )
    np.testing.assert_array_equal(expression.blend(A, B, {}, editor).shape, A.shape)
    # By region: the mouth of B, everything else near A.
    mixed = expression.blend(A, B, {"mouth": 1.0}, editor)
    basis = np.asarray(toy_head().expression_basis, np.float64)

    def off(x, y, w):
        return np.sqrt((w[:, None] * ((basis @ (np.asarray(x) - y).T) ** 2).sum(1)).sum(0))

    mouth = np.asarray(editor.weights)[editor.names.index("mouth")] ** 2
    assert (off(mixed, B, mouth) < 0.7 * off(A, B, mouth)).all()
    assert (off(mixed, A, 1 - np.sqrt(mouth)) < off(B, A, 1 - np.sqrt(mouth)) / 2).all()


def test_transfer_takes_identity_of_a_and_expression_and_jaw_of_b():
    model = oracle.golden_model()
    shape, psi, jaw, turn = (RNG.normal(size=n).astype(np.float32) for n in (300, 100, 3, 3))
    found = expression.transfer(model, shape, psi, 0.2 * jaw, 0.3 * turn)
    expected, _ = oracle.lbs(model, shape, psi, np.concatenate([0.3 * turn, 0.2 * jaw]), np.zeros(6))
    np.testing.assert_allclose(found, expected, atol=6e-6)


def codes(frames: int = 5) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(1)
    return {
        "shape": rng.normal(size=(frames, 100)),
        "exp": rng.normal(size=(frames, 50)),
        "pose": 0.3 * rng.normal(size=(frames, 6)),
        "cam": np.stack([8 + rng.uniform(size=frames), *(0.02 * rng.normal(size=(2, frames)))], -1),
        "light": rng.normal(size=(frames, 9, 3)),
    }


def test_decas_codes_show_the_same_picture_from_gagavatars_camera():
    """The orthographic picture of the posed mesh and the track's perspective one agree to a few percent of the face."""
    model, content = toy_head(), codes()
    content["shape"] = np.zeros((5, 10))
    content["exp"][:] = 0
    content["pose"][:, 3:] = 0
    track = expression.track_from_codes(content, fps=30, model=model)
    for t in range(5):
        scale, x, y = content["cam"][t]
        pose = content["pose"][t].astype(np.float32)
        posed = np.asarray(flame.vertices(model, np.zeros(10), np.zeros(100), pose, np.zeros(6)), np.float64)
        flat = scale * (posed[:, :2] + [x, y])
        rest = np.asarray(flame.vertices(model, np.zeros(10), np.zeros(100), np.zeros(6), np.zeros(6)), np.float64)
        matrix = track.transform[t].astype(np.float64)
        camera = 5 * rest @ matrix[:, :3] + matrix[:, 3]
        picture = 12.0 * camera[:, :2] / camera[:, 2:] * [-1, 1]  # the camera's x points left
        assert np.abs(picture - flat).max() < 0.12
        depth = (posed[:, 2] - posed[:, 2].mean()) * 5
        np.testing.assert_allclose(np.corrcoef(camera[:, 2], depth)[0, 1], -1.0, atol=1e-6)


def test_codes_become_a_track():
    content = codes()
    track = expression.track_from_codes(content, fps=30)
    assert len(track) == 5 and track.fps == 30 and track.shape.shape == (5, 300)
    np.testing.assert_allclose(track.expression[:, :50], content["exp"], atol=1e-6)
    assert not track.expression[:, 50:].any() and not track.eyes.any()
    np.testing.assert_allclose(track.jaw, content["pose"][:, 3:], atol=1e-6)
    track.validate()
    emoca = {"shapecode": "shape", "expcode": "exp", "posecode": "pose", "cam": "cam"}
    frames = [{name: content[key][t] for name, key in emoca.items()} for t in range(5)]
    np.testing.assert_array_equal(expression.track_from_codes(frames).transform, track.transform)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"exp": None}, "exp: is missing"),
        ({"cam": -np.ones((5, 3))}, "cam: has a scale that is not positive"),
        ({"pose": np.zeros((5, 3))}, "have sizes 3 and 3"),
        ({"exp": np.zeros((4, 50))}, "not all of one length"),
        ({"exp": np.zeros((5, 101))}, "has 101 columns"),
    ],
)
def test_codes_that_do_not_fit_are_named(change, message):
    content = {k: v for k, v in (codes() | change).items() if v is not None}
    with pytest.raises(InputError, match=message):
        expression.track_from_codes(content)


def test_unknown_metrics_and_missing_arguments_are_named():
    for metric, message in (("emotion", "unknown"), ("vertex", "needs editor"), ("weighted", "needs weights")):
        with pytest.raises(InputError, match=message):
            expression.distance(A, B, metric)
    with pytest.raises(InputError, match="needs editor"):
        expression.blend(A, B, {"mouth": 1.0})
