"""Kalman filters and their smoother against pykalman."""

from __future__ import annotations

import numpy as np
import pytest
from pykalman import KalmanFilter

from gagjax.filters import ConstantAcceleration, ConstantVelocity, Kalman, rts, scan

Q, R, DT = 2.0, 0.3, 0.5
MODELS = {
    "Kalman": (Kalman(Q, R, dt=DT), [[1.0]], [[DT]]),
    "ConstantVelocity": (
        ConstantVelocity(Q, R, DT),
        [[1, DT], [0, 1]],
        [[DT**3 / 3, DT**2 / 2], [DT**2 / 2, DT]],
    ),
    "ConstantAcceleration": (
        ConstantAcceleration(Q, R, DT),
        [[1, DT, DT**2 / 2], [0, 1, DT], [0, 0, 1]],
        [
            [DT**5 / 20, DT**4 / 8, DT**3 / 6],
            [DT**4 / 8, DT**3 / 3, DT**2 / 2],
            [DT**3 / 6, DT**2 / 2, DT],
        ],
    ),
}


@pytest.mark.parametrize("name", MODELS)
def test_filter_and_smoother_agree_with_pykalman(name):
    model, f, q = MODELS[name]
    f, q = np.asarray(f), Q * np.asarray(q)
    rng = np.random.default_rng(0)
    xs = np.cumsum(rng.normal(size=(60, 2)), 0).astype(np.float32)
    valid = rng.random(60) > 0.2
    valid[0] = True
    before = np.diag(np.asarray(model.initial_covariance(), np.float64))
    filtered, smoothed = scan(model, xs, valid=valid)[0], rts(model, xs, valid)
    for column in range(2):
        start = np.r_[xs[0, column], np.zeros(len(f) - 1)]
        peer = KalmanFilter(f, np.eye(len(f))[:1], q, [[R]], None, None, start, f @ before @ f.T + q)
        seen = np.ma.masked_array(xs[:, column], mask=~valid)
        np.testing.assert_allclose(filtered[:, column], peer.filter(seen)[0][:, 0], atol=5e-4)
        np.testing.assert_allclose(smoothed[:, column], peer.smooth(seen)[0][:, 0], atol=5e-4)


@pytest.mark.parametrize(
    ("process_noise", "measurement_noise", "dt"), [(1.0, 2.5e-3, 0.04), (1e4, 1e-4, 0.04), (1e-4, 1.0, 1 / 240)]
)
def test_constant_acceleration_keeps_its_covariance_and_its_numbers_at_length(process_noise, measurement_noise, dt):
    f = ConstantAcceleration(process_noise, measurement_noise, dt)
    time = np.arange(50_000) * dt
    x = (np.sin(2 * time) + np.sqrt(measurement_noise) * np.random.default_rng(0).normal(size=len(time))).astype(
        np.float32
    )
    ys, state = scan(f, x)
    transition = np.array([[1, dt, dt**2 / 2], [0, 1, dt], [0, 0, 1]])
    powers = np.array(
        [[dt**5 / 20, dt**4 / 8, dt**3 / 6], [dt**4 / 8, dt**3 / 3, dt**2 / 2], [dt**3 / 6, dt**2 / 2, dt]]
    )
    mean, covariance = np.array([x[0], 0, 0], float), np.diag([float(v) for v in f.initial_covariance()])
    expected = np.empty(len(x))
    for t, value in enumerate(x):
        mean = transition @ mean
        covariance = transition @ covariance @ transition.T + process_noise * powers
        gain = covariance[:, 0] / (covariance[0, 0] + measurement_noise)
        mean = mean + gain * (value - mean[0])
        covariance = covariance - np.outer(gain, covariance[0])
        expected[t] = mean[0]
    np.testing.assert_allclose(ys, expected, atol=5e-4)
    found = np.zeros((3, 3))
    found[np.triu_indices(3)] = [float(np.ravel(c)[0]) for c in state.covariance]
    found = found + np.triu(found, 1).T
    np.testing.assert_allclose(found, covariance, rtol=1e-4, atol=1e-5 * np.abs(covariance).max())
    assert np.linalg.eigvalsh(found).min() > 0
