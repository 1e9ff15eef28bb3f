"""Motion measures: written-out NumPy, and laws (the truth is perfect, a shift is its own lag)."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gagjax.metrics import motion, report
from gagjax.simulate import blink_times, driver


def wave(t: np.ndarray) -> np.ndarray:
    return np.stack([np.sin(0.31 * t) + 0.4 * np.sin(0.77 * t + 1), np.cos(0.2 * t) * 3, 0 * t], 1).astype(np.float32)


@given(st.floats(-6, 6))
def test_the_lag_of_a_shifted_signal_is_its_shift(shift):
    t = np.arange(150.0)
    assert float(motion.lag(wave(t - shift), wave(t))) == pytest.approx(shift, abs=0.04)


def test_the_lag_of_the_truth_is_zero_and_of_nothing_unknown():
    x = wave(np.arange(60.0))
    assert float(motion.lag(x, x)) == pytest.approx(0, abs=1e-3)
    assert np.isnan(motion.lag(0 * x, x))
    with pytest.raises(ValueError, match="too few"):
        motion.lag(x[:10], x[:10])


def test_an_average_of_the_last_three_frames_lags_by_one():
    x = wave(np.arange(400.0))
    late = (x[2:] + x[1:-1] + x[:-2]) / 3
    assert float(motion.lag(late, x[2:])) == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("order", [2, 3])
def test_differences_are_those_of_numpy_and_skip_what_touches_a_missing_frame(order):
    generator = np.random.default_rng(1)
    x, y = generator.normal(size=(2, 12, 5, 3))
    difference = np.linalg.norm(np.diff(x - y, order, axis=0), axis=-1).mean(1)
    assert float(motion.difference_error(x, y, order=order)) == pytest.approx(difference.mean(), rel=1e-5)
    valid = np.ones(12, bool)
    valid[6] = False
    kept = [i for i in range(12 - order) if valid[i : i + order + 1].all()]
    x[6] = 1e6
    assert float(motion.difference_error(x, y, valid, order=order)) == pytest.approx(difference[kept].mean(), rel=1e-5)


def test_jitter_in_seconds_does_not_depend_on_the_frame_rate():
    def parabola(fps: float) -> np.ndarray:
        return (np.arange(0, 1, 1 / fps) ** 2)[:, None, None]

    slow, fast = (float(motion.jitter(parabola(fps), fps=fps)) for fps in (20, 40))
    assert slow == pytest.approx(2, rel=1e-3) and fast == pytest.approx(2, rel=1e-2)
    assert float(motion.jitter(np.ones((5, 2, 3)))) == 0


def test_blinks_of_the_driver_are_whole_and_halved_where_halved():
    truth = np.asarray(driver(300, seed=3).expression[:, 0])
    assert len(blink_times(11.9, 3)) > 2
    assert float(motion.blink_depth(truth, truth)) == pytest.approx(1, abs=1e-6)
    median = np.median(truth)
    assert float(motion.blink_depth(median + 0.5 * (truth - median), truth)) == pytest.approx(0.5, abs=1e-5)
    assert float(motion.blink_depth(np.roll(truth, 2), truth)) == pytest.approx(1, abs=1e-6)  # lag is not depth
    assert np.isnan(motion.blink_depth(truth * 0, truth * 0))


def test_each_blink_counts_once():
    truth = np.zeros(40)
    truth[[10, 11, 12, 30]] = 1
    half_of_second = truth.copy()
    half_of_second[30] = 0.5
    assert float(motion.blink_depth(half_of_second, truth)) == pytest.approx(0.75)


@given(st.floats(0, 179.9), st.integers(0, 1000))
def test_rotation_error_is_the_angle(degrees, seed):
    from scipy.spatial.transform import Rotation

    generator = np.random.default_rng(seed)
    axis = generator.normal(size=3)
    turn = Rotation.from_rotvec(np.deg2rad(degrees) * axis / np.linalg.norm(axis))
    base = Rotation.random(random_state=seed)
    error = motion.rotation_error((base * turn).as_matrix(), base.as_matrix())
    assert float(error) == pytest.approx(degrees, abs=0.02)


def test_gaze_error_and_divergence():
    truth = np.zeros((1, 6), np.float32)
    eyes = np.deg2rad(np.array([[0, 10, 0, -5, 0, 0]], np.float32))
    np.testing.assert_allclose(motion.gaze_error(eyes, truth), [[10, 5]], rtol=1e-4)
    assert float(motion.eye_divergence(eyes)[0]) == pytest.approx(11.17, abs=0.01)
    rolled = np.array([[0, 0, 0.3, 0, 0, 0]], np.float32)  # about the line of sight: no error of direction
    np.testing.assert_allclose(motion.gaze_error(rolled, truth), 0, atol=1e-3)


def test_distances_are_means_of_absolute_differences():
    assert float(motion.average_expression_distance(np.ones((3, 4)), np.zeros((3, 4)))) == 1
    from scipy.spatial.transform import Rotation

    turned = np.zeros((2, 3, 4), np.float32)
    turned[:, :, :3] = Rotation.from_rotvec([0, 0.3, 0]).as_matrix()
    still = np.tile(np.eye(3, 4, dtype=np.float32), (2, 1, 1))
    assert float(motion.average_pose_distance(turned, still)) == pytest.approx(0.1, abs=1e-5)


def test_the_best_figure_is_marked_by_what_is_good():
    rows = {"psnr": report.IMAGE["psnr"], "lag_face": report.MOTION["lag_face"], "blink": report.MOTION["blink"]}
    columns = {
        "a": {"psnr": 30.0, "lag_face": -40.0, "blink": 104.0},
        "b": {"psnr": 20.0, "lag_face": 10.0, "blink": 90.0},
    }
    assert [report.best_of(each, {n: columns[n][k] for n in columns}) for k, each in rows.items()] == [
        {"a"},
        {"b"},
        {"a"},
    ]
    lines = report.as_text(rows, columns).splitlines()
    assert "30.00*" in lines[1] and "10*" in lines[2] and "104*" in lines[3]
