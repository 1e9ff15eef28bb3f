"""Laws of the enhancers: identity, monotone, no halos, no noise, no coupling, no flicker."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.ndimage import convolve1d, gaussian_filter

import gagjax as gj
from gagjax.detail import DetailEnhancer, FrequencyEnhancer, LocalLaplacian
from gagjax.detail.bands import band_noise, bands_of, margins, sum_of
from gagjax.detail.planes import noise_level
from gagjax.detail.warp import warp

BINOMIAL = np.array([1, 4, 6, 4, 1]) / 16
ENHANCERS = {"default": DetailEnhancer(), "local laplacian": LocalLaplacian()}


@pytest.fixture(scope="module")
def scene():
    """Blobs, stripes and edges of every contrast, slightly blurred: (64, 64, 3)."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:64, :64] / 64
    image = 0.5 + 0.15 * np.sin(40 * x * (1 + y)) + 0.2 * (x > 0.6) - 0.1 * (y > 0.3)
    image = image[..., None] + 0.2 * gaussian_filter(rng.normal(size=(64, 64, 3)), (2, 2, 0))
    return np.clip(gaussian_filter(image, (1, 1, 0)), 0.05, 0.95).astype(np.float32)


def high_frequency(image):
    image = np.asarray(image)
    return float(((image - gaussian_filter(image, (1.5, 1.5, 0))) ** 2).sum())


@pytest.mark.parametrize("name", ENHANCERS)
def test_strength_0_is_the_identity_and_energy_grows_with_strength(scene, name):
    enhancer = ENHANCERS[name]
    np.testing.assert_array_equal(enhancer(scene, 0.0), scene)
    energies = [high_frequency(enhancer(scene, s)) for s in (0.0, 0.25, 0.5, 1.0, 1.5, 2.0)]
    assert np.all(np.diff(energies) > 0)


def test_linear_in_strength_near_0(scene):
    enhancer = DetailEnhancer()
    one, two = (np.asarray(enhancer(scene, s)) - scene for s in (0.02, 0.04))
    assert np.abs(one).max() > 1e-4
    np.testing.assert_allclose(two, 2 * one, atol=2e-6)
    slope = jax.grad(lambda s: jnp.sum((enhancer(scene, s) - scene) * one))(0.0)
    np.testing.assert_allclose(slope, (one**2).sum() / 0.02, rtol=1e-2)


@pytest.mark.parametrize("height", [0.05, 0.2, 0.6])
@pytest.mark.parametrize("sigma", [0.0, 1.0, 2.0])
def test_overshoot_at_a_step_is_at_most_the_halo(height, sigma):
    step = np.full((32, 48, 3), 0.5 - height / 2, np.float32)
    step[:, 24:] += np.float32(height)
    step = gaussian_filter(step, (sigma, sigma, 0)).astype(np.float32)
    enhancer = DetailEnhancer()
    got = np.asarray(enhancer(step, 3.0))
    over = max(got.max() - step.max(), step.min() - got.min()) / height
    assert over <= float(enhancer.halo) + 1e-4
    strict = np.asarray(dataclasses.replace(enhancer, halo=0.0)(step, 3.0))
    assert max(strict.max() - step.max(), step.min() - strict.min()) <= 1e-6


@pytest.mark.parametrize("sigma", [1 / 255, 4 / 255, 0.05])
@pytest.mark.parametrize("name", ENHANCERS)
def test_flat_noisy_patch_is_not_amplified(sigma, name):
    noise = np.random.default_rng(1).normal(0, sigma, (96, 96, 1)).astype(np.float32)
    patch = np.repeat(0.5 + noise, 3, -1)
    ratio = np.asarray(ENHANCERS[name](patch)).var() / patch.var()
    assert ratio <= 1.05


@pytest.mark.parametrize("name", ENHANCERS)
def test_frames_of_a_batch_do_not_know_of_each_other(scene, name):
    batch = np.stack([scene, scene[::-1], 0.5 * scene])
    out = np.asarray(ENHANCERS[name](batch))
    np.testing.assert_array_equal(ENHANCERS[name](batch[[2, 0, 1]]), out[[2, 0, 1]])
    np.testing.assert_allclose(ENHANCERS[name](scene), out[0], atol=1e-6)


