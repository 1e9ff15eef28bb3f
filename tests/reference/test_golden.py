"""The code variant equals the golden vectors of the original, array by array."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest

import gagjax as gj
from gagjax.detail.networks import attend, reference_weights
from gagjax.detail.pyramid import laplacian_pyramid
from gagjax.reference import expression, gaze
from gagjax.reference.detail import ReferenceEyes, enhance
from gagjax.reference.temporal import EmaKalman, RigidEma

TRACK, IMAGE, CAMERA = 1e-5, 2e-5, 1e-4
LEVELS = range(4)


@pytest.fixture(scope="module")
def golden(shared):
    return np.load(shared / "reference" / "golden_enhancements_v1.npz")


def image(array):
    return np.moveaxis(array, 1, -1)


@pytest.mark.parametrize("name", ["expcode", "posecode", "eyecode"])
@pytest.mark.parametrize("kalman", [False, True])
def test_temporal(golden, name, kalman):
    ys, _ = gj.scan(EmaKalman(variant="code", kalman=kalman), golden[f"temporal/input/{name}"])
    want = golden[f"temporal/{'ema_kalman' if kalman else 'ema'}/{name}"]
    np.testing.assert_allclose(ys, want, atol=TRACK)


def test_transform(golden):
    ys, _ = gj.scan(RigidEma(variant="code"), golden["transform/input"])
    np.testing.assert_allclose(ys, golden["transform/output"], atol=CAMERA)


def test_pyramid_edges_and_attention(golden):
    bands, base = laplacian_pyramid(image(golden["detail/image"]), levels=4)
    np.testing.assert_allclose(base, image(golden["detail/base"]), atol=IMAGE)
    for level in LEVELS:
        np.testing.assert_allclose(bands[level], image(golden[f"detail/laplacian/{level}"]), atol=IMAGE)
        edge = gj.detail.sobel_magnitude(bands[level])
        np.testing.assert_allclose(edge, image(golden[f"detail/edge/{level}"]), atol=IMAGE)
        attention = attend(reference_weights(1).attention[level], bands[level])
        np.testing.assert_allclose(attention, image(golden[f"detail/attention/{level}"]), atol=IMAGE)


@pytest.mark.parametrize("strength", ["0.5", "1.0", "1.5"])
def test_detail(golden, strength):
    got = enhance(image(golden["detail/image"]), reference_weights(1).attention, float(strength), "code")
    np.testing.assert_allclose(got, image(golden[f"detail/output/{strength}"]), atol=IMAGE)


def test_frequency(golden):
    got = gj.detail.FrequencyEnhancer()(image(golden["detail/image"]))
    np.testing.assert_allclose(got, image(golden["detail/frequency"]), atol=IMAGE)


def test_eyes(golden):
    stage = ReferenceEyes(reference_weights(1).eyes)
    _, got = stage.apply((), jnp.asarray(image(golden["detail/image"])))
    np.testing.assert_allclose(got, image(golden["eye/enhanced"]), atol=IMAGE)


def test_frames_through_the_stack(golden):
    frames = image(golden["detail/image"])
    got, _ = gj.enhance_frames(gj.Stack.reference("code", enable=("detail",)), frames)
    np.testing.assert_allclose(got, image(golden["detail/output/1.0"]), atol=IMAGE)
    got, _ = gj.enhance_frames(gj.Stack.reference("code", enable=("eyes",)), frames)
    np.testing.assert_allclose(got, image(golden["eye/enhanced"]), atol=IMAGE)


def test_gaze(golden):
    got = gaze.correct(golden["gaze/eyecode"], golden["gaze/target"], variant="code")
    np.testing.assert_allclose(got, golden["gaze/output"], atol=TRACK)
    np.testing.assert_allclose(gaze.estimate(golden["gaze/landmarks_3d"]), golden["gaze/estimated"], atol=TRACK)


def test_expression(golden):
    xs = golden["temporal/input/expcode"]
    for identity, name in ((False, "output"), (True, "output_identity")):
        stage = expression.reference_expression("code", identity)
        np.testing.assert_allclose(stage(xs), golden[f"expression/{name}"], atol=TRACK)
    for kind in ("l2", "cosine", "perceptual"):
        got = expression.distance(xs[:-1], xs[1:], kind)
        np.testing.assert_allclose(got, golden[f"expression/distance/{kind}"], atol=TRACK)
    np.testing.assert_allclose(expression.blend(xs[:-1], xs[1:]), golden["expression/blend_mouth_brow"], atol=TRACK)


def test_tracks_through_the_stack(golden):
    frames = len(golden["transform/input"])
    track = gj.Track(
        golden["temporal/input/expcode"],
        golden["temporal/input/posecode"][:, 3:],
        golden["temporal/input/eyecode"],
        golden["transform/input"],
    )
    got = gj.enhance_track(gj.Stack.reference("code", enable=("temporal",)), track)
    np.testing.assert_allclose(got.expression, golden["temporal/ema_kalman/expcode"], atol=TRACK)
    np.testing.assert_allclose(got.jaw, golden["temporal/ema_kalman/posecode"][:, 3:], atol=TRACK)
    np.testing.assert_allclose(got.eyes, golden["temporal/ema_kalman/eyecode"], atol=TRACK)
    np.testing.assert_allclose(got.transform, golden["transform/output"], atol=CAMERA)
    got = gj.enhance_track(gj.Stack.reference("code", enable=("expression",)), track)
    np.testing.assert_allclose(got.expression, golden["expression/output"], atol=TRACK)
    stage = gaze.ReferenceGaze(target=golden["gaze/target"], variant="code")
    eyes = np.concatenate([golden["gaze/eyecode"], np.zeros((frames - 32, 6), np.float32)])
    short = gj.Track(track.expression[:32], track.jaw[:32], eyes[:32], track.transform[:32])
    got = gj.enhance_track(gj.Stack(gaze=stage), short)
    np.testing.assert_allclose(got.eyes, golden["gaze/output"], atol=TRACK)
