"""The original's calls give what the golden vectors hold, with NumPy and with torch."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from gagjax import InputError
from gagjax.reference import DetailEnhancer, ExpressionOptimizer, EyeEnhancer, GazeCorrector, TemporalSmoother, gaze
from gagjax.reference.expression import factors

TRACK, IMAGE, CAMERA = 1e-5, 2e-5, 1e-4
KEYS = ("expcode", "posecode", "eyecode")


@pytest.fixture(scope="module")
def golden(shared):
    return np.load(shared / "reference" / "golden_enhancements_v1.npz")


def numpy_of(x):
    return x


def torch_of(x):
    return pytest.importorskip("torch", reason="needs torch").from_numpy(np.array(x))


@pytest.mark.parametrize("kind", [numpy_of, torch_of])
@pytest.mark.parametrize("kalman", [True, False])
def test_smooth_in_a_loop(golden, kind, kalman):
    smoother = TemporalSmoother(alpha=0.5, window_size=5, use_kalman=kalman)
    shape = kind(np.arange(300, dtype=np.float32))
    for t in range(48):
        record = {key: kind(golden[f"temporal/input/{key}"][t]) for key in KEYS}
        record["transform_matrix"] = kind(golden["transform/input"][t])
        made = smoother.smooth(record | {"shapecode": shape, "name": "a"})
        assert list(made) == [*record, "shapecode", "name"] and made["shapecode"] is shape and made["name"] == "a"
        for key in KEYS:
            assert type(made[key]) is type(record[key]) and made[key].dtype == record[key].dtype
            want = golden[f"temporal/{'ema_kalman' if kalman else 'ema'}/{key}"][t]
            np.testing.assert_allclose(np.asarray(made[key]), want, atol=TRACK)
        np.testing.assert_allclose(np.asarray(made["transform_matrix"]), golden["transform/output"][t], atol=CAMERA)


def test_smooth_transform_alone_and_after_a_reset(golden):
    smoother = TemporalSmoother()
    for _ in range(2):
        for t in range(5):
            given = np.concatenate([golden["transform/input"][t], np.float32([[0, 0, 0, 1]])])[None]
            made = smoother.smooth_transform(given)
            assert made.shape == (1, 4, 4)
            np.testing.assert_allclose(made[0, :3], golden["transform/output"][t], atol=CAMERA)
            np.testing.assert_array_equal(made[0, 3], [0, 0, 0, 1])
        smoother.reset()


@pytest.mark.parametrize("kind", [numpy_of, torch_of])
@pytest.mark.parametrize("strength", ["0.5", "1.0", "1.5"])
def test_detail(golden, kind, strength):
    image = kind(golden["detail/image"])
    made = DetailEnhancer().forward(image, strength_multiplier=float(strength))
    assert type(made) is type(image)
    np.testing.assert_allclose(np.asarray(made), golden[f"detail/output/{strength}"], atol=IMAGE)
    np.testing.assert_allclose(np.asarray(DetailEnhancer()(image[0], float(strength))), np.asarray(made)[0], atol=1e-7)


def test_eyes(golden):
    made = EyeEnhancer()(golden["detail/image"])
    np.testing.assert_allclose(made, golden["eye/enhanced"], atol=IMAGE)
    height, width = golden["detail/image"].shape[2:]
    np.testing.assert_allclose(EyeEnhancer().create_eye_mask(height, width), golden["eye/mask_default"], atol=IMAGE)
    mask = EyeEnhancer().create_eye_mask(height, width, golden["eye/landmarks_2d"])
    np.testing.assert_allclose(mask, golden["eye/mask_landmarks"], atol=IMAGE)


@pytest.mark.parametrize("kind", [numpy_of, torch_of])
def test_expression(golden, kind):
    xs = kind(golden["temporal/input/expcode"])
    optimizer = ExpressionOptimizer()
    np.testing.assert_allclose(optimizer.optimize_expression(xs), golden["expression/output"], atol=TRACK)
    made = optimizer.optimize_expression(xs, identity_features=np.zeros(4))
    np.testing.assert_allclose(made, golden["expression/output_identity"], atol=TRACK)
    for metric in ("l2", "cosine", "perceptual"):
        made = optimizer.compute_expression_distance(xs[:-1], xs[1:], metric)
        np.testing.assert_allclose(made, golden[f"expression/distance/{metric}"], atol=TRACK)
    made = optimizer.blend_expressions(xs[:-1], xs[1:])
    assert type(made) is type(xs)
    np.testing.assert_allclose(made, golden["expression/blend_mouth_brow"], atol=TRACK)


def test_pca_projects_onto_the_dataset():
    rng = np.random.default_rng(0)
    plane = rng.normal(size=(2, 100))
    rows = rng.normal(size=(60, 2)) @ plane + 0.3
    optimizer = ExpressionOptimizer(num_components=2, variant="document").initialize_pca(rows)
    scale = factors("document")
    np.testing.assert_allclose(optimizer.optimize_expression(rows[:5]), rows[:5] * scale, atol=1e-4)
    aside = rng.normal(size=100)
    made = optimizer.optimize_expression(rows[0] + aside) / scale
    base = np.linalg.lstsq(plane.T, (rows[0] + aside) - rows.mean(0), rcond=None)[0] @ plane + rows.mean(0)
    np.testing.assert_allclose(made, base, atol=1e-3)
    with pytest.raises(InputError, match="dataset"):
        ExpressionOptimizer().initialize_pca(np.zeros((1, 100)))


@pytest.mark.parametrize("kind", [numpy_of, torch_of])
def test_gaze(golden, kind):
    corrector = GazeCorrector()
    eyes, target = kind(golden["gaze/eyecode"]), kind(golden["gaze/target"])
    np.testing.assert_allclose(corrector.correct_gaze(eyes, target), golden["gaze/output"], atol=TRACK)
    np.testing.assert_allclose(
        corrector.estimate_gaze(golden["gaze/landmarks_3d"]), golden["gaze/estimated"], atol=TRACK
    )
    record = {"eyecode": eyes, "posecode": 1}
    made = corrector.correct(record, target)
    np.testing.assert_allclose(made["eyecode"], golden["gaze/output"], atol=TRACK)
    assert made["posecode"] == 1 and record["eyecode"] is eyes
    assert corrector.correct_gaze(eyes) is eyes
    free = GazeCorrector(variant="document", strength=1.0).correct_gaze(np.zeros(6), np.array([1.0, 0, 1]))
    np.testing.assert_allclose(free, gaze.rotation(np.array([1.0, 0, 1])), atol=1e-6)


def test_float64_and_lists_keep_their_kind():
    made = TemporalSmoother().smooth({"expcode": np.zeros(100), "eyecode": [0.0] * 6})
    assert made["expcode"].dtype == np.float64 and made["eyecode"].dtype == np.float64


def test_what_cannot_be_smoothed_is_refused():
    smoother = TemporalSmoother()
    smoother.smooth({"expcode": np.zeros(100)})
    for record, message in (
        ({"expcode": np.zeros(50)}, "before it had"),
        ({"expcode": np.full(100, np.nan)}, "not finite"),
        ({"transform_matrix": np.zeros((3, 3))}, "expected"),
        ({"eyecode": "left"}, "no numbers"),
    ):
        with pytest.raises(InputError, match=message):
            smoother.smooth(record)
    with pytest.raises(InputError, match="alpha"):
        TemporalSmoother(alpha=0)
    with pytest.raises(InputError, match="image"):
        DetailEnhancer()(np.zeros((8, 8, 3), np.float32))
    with pytest.raises(InputError, match="regions"):
        ExpressionOptimizer().blend_expressions(np.zeros(100), np.zeros(100), regions=("chin",))


def test_torch_is_not_imported():
    code = "import sys, numpy as np; from gagjax.reference import TemporalSmoother; "
    code += "TemporalSmoother().smooth({'expcode': np.zeros(100)}); assert 'torch' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
