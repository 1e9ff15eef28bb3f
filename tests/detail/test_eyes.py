"""Eye crops equal the whole frame; networks start as the identity."""

from __future__ import annotations

import jax
import numpy as np
import pytest
from flax import nnx

import gagjax as gj
from gagjax.detail import networks
from gagjax.detail.eyes import EyeEnhancer, crop_size
from gagjax.detail.learned import AttentionEnhancer, AttentionNetwork, EyeNetwork
from gagjax.reference.detail import ReferenceEyes
from tests.oracles import reference as oracle


@pytest.fixture(scope="module")
def frames():
    y, x = np.mgrid[:96, :120] / 96
    waves = 0.5 + 0.3 * np.sin(25 * x * (1 + y))[..., None] * np.array([1, 0.8, 0.6])
    noise = 0.004 * np.random.default_rng(0).normal(size=(4, *waves.shape))
    return (waves + noise).astype(np.float32)


CENTRES = np.array(
    [
        [[0.35, 0.4], [0.65, 0.4]],
        [[0.48, 0.5], [0.55, 0.52]],  # overlapping crops
        [[0.01, 0.02], [0.99, 0.97]],  # at the borders
        [[1.3, 0.5], [0.5, -0.2]],  # outside
    ],
    np.float32,
)


@pytest.mark.parametrize("weights", [None, 1, 5])
def test_crops_equal_the_whole_frame(frames, weights):
    network = None if weights is None else networks.reference_weights(weights).eyes
    stage = EyeEnhancer(network=network, sharpness=None, sigma=0.05, spread=0.3)
    assert crop_size(stage.sigma, stage.reach(), 96) < 96
    got, want = np.asarray(stage(frames, CENTRES)), np.asarray(stage.full_frame(frames, CENTRES))
    mask = np.asarray(stage.masks(96, 120, CENTRES))
    assert np.abs(want - frames).max() > 1e-3
    np.testing.assert_allclose(got[mask > 1e-4], want[mask > 1e-4], atol=1e-5)
    assert np.abs(got - frames)[mask < 1e-6].max() < 1e-6


def test_crops_of_the_published_width_equal_the_reference_stage(frames):
    network = networks.reference_weights(2).eyes
    _, want = ReferenceEyes(network).apply((), frames, CENTRES)
    got = EyeEnhancer(network=network, sharpness=None, sigma=0.08, spread=1e3)(frames, CENTRES)
    mask = np.asarray(gj.gaze.eye_mask(96, 120, CENTRES))
    np.testing.assert_allclose(np.asarray(got)[mask > 1e-4], np.asarray(want)[mask > 1e-4], atol=1e-5)


def test_eyes_that_are_not_seen_change_nothing(frames):
    stage = EyeEnhancer(sharpness=None)
    nan = np.full((2, 2), np.nan, np.float32)
    np.testing.assert_array_equal(stage(frames[0], nan), frames[0])
    one = CENTRES[0].copy()
    one[1] = np.nan
    got = np.asarray(stage(frames[0], one))
    assert np.isfinite(got).all()
    changed = np.abs(got - frames[0]).max(-1)
    assert changed[:, :60].max() > 1e-3 and changed[:, 70:].max() == 0
    out, _ = gj.enhance_frames(gj.Stack.default(enable=("eyes",)), frames)
    np.testing.assert_array_equal(out, frames)
    out, _ = gj.enhance_frames(gj.Stack.live(enable=("eyes",)), frames, CENTRES)
    np.testing.assert_allclose(out, stage(frames, CENTRES), atol=1e-6)


def test_networks_are_the_formula_and_start_as_the_identity(frames):
    eyes, attention = EyeNetwork(rngs=nnx.Rngs(0)), AttentionNetwork(rngs=nnx.Rngs(0))
    clipped = np.clip(frames[:1], 0, 1)
    np.testing.assert_array_equal(eyes(clipped), clipped)
    np.testing.assert_array_equal(attention(clipped), np.full((1, 96, 120, 1), 0.5, np.float32))
    stage = AttentionEnhancer((attention.weights(),) * 4)
    np.testing.assert_allclose(stage(clipped), clipped, atol=1e-6)
    shapes = [layer.kernel.shape for layer in eyes.weights()]
    assert shapes == [(3, 3, 3, 32), (3, 3, 32, 32), (3, 3, 32, 32), (3, 3, 32, 3)]
    shapes = [layer.kernel.shape for layer in attention.weights()]
    assert shapes == [(3, 3, 3, 16), (3, 3, 16, 16), (1, 1, 16, 1)]
    network = networks.reference_weights(3).eyes
    small = clipped[:, :9, :8]
    np.testing.assert_allclose(
        networks.run(network, small)[0], oracle.network(network, small[0].astype(np.float64)), atol=1e-5
    )
    # The gradient reaches the weights although the last layer is zero.
    graph, state = nnx.split(eyes)
    grads = jax.grad(lambda s: ((nnx.merge(graph, s)(small) - 0.5) ** 2).sum())(state)
    assert any(np.abs(g).max() > 0 for g in jax.tree.leaves(grads))


def test_weights_are_saved_and_loaded(tmp_path):
    weights = networks.reference_weights(4)
    networks.save(tmp_path / "w.npz", weights)
    back = networks.load(tmp_path / "w.npz")
    for a, b in zip(jax.tree.leaves(weights), jax.tree.leaves(back), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4)
    assert (tmp_path / "w.npz").stat().st_size < 200_000
    (tmp_path / "bad.npz").write_bytes(b"no weights")
    with pytest.raises(gj.InputError, match="no network weights"):
        networks.load(tmp_path / "bad.npz")


def test_shipped_weights_restore_the_eyes_of_a_picture_they_have_not_seen():
    from benchmarks.pictures import degrade, real
    from benchmarks.train_networks import EYES, psnr

    truth = real(256)["astronaut"]
    top, bottom, left, right = (int(256 * share) for share in EYES["astronaut"])
    middle = np.array([[0.40, 0.215], [0.48, 0.215]], np.float32)
    for kind in ("blur", "noise"):
        bad = degrade(truth, kind)
        whole = np.asarray(networks.enhance_eyes(networks.shipped().eyes, bad[None])[0])
        cut = np.s_[top:bottom, left:right]
        assert psnr(whole[cut], truth[cut]) > psnr(bad[cut], truth[cut]) + 0.5
        # Where the mask is full, that is what the stage puts there.
        stage = EyeEnhancer.trained(sharpness=None)
        got = np.asarray(stage(bad, middle))
        mask = np.asarray(stage.masks(256, 256, middle[None]))[0]
        np.testing.assert_allclose(got, bad + mask[..., None] * (whole - bad), atol=4e-5)
    # A sharp picture passes either kind of stage as it is, a soft one does not.
    for stage in (EyeEnhancer(), EyeEnhancer.trained()):
        np.testing.assert_array_equal(stage(truth, middle), truth)
        assert np.abs(np.asarray(stage(degrade(truth, "blur"), middle)) - degrade(truth, "blur")).max() > 0.02
    assert networks.enhance_eyes(networks.shipped().eyes, bad[None, :32, :32]).shape == (1, 32, 32, 3)
    assert len(networks.shipped().attention) == 4
    restored = np.asarray(AttentionEnhancer.trained()(degrade(truth, "blur")))
    assert psnr(restored, truth) > psnr(degrade(truth, "blur"), truth) + 0.5
