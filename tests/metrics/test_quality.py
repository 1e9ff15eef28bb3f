"""Measures of the document's names: their bounds, what they fall for, and flow against known motion."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

from gagjax import InputError
from gagjax.metrics import flow, quality
from gagjax.metrics.image import warping_error


def picture(seed=0, size=96):
    rng = np.random.default_rng(seed)
    x = ndimage.gaussian_filter(rng.random((size, size, 3)), (2, 2, 0)) + 0.3 * ndimage.gaussian_filter(
        rng.random((size, size, 3)), (0.7, 0.7, 0)
    )
    return ((x - x.min()) / np.ptp(x)).astype(np.float32)


@given(hnp.arrays(np.float32, st.tuples(st.integers(3, 8), st.integers(1, 4)), elements=st.floats(-10, 10, width=32)))
def test_stability_lies_between_nought_and_one(x):
    assert -1e-5 <= float(quality.temporal_stability(x)) <= 1


def test_stability_of_known_motions():
    t = np.arange(40.0)
    assert float(quality.temporal_stability(3 * t)) == pytest.approx(1, abs=1e-6)
    assert float(quality.temporal_stability(np.ones((5, 2)))) == 1
    assert float(quality.temporal_stability((-1.0) ** t)) == pytest.approx(0, abs=1e-6)
    noise = np.random.default_rng(0).normal(size=(4000, 4))
    assert float(quality.temporal_stability(noise)) == pytest.approx(1 - np.sqrt(3) / 2, abs=0.01)
    smooth = np.sin(t / 6)
    rough = smooth + 0.1 * np.random.default_rng(1).normal(size=40)
    assert float(quality.temporal_stability(smooth)) > 0.8 > float(quality.temporal_stability(rough))


def test_detail_fidelity_falls_for_blur_and_for_too_much():
    x = picture()[None]
    blurred = ndimage.gaussian_filter(x, (0, 1.5, 1.5, 0))
    sharp = x + 2 * (x - blurred)
    same, soft, hard, other = (
        float(quality.detail_fidelity(each.astype(np.float32), x)[0]) for each in (x, blurred, sharp, picture(1)[None])
    )
    assert same == pytest.approx(1, abs=1e-6) and soft < 0.9 and hard < 0.9 and abs(other) < 0.2
    flat = np.full((1, 64, 64, 3), 0.5, np.float32)
    assert float(quality.detail_fidelity(flat, flat)[0]) == 1


def test_detail_fidelity_is_the_formula():
    """A band scaled by g against itself scores 2 g / (1 + g^2)."""
    x = picture()[None] - 0.5
    x = x - ndimage.gaussian_filter(x, (0, 1, 1, 0))
    scaled = 0.5 * x
    assert float(quality.detail_fidelity(scaled.astype(np.float32), x.astype(np.float32))[0]) == pytest.approx(
        0.8, abs=1e-3
    )


def test_eye_sharpness_is_the_gradient_inside_the_mask():
    ramp = np.tile((np.arange(32) / 255)[None, None, :, None], (1, 32, 1, 3)).astype(np.float32)
    mask = np.zeros((32, 32), np.float32)
    mask[8:16, 8:16] = 1
    assert float(quality.eye_sharpness(ramp, mask)[0]) == pytest.approx(1, abs=1e-3)
    outside = ramp.copy()
    outside[:, 20:] = np.random.default_rng(0).random((1, 12, 32, 3))
    assert float(quality.eye_sharpness(outside, mask)[0]) == pytest.approx(1, abs=1e-3)
    x = picture()[None]
    blurred = ndimage.gaussian_filter(x, (0, 1.5, 1.5, 0))
    whole = np.ones((96, 96), np.float32)
    assert float(quality.eye_sharpness(blurred, whole)[0]) < 0.6 * float(quality.eye_sharpness(x, whole)[0])


@pytest.mark.misuse
def test_keypoints_and_embeddings():
    a = np.zeros((3, 4, 2))
    b = a + np.array([3.0, 4.0])
    b[1] = np.nan
    assert quality.average_keypoint_distance(a, b) == 5 and np.isnan(
        quality.average_keypoint_distance(a[:1] * np.nan, a[:1])
    )
    rows = np.array([[1.0, 0], [0, 2.0], [-1, 0]])
    np.testing.assert_allclose(quality.identity_similarity(rows, np.array([[3.0, 0]])), [1, 0, -1])
    for truth in (np.ones((2, 2)), np.ones((3, 3)), np.zeros((1, 2))):
        with pytest.raises(InputError, match="embeddings"):
            quality.identity_similarity(rows, truth)


@pytest.mark.parametrize("shift", [(0.0, 0.0), (1.5, -0.7), (6.0, 4.0)])
def test_flow_finds_a_known_shift(shift):
    before = picture(2, 128).mean(-1)
    now = ndimage.shift(before, (shift[1], shift[0]), order=3, mode="nearest")
    found = flow.optical_flow(now, before)
    np.testing.assert_allclose(found[20:-20, 20:-20].mean((0, 1)), np.negative(shift), atol=0.05)
    assert np.linalg.norm(found[20:-20, 20:-20] + shift, axis=-1).mean() < 0.15


def test_flow_is_as_good_as_another_library():
    registration = pytest.importorskip("skimage.registration")
    before = picture(3, 128).mean(-1)
    rows, columns = np.mgrid[:128, :128].astype(float)
    dx, dy = 2 * np.sin(rows / 20), 1.5 * np.cos(columns / 25)
    now = ndimage.map_coordinates(before, [rows + dy, columns + dx], order=3, mode="nearest")
    mine = flow.optical_flow(now, before)
    v, u = registration.optical_flow_ilk(now, before, radius=7)
    inner = (slice(16, -16), slice(16, -16))
    errors = [np.hypot(f[0] - dx, f[1] - dy)[inner].mean() for f in ((mine[..., 0], mine[..., 1]), (u, v))]
    assert errors[0] < 0.2 and errors[0] < 1.5 * errors[1]


def test_hidden_places_are_not_trusted_and_flicker_is_warping_error():
    base = picture(4, 96)
    frames = np.stack([ndimage.shift(base, (0, t, 0), order=1, mode="nearest") for t in (0, 2)])
    grey = frames.mean(-1)
    there, back = flow.optical_flow(grey[1], grey[0]), flow.optical_flow(grey[0], grey[1])
    mask = flow.trusted(there, back)
    assert mask[10:-10, 12:-10].mean() > 0.9
    weight = mask[None].astype(np.float32)
    steady = float(warping_error(frames, there[None], weight)[0])
    flickering = frames * np.float32([1.0, 0.8])[:, None, None, None]
    assert steady < 5e-4 < float(warping_error(flickering, there[None], weight)[0])
    assert not flow.trusted(there, back + 5).any()