def test_mask_protection_and_colour(scene):
    mask = np.zeros((64, 64), np.float32)
    mask[:32] = 1
    enhancer = DetailEnhancer()
    got, full = np.asarray(enhancer(scene, 1.0, mask)), np.asarray(enhancer(scene))
    np.testing.assert_array_equal(got[32:], scene[32:])
    np.testing.assert_allclose(got[:32], full[:32], atol=1e-6)
    # One difference for all channels, where none is clipped.
    change = full - scene
    inside = ((full > 0.01) & (full < 0.99)).all(-1)
    assert np.ptp(change, axis=-1)[inside].max() < 1e-6
    dark = (0.01 * scene).astype(np.float32)
    assert np.abs(np.asarray(enhancer(dark)) - dark).max() < 0.2 * 0.01


def test_translation_moves_the_result(scene):
    enhancer = DetailEnhancer(gains=(1.0,), noise=0.0, sharpness=None)
    a, b = np.asarray(enhancer(scene)), np.asarray(enhancer(np.roll(scene, 2, 1)))
    np.testing.assert_allclose(b[12:-12, 14:-12], np.roll(a, 2, 1)[12:-12, 14:-12], atol=1e-5)


def moving_noise(scene, frames=12, sigma=3 / 255):
    rng = np.random.default_rng(2)
    clean = np.stack([np.roll(scene, shift // 4, 1) for shift in range(frames)])
    return (clean + rng.normal(0, sigma, clean.shape)).astype(np.float32)


def test_flicker_and_state(scene):
    frames = moving_noise(scene)
    enhancer = DetailEnhancer()
    _, out = enhancer.sequence(enhancer.init(frames[0]), frames)
    still = frames * 0 + frames.mean(0)
    noisy = (still + np.random.default_rng(3).normal(0, 3 / 255, frames.shape)).astype(np.float32)
    _, steady = enhancer.sequence(enhancer.init(noisy[0]), noisy)
    _, jumpy = dataclasses.replace(enhancer, inertia=0.0).sequence(enhancer.init(noisy[0]), noisy)

    def flicker(x):
        return float(np.abs(np.diff(np.asarray(x), axis=0)).mean())

    assert flicker(out - frames) <= 1.10 * flicker(frames)
    # A picture that stands still under noise: the result flickers at most a tenth more, and less than without state.
    assert flicker(steady) <= 1.10 * flicker(noisy)
    assert flicker(steady - noisy) < 0.5 * flicker(jumpy - noisy)
    # Chunks of any length are one run; the first frame is the image enhancer's.
    state, parts = enhancer.init(frames[0]), []
    for start in range(0, 12, 6):
        state, part = enhancer.sequence(state, frames[start : start + 6])
        parts.append(part)
    np.testing.assert_allclose(np.concatenate(parts), out, atol=1e-6)
    np.testing.assert_allclose(out[0], enhancer(frames[0]), atol=1e-6)
    same = np.repeat(frames[:1], 4, 0)
    _, repeated = enhancer.sequence(enhancer.init(same[0]), same)
    np.testing.assert_allclose(repeated, np.repeat(np.asarray(repeated)[:1], 4, 0), atol=1e-5)


def test_known_motion_carries_the_gain_maps(scene):
    # Rolling makes a seam: a sharp edge that is none of the picture's.
    enhancer = DetailEnhancer(inertia=1.0, motion=0.0, sharpness=None)
    frames = np.stack([np.roll(scene, 2 * shift, 1) for shift in range(5)])
    flow = np.zeros((5, 64, 64, 2), np.float32)
    flow[..., 0] = -2
    alone = np.stack([np.asarray(enhancer(frame)) for frame in frames])
    _, moved = enhancer.sequence(enhancer.init(frames[0]), frames, flow)
    _, averaged = enhancer.sequence(enhancer.init(frames[0]), frames)
    core = np.s_[1:, 12:-12, 20:-20]
    error = [np.abs(np.asarray(x)[core] - alone[core]).mean() for x in (moved, averaged)]
    assert error[0] < 0.5 * error[1]
    plane = scene[..., 0]
    np.testing.assert_allclose(warp(plane, flow[0])[:, 2:], np.roll(plane, 2, 1)[:, 2:], atol=1e-6)


def test_noise_estimate_and_band_constants():
    rng = np.random.default_rng(4)
    noise = rng.normal(0, 0.02, (256, 256)).astype(np.float32)
    y, x = np.mgrid[:256, :256] / 256
    assert float(noise_level(noise)) == pytest.approx(0.02, rel=0.08)
    assert float(noise_level((0.5 * x + 0.2 * np.sin(9 * y) + noise).astype(np.float32))) == pytest.approx(
        0.02, rel=0.1
    )
    bands = bands_of(noise / 0.02, 4).bands
    np.testing.assert_allclose([float(b.std()) for b in bands], [band_noise(k) for k in range(4)], rtol=0.05)
    assert float(noise_level(np.zeros((40, 50), np.float32))) == 0


@pytest.mark.parametrize("size", [(37, 52), (48, 33), (16, 9)])
@pytest.mark.parametrize("levels", [1, 2, 3])
def test_bands_are_the_pyramid_filter_and_sum_up_at_any_size(size, levels):
    plane = np.random.default_rng(5).random(size).astype(np.float32)
    found = bands_of(plane, levels)
    level = plane
    for index in range(levels):
        blurred = convolve1d(convolve1d(level, BINOMIAL, 0, mode="mirror"), BINOMIAL, 1, mode="mirror")
        np.testing.assert_allclose(found.inside(index), level - blurred, atol=1e-6)
        # The mirrored picture stays mirrored on a coarser grid only where the last sample is one of its own.
        level = blurred[::2, ::2]
        if min(level.shape) < 8 or level.shape != tuple((n + 1) / 2 for n in blurred.shape):
            break
    np.testing.assert_allclose(found.plane(), plane, atol=0)
    # A band of ones at every level adds up to their number: interpolation keeps constants.
    reaches = [reach for _, reach in margins(levels)]
    ones = [jnp.ones_like(found.reaching(k, reach)) for k, reach in enumerate(reaches)]
    np.testing.assert_allclose(sum_of(ones, size), np.full(size, levels), atol=1e-6)
    # A smooth wave at the coarse level comes out where it belongs.
    if levels == 2 and min(size) > 30:

        def wave(y, x):
            return np.cos(0.04 * y + 0.1) * np.cos(0.03 * x - 0.2)

        y, x = np.mgrid[-1 : (size[0] + 1) // 2 + 1, -1 : (size[1] + 1) // 2 + 1]
        both = [np.zeros(size, np.float32), wave(2 * y, 2 * x).astype(np.float32)]
        np.testing.assert_allclose(sum_of(both, size), wave(*np.mgrid[: size[0], : size[1]]), atol=2e-3)


@pytest.mark.misuse
def test_frequency_enhancer_by_fft(scene):
    boost = FrequencyEnhancer(gain=1.5, method="fft", cutoff=0.1)
    np.testing.assert_allclose(boost(np.full((9, 14, 3), 0.4, np.float32)), 0.4, atol=1e-6)
    np.testing.assert_allclose(FrequencyEnhancer(gain=1.0, method="fft")(scene), scene, atol=1e-6)
    # A cosine that the mirrored grid holds exactly is multiplied by the transfer function at its frequency.
    k = 12
    wave = 0.1 * np.cos(np.pi * k * (np.arange(64) + 0.5) / 64)
    image = (0.5 + np.broadcast_to(wave[None, :, None], (64, 64, 1))).astype(np.float32)
    factor = 1 + 0.5 * (1 - 2.0 ** -((k / 128 / 0.1) ** 2))
    np.testing.assert_allclose(boost(image), 0.5 + factor * (image - 0.5), atol=1e-5)
    for bad in ({"method": "dct"}, {"cutoff": 0.0}):
        with pytest.raises(ValueError, match=next(iter(bad))):
            FrequencyEnhancer(**bad)


def test_local_laplacian_keeps_large_edges_and_alpha_1_is_the_identity(scene):
    np.testing.assert_allclose(LocalLaplacian(alpha=1.0)(scene), scene, atol=1e-5)
    step = np.full((32, 32, 3), 0.2, np.float32)
    step[:, 16:] = 0.8
    got = np.asarray(LocalLaplacian(alpha=0.5, samples=16)(step))
    assert max(got.max() - 0.8, 0.2 - got.min()) < 0.03
    with pytest.raises(ValueError, match="samples"):
        LocalLaplacian(samples=1)


def test_misuse_is_named():
    with pytest.raises(gj.InputError, match="too small"):
        DetailEnhancer(gains=(1.0, 1.0, 1.0))(np.zeros((4, 9, 3), np.float32))
    with pytest.raises(ValueError, match="gains"):
        DetailEnhancer(gains=())
