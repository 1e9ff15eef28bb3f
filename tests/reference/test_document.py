"""The document variant equals a float64 oracle written from the published formulas."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

import gagjax as gj
from gagjax.detail.networks import reference_weights
from gagjax.detail.pyramid import downsample, upsample
from gagjax.reference import gaze
from gagjax.reference.detail import edge_weight, enhance
from gagjax.reference.temporal import EmaKalman
from tests.oracles import reference as oracle

torch = pytest.importorskip("torch", reason="needs torch")


def make_track(frames=40, seed=0):
    rng = np.random.default_rng(seed)
    turn = Rotation.from_rotvec(np.cumsum(rng.normal(size=(frames, 3)) * 0.4, 0)).as_matrix()
    transform = np.concatenate([turn, rng.normal(size=(frames, 3, 1)) + [[0.0], [0.0], [10.0]]], 2)
    return gj.Track(
        rng.normal(size=(frames, 100)),
        rng.normal(size=(frames, 3)) * 0.1,
        rng.normal(size=(frames, 6)) * 0.2,
        transform,
        neck=rng.normal(size=(frames, 3)),
        extra={"blink": rng.normal(size=(frames, 2)), "head": turn},
        rotations=("head",),
    )


@pytest.fixture(scope="module", params=[(0, 33, 47), (3, 64, 32)], ids=str)
def picture(request):
    seed, height, width = request.param
    return seed, np.random.default_rng(seed).random((2, height, width, 3)).astype(np.float32)


def test_whole_track_is_the_chain_of_the_formulas():
    track = make_track()
    got = gj.enhance_track(gj.Stack.reference(), track)
    smooth = {
        name: oracle.ema_kalman(np.asarray(value, np.float64))
        for name, value in (("expression", track.expression), ("jaw", track.jaw), ("eyes", track.eyes))
    }
    camera = oracle.rigid(np.asarray(track.transform, np.float64))
    centre = -np.einsum("tij,tj->ti", camera[:, :, :3], camera[:, :, 3])
    np.testing.assert_allclose(got.expression, oracle.expression(smooth["expression"]), atol=1e-5)
    np.testing.assert_allclose(got.jaw, smooth["jaw"], atol=1e-5)
    np.testing.assert_allclose(got.eyes, oracle.gaze(smooth["eyes"], centre), atol=2e-5)
    np.testing.assert_allclose(got.transform, camera, atol=1e-4)
    np.testing.assert_allclose(got.neck, oracle.ema_kalman(np.asarray(track.neck, np.float64)), atol=1e-5)
    np.testing.assert_allclose(got.extra["blink"], oracle.ema_kalman(np.asarray(track.extra["blink"])), atol=1e-5)
    head = np.concatenate([track.extra["head"], np.zeros((len(track), 3, 1))], 2).astype(np.float64)
    np.testing.assert_allclose(got.extra["head"], oracle.rigid(head)[:, :, :3], atol=1e-4)


def test_detail_and_eyes(picture):
    seed, frames = picture
    weights = reference_weights(seed)
    got, _ = gj.enhance_frames(gj.Stack.reference(seed=seed, enable=("detail",)), frames)
    np.testing.assert_allclose(got, [oracle.detail(f, weights.attention) for f in frames], atol=2e-5)
    centres = np.random.default_rng(seed).random((2, 2, 2)).astype(np.float32)
    got, _ = gj.enhance_frames(gj.Stack.reference(seed=seed, enable=("eyes",)), frames, centres)
    masks = gj.gaze.eye_mask(*frames.shape[1:3], centres)
    want = [oracle.eyes(f, weights.eyes, np.asarray(m, np.float64)) for f, m in zip(frames, masks, strict=True)]
    np.testing.assert_allclose(got, want, atol=2e-5)


@pytest.mark.parametrize("size", [(96, 80), (33, 47), (17, 16), (2, 3), (64, 5)])
def test_halving_and_doubling_are_those_of_pytorch(size):
    x = np.random.default_rng(0).random((2, *size, 3)).astype(np.float32)
    t = torch.from_numpy(np.moveaxis(x, -1, 1).copy())
    half = torch.nn.functional.interpolate(t, scale_factor=0.5, mode="bilinear", antialias=True, align_corners=False)
    np.testing.assert_allclose(downsample(x), np.moveaxis(half.numpy(), 1, -1), atol=1e-6)
    back = torch.nn.functional.interpolate(half, size=size, mode="bilinear", align_corners=False)
    np.testing.assert_allclose(
        upsample(np.moveaxis(half.numpy(), 1, -1), *size), np.moveaxis(back.numpy(), 1, -1), atol=2e-6
    )


def test_code_variant_couples_a_batch_and_document_does_not(picture):
    seed, frames = picture
    networks = reference_weights(seed).attention
    run = jax.jit(enhance, static_argnums=3)
    for variant, coupled in (("code", True), ("document", False)):
        together = run(frames, networks, 1.0, variant)
        alone = jnp.concatenate([run(f[None], networks, 1.0, variant) for f in frames])
        assert (float(jnp.abs(together - alone).max()) > 1e-5) == coupled
    edge = edge_weight(jnp.asarray(frames), "code")
    assert 0 <= float(edge.min()) < 1e-6 and float(edge.max()) > 0.99


def test_derivatives_are_finite_where_the_formulas_are_singular():
    flat = jnp.zeros((1, 8, 8, 3))
    networks = reference_weights(1).attention[:1]
    assert np.isfinite(jax.jit(jax.grad(lambda x: enhance(x, networks, 1.0, "document").sum()))(flat)).all()
    slope = jax.jit(jax.jacobian(gaze.rotation))
    for target in ([0.0, 0, 0], [0.0, 2, 0], [0.0, -1, 0], [0.0, 0, -1], [0.0, 0, 1]):
        assert np.isfinite(gaze.rotation(np.array(target))).all()
        assert np.isfinite(slope(jnp.array(target))).all()
    same = np.tile(np.eye(3, 4, dtype=np.float32), (5, 1, 1))
    track = gj.Track(np.zeros((5, 100)), np.zeros((5, 3)), np.zeros((5, 6)), same)
    stack = gj.Stack.reference("code", enable=("temporal", "expression", "gaze"))

    def loss(stack):
        got = gj.enhance_track(stack, track)
        return sum(jnp.sum(x) for x in (got.expression, got.eyes, got.transform))

    assert all(np.isfinite(g).all() for g in jax.tree.leaves(jax.jit(jax.grad(loss))(stack)))


@pytest.mark.misuse
def test_misuse_is_named():
    with pytest.raises(ValueError, match="variant"):
        EmaKalman(variant="paper")
    with pytest.raises(ValueError, match="variant"):
        gj.Stack.reference("paper")
