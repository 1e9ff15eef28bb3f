"""Image measures against scikit-image and written-out NumPy."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from gagjax.errors import InputError
from gagjax.metrics import image
from gagjax.metrics.report import measure_frames


@pytest.fixture(scope="module")
def pair() -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    truth = gaussian_filter(generator.uniform(size=(3, 60, 47, 3)), (0, 2, 2, 0))
    truth = (truth - truth.min()) / np.ptp(truth)
    noisy = np.clip(truth + generator.normal(0, [[[[0.02]]], [[[0.08]]], [[[0.3]]]], truth.shape), 0, 1)
    return noisy.astype(np.float32), truth.astype(np.float32)


def test_psnr_is_scikit_images(pair):
    expected = [
        peak_signal_noise_ratio(y.astype(float), x.astype(float), data_range=1) for x, y in zip(*pair, strict=True)
    ]
    np.testing.assert_allclose(image.psnr(*pair), expected, rtol=1e-5)


@pytest.mark.parametrize("grey", [False, True])
def test_ssim_is_scikit_images(pair, grey):
    settings = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 1}
    expected = []
    for x, y in zip(*(p.astype(np.float64) for p in pair), strict=True):
        if grey:
            expected.append(structural_similarity(*(i @ [0.2989, 0.587, 0.114] for i in (x, y)), **settings))
        else:
            expected.append(structural_similarity(x, y, channel_axis=-1, **settings))
    np.testing.assert_allclose(image.ssim(*pair, grey=grey), expected, atol=2e-6)


def test_ssim_of_flat_bright_frames_stays_within_float32():
    x = np.full((1, 20, 20, 3), 0.98, np.float32)
    y = x - np.float32(0.01)
    settings = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 1}
    expected = structural_similarity(x[0].astype(float), y[0].astype(float), channel_axis=-1, **settings)
    assert float(image.ssim(x, y)[0]) == pytest.approx(expected, abs=1e-4)


def test_multi_scale_ssim_is_the_written_out_product(pair):
    weights = (0.3, 0.7)
    x, y = (p[1].astype(np.float64) for p in pair)

    def blur(z):
        return gaussian_filter(z, 1.5, truncate=3.5)[5:-5, 5:-5]

    def terms(a, b):
        ma, mb = blur(a), blur(b)
        va, vb, ab = blur(a * a) - ma**2, blur(b * b) - mb**2, blur(a * b) - ma * mb
        contrast = (2 * ab + 9e-4) / (va + vb + 9e-4)
        return contrast.mean(), (contrast * (2 * ma * mb + 1e-4) / (ma**2 + mb**2 + 1e-4)).mean()

    def half(z):
        z = z[: len(z) // 2 * 2, : z.shape[1] // 2 * 2]
        return z.reshape(len(z) // 2, 2, -1, 2).mean((1, 3))

    expected = np.mean(
        [terms(x[..., c], y[..., c])[0] ** 0.3 * terms(half(x[..., c]), half(y[..., c]))[1] ** 0.7 for c in range(3)]
    )
    assert float(image.ms_ssim(pair[0][1:2], pair[1][1:2], weights=weights)[0]) == pytest.approx(expected, abs=3e-6)


def test_multi_scale_ssim_refuses_frames_that_are_too_small(pair):
    with pytest.raises(ValueError, match="176 pixels"):
        image.ms_ssim(*pair)


def test_high_frequency_psnr_is_the_psnr_of_the_residue(pair):
    x, y = (p.astype(np.float64) for p in pair)
    fine = [z - gaussian_filter(z, (0, 1.5, 1.5, 0), mode="reflect", truncate=3.5) for z in (x, y)]
    expected = -10 * np.log10(((fine[0] - fine[1]) ** 2).mean((1, 2, 3)))
    np.testing.assert_allclose(image.high_frequency_psnr(*pair), expected, rtol=1e-4)


def test_high_frequency_psnr_does_not_see_a_shift_of_brightness(pair):
    _, truth = pair
    assert float(image.high_frequency_psnr(truth * 0.5, truth * 0.5 + 0.2).min()) > 100


def test_masked_psnr_counts_the_mask_alone(pair):
    noisy, truth = pair
    mask = np.zeros(truth.shape[1:3], np.float32)
    mask[10:30, 5:20] = 1
    np.testing.assert_allclose(
        image.masked_psnr(noisy, truth, mask), image.psnr(noisy[:, 10:30, 5:20], truth[:, 10:30, 5:20]), rtol=1e-5
    )
    spoilt = np.where(mask[None, :, :, None] > 0, noisy, 0)
    np.testing.assert_array_equal(image.masked_psnr(spoilt, truth, mask), image.masked_psnr(noisy, truth, mask))


def test_equal_frames_are_perfect(pair):
    _, truth = pair
    assert np.isinf(image.psnr(truth, truth)).all()
    np.testing.assert_allclose(image.ssim(truth, truth), 1, atol=1e-6)
    np.testing.assert_allclose(image.ms_ssim(truth, truth, weights=(0.5, 0.5)), 1, atol=1e-6)
    assert float(image.flicker(truth, truth)) == 0
    assert float(image.gradient_error(truth, truth).max()) == 0


def test_flicker_sees_change_and_not_a_constant_error(pair):
    _, truth = pair
    assert float(image.flicker(truth + 0.1, truth)) == pytest.approx(0, abs=1e-6)
    blinking = truth + np.array([0.0, 0.1, 0.0], np.float32).reshape(3, 1, 1, 1)
    assert float(image.flicker(blinking, truth)) == pytest.approx(0.1, abs=1e-5)
    # Second difference without a truth: 0.1 up and down again is -0.2.
    still = np.repeat(truth[:1], 3, 0)
    assert float(image.flicker(still + blinking - truth)) == pytest.approx(0.2, abs=1e-5)


def test_warping_error_is_zero_for_the_true_motion():
    generator = np.random.default_rng(1)
    first = generator.uniform(size=(20, 24, 3)).astype(np.float32)
    frames = np.stack([first, np.roll(first, 2, axis=1)])
    flow = np.zeros((1, 20, 24, 2), np.float32)
    flow[..., 0] = -2  # the pixel at x was at x - 2
    mask = np.ones((1, 20, 24), np.float32)
    mask[:, :, :2] = 0
    assert float(image.warping_error(frames, flow, mask)[0]) < 1e-10
    assert float(image.warping_error(frames, 0 * flow, mask)[0]) > 0.01


MEASURES = {
    "psnr": image.psnr,
    "masked_psnr": lambda x, y: image.masked_psnr(x, y, np.ones(x.shape[:3], np.uint8)),
    "high_frequency_psnr": image.high_frequency_psnr,
    "ssim": image.ssim,
    "ssim, grey": lambda x, y: image.ssim(x, y, grey=True),
    "ms_ssim": lambda x, y: image.ms_ssim(x, y, weights=(0.5, 0.5)),
    "gradient_error": image.gradient_error,
    "flicker": image.flicker,
}


@pytest.mark.parametrize("name", MEASURES)
def test_bytes_are_measured_like_the_floats_they_stand_for(name, pair):
    x, y = (np.round(p * 255).astype(np.uint8) for p in pair)
    floats = MEASURES[name](x.astype(np.float32) / 255, y.astype(np.float32) / 255)
    for a, b in ((x, y), tuple(map(jnp.asarray, (x, y)))):
        np.testing.assert_allclose(MEASURES[name](a, b), floats, rtol=2e-4)
    np.testing.assert_allclose(MEASURES[name](*(p.astype(np.float64) for p in pair)), MEASURES[name](*pair), rtol=1e-4)
    half = MEASURES[name](*(p.astype(np.float16) for p in pair))
    np.testing.assert_allclose(
        half, MEASURES[name](*(p.astype(np.float16).astype(np.float32) for p in pair)), rtol=1e-5
    )


@pytest.mark.misuse
@pytest.mark.parametrize("name", MEASURES)
def test_mixed_and_other_types_are_refused(name, pair):
    x, y = pair
    wrong = [(x, np.uint8(y)), (np.uint8(x), y), (x.astype(int), y.astype(int)), (x > 0.5, y > 0.5)]
    for a, b in [*wrong, (x.astype(np.complex64), y), (x, y[..., :1]), (x[:1], y)]:
        with pytest.raises(InputError, match="frames"):
            MEASURES[name](a, b)


def test_measures_of_one_clip_take_bytes_too(pair):
    x = np.round(pair[0] * 255).astype(np.uint8)
    floats = x.astype(np.float32) / 255
    np.testing.assert_allclose(image.flicker(x), image.flicker(floats), rtol=1e-5)
    flow, mask = np.zeros((2, *x.shape[1:3], 2), np.float32), np.ones((2, *x.shape[1:3]))
    np.testing.assert_allclose(image.warping_error(x, flow, mask), image.warping_error(floats, flow, mask), rtol=1e-5)
    with pytest.raises(InputError, match="frames"):
        image.flicker(x.astype(int))
    assert measure_frames(x, x)["flicker"] == 0
    with pytest.raises(InputError, match="mixes"):
        measure_frames(x, floats)
