"""Laws of the pyramids and edges."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import gagjax as gj
from gagjax.detail.pyramid import downsample, upsample
from tests.oracles import reference as oracle

KINDS = ("bilinear", "burt-adelson")


def picture(*shape, seed=0):
    return np.random.default_rng(seed).random(shape).astype(np.float32)


@settings(max_examples=8)
@given(st.sampled_from(KINDS), st.integers(8, 40), st.integers(8, 40), st.integers(1, 3), st.sampled_from([1, 3]))
def test_reconstruction_is_exact_at_any_size(kind, height, width, levels, channels):
    image = picture(height, width, channels)
    bands, base = gj.detail.laplacian_pyramid(image, levels, kind=kind)
    np.testing.assert_allclose(gj.detail.reconstruct(bands, base, kind=kind), image, atol=5e-7)


@pytest.mark.parametrize("kind", KINDS)
def test_a_constant_has_no_bands(kind):
    bands, base = gj.detail.laplacian_pyramid(np.full((17, 22, 3), 0.3, np.float32), 3, kind=kind)
    assert max(np.abs(band).max() for band in bands) < 1e-6
    np.testing.assert_allclose(base, 0.3, atol=1e-6)


@pytest.mark.parametrize("size", [(64, 48), (65, 49), (33, 20)])
def test_burt_adelson_is_that_of_opencv(size):
    cv2 = pytest.importorskip("cv2")
    image = picture(*size, 3)
    np.testing.assert_allclose(downsample(image, "burt-adelson"), cv2.pyrDown(image), atol=1e-6)
    small = cv2.pyrDown(image)
    full = cv2.pyrUp(small, dstsize=(size[1], size[0]))
    got = np.asarray(upsample(small, *size, "burt-adelson"))
    np.testing.assert_allclose(got[:-1, :-1], full[:-1, :-1], atol=1e-6)


def test_batches_are_images_one_by_one():
    images = picture(2, 2, 19, 16, 3)
    bands, base = gj.detail.laplacian_pyramid(images, 2)
    alone, rest = gj.detail.laplacian_pyramid(images[1, 0], 2)
    np.testing.assert_array_equal(base[1, 0], rest)
    np.testing.assert_array_equal(bands[1][1, 0], alone[1])


def test_sobel_is_the_formula_and_padding_is_a_choice():
    image = picture(9, 12, 3)
    got = gj.detail.sobel_magnitude(image, epsilon=0.0)
    np.testing.assert_allclose(got, oracle.sobel_magnitude(image.astype(np.float64)), atol=1e-5)
    flat = np.full((6, 7, 3), 0.5, np.float32)
    assert np.asarray(gj.detail.sobel_magnitude(flat, epsilon=0.0)).max() > 1
    for padding in ("edge", "reflect"):
        assert np.asarray(gj.detail.sobel_magnitude(flat, padding=padding, epsilon=0.0)).max() < 1e-6
    step = np.zeros((8, 8, 1), np.float32)
    step[:, 4:] = 1
    assert np.asarray(gj.detail.sobel_magnitude(step, padding="edge")).max() == pytest.approx(4, abs=1e-5)


@pytest.mark.misuse
def test_misuse_is_named():
    with pytest.raises(gj.InputError, match="too small"):
        gj.detail.laplacian_pyramid(picture(7, 40, 3), 3)
    with pytest.raises(ValueError, match="kind"):
        gj.detail.laplacian_pyramid(picture(8, 8, 3), 1, kind="gauss")
    with pytest.raises(ValueError, match="padding"):
        gj.detail.sobel(picture(8, 8, 3), padding="wrap")
    with pytest.raises(gj.InputError, match="shape"):
        gj.detail.laplacian_pyramid(picture(8, 8), 1)
