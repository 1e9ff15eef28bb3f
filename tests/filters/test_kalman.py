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
