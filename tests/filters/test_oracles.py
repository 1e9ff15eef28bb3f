"""Filters and smoothers against float64 oracles and other libraries, and their derivatives against differences."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.signal import lfilter, savgol_filter

from gagjax import so3
from gagjax.filters import (
    AdaptiveSmoother,
    ConstantAcceleration,
    ConstantVelocity,
    Ema,
    Kalman,
    OneEuro,
    RotationConstantVelocity,
    RotationEma,
    SavitzkyGolay,
    fixed_lag,
    rts,
    scan,
    steady,
)
from tests.filters.registry import gaps, rotations, vectors
from tests.oracles.kalman import smooth

ROBUST = {
    "plain": {},
    "gate": {"gate": np.float32(2.0)},
    "huber": {"huber": np.float32(1.0)},
    "dof": {"dof": np.float32(4.0)},
}


@pytest.mark.parametrize("kind", ROBUST)
@pytest.mark.parametrize("model", [ConstantVelocity, ConstantAcceleration])
def test_kalman_and_rts_equal_the_oracle(model, kind):
    # In float64: in float32 an unknown start and a gap right after it leave three digits.
    with jax.enable_x64(True):
        f = jax.tree.map(lambda x: jnp.asarray(np.float64(x)), model(2.0, 0.3, dt=0.5, **ROBUST[kind]))
        for seed in range(4):
            xs, valid = vectors(seed, 40).astype(np.float64), gaps(seed, 40)
            # What a gate assumes unknown when it starts anew depends on the frame's dt, so there it is even.
            dts = np.full(40, 0.5) if kind == "gate" else np.random.default_rng(seed).uniform(0.3, 0.7, 40)
            filtered, smoothed = scan(f, xs, valid=valid, dt=dts)[0], rts(f, xs, valid, dts)
            start = np.asarray(f.initial_covariance())
            for column in range(3):
                peer = smooth(xs[:, column], valid, f.order, 2.0, 0.3, dts, start, **ROBUST[kind])
                np.testing.assert_allclose(filtered[:, column], peer[0], atol=1e-5)
                np.testing.assert_allclose(smoothed[:, column], peer[1], atol=1e-5)


#: Models by name, and how far their float32 smoother may be off, in parts of the channel's range.
GAPPED = {
    "velocity": ConstantVelocity(2.0, 0.3, dt=0.5),
    "velocity at 25 frames/s": ConstantVelocity.from_cutoff(4.0, noise=0.01, fps=25),
    "velocity, gate": ConstantVelocity(2.0, 0.3, dt=0.5, gate=5.0),
    "velocity, dof": ConstantVelocity(2.0, 0.3, dt=0.5, dof=4.0),
    "acceleration": ConstantAcceleration(2.0, 0.3, dt=0.5),
}


@pytest.mark.parametrize("name", GAPPED)
def test_a_gap_anywhere_costs_no_digits(name):
    """An unknown start and a gap right after it left three digits of velocities, and none of accelerations."""
    f, xs = GAPPED[name], vectors(0, 40)
    xs = xs * np.float32(0.02) if "25" in name else xs
    dts = np.full(40, f.dt, float)
    noises = [float(x) for x in (f.process_noise, f.measurement_noise)]
    with jax.enable_x64(True):
        start = np.asarray(jax.tree.map(lambda x: jnp.asarray(np.float64(x)), f).initial_covariance())
    robust = {key: getattr(f, key) for key in ("gate", "dof") if getattr(f, key) is not None}
    for begin in (1, 2, 3, 15):
        for length in (1, 3, 8, 20):
            valid = np.ones(40, bool)
            valid[begin : begin + length] = False
            got = np.asarray(rts(f, xs, valid))
            for column in range(3):
                x = xs[:, column].astype(float)
                peer = smooth(x, valid, f.order, *noises, dts, start, **robust)[1]
                np.testing.assert_allclose(got[:, column], peer, atol=1e-4 * np.ptp(x[valid]))


def test_a_gap_right_after_the_first_rotation_costs_no_digits():
    turns, f = rotations(0, 40), RotationConstantVelocity(0.5, 0.3, 0.5)
    for length in (1, 8, 20):
        valid = np.ones(40, bool)
        valid[1 : 1 + length] = False
        got = np.asarray(rts(f, turns, valid))
        with jax.enable_x64(True):
            exact = rts(jax.tree.map(lambda x: jnp.asarray(np.float64(x)), f), turns.astype(np.float64), valid)
        np.testing.assert_allclose(got, exact, atol=1e-5)
        v = 1e-3 * vectors(4, 40)
        small = rts(ConstantVelocity(2e-6, 3e-7, 0.5), v, valid)
        np.testing.assert_allclose(
            so3.log(rts(RotationConstantVelocity(2e-6, 3e-7, 0.5), so3.exp(v), valid)), small, atol=2e-5
        )


def test_ema_is_scipys_and_settled_kalman_is_an_ema():
    xs = vectors(1, 200)
    start = (0.7 * xs[0])[None]
    np.testing.assert_allclose(scan(Ema(0.3), xs)[0], lfilter([0.3], [1, -0.7], xs, 0, zi=start)[0], atol=1e-5)
    kalman = Kalman(1e-3, 1e-2, 1.0)
    gain = float(steady(kalman).gain[0])
    np.testing.assert_allclose(gain, 0.270, atol=5e-4)
    np.testing.assert_allclose(scan(kalman, xs)[0][100:], scan(Ema(gain), xs)[0][100:], atol=1e-4)
    np.testing.assert_allclose(rts(steady(kalman), xs)[60:-60], rts(kalman, xs)[60:-60], atol=1e-4)


def test_savitzky_golay_is_scipys():
    xs = vectors(2, 60)
    # Degrees from 4 were off by up to 3 at the ends, and so is any float32 solution of normal equations.
    for window in (1, 3, 5, 7, 9, 11, 15, 21, 31, 45, 59):
        for degree in range(min(9, window)):
            expected = savgol_filter(xs.astype(np.float64), window, degree, axis=0)
            np.testing.assert_allclose(SavitzkyGolay(window, degree)(xs), expected, atol=2e-5 * np.ptp(xs))
            far = SavitzkyGolay(window, degree)(xs + np.float32(4096))
            np.testing.assert_allclose(far, expected + 4096, atol=3e-3)
    line = np.arange(30, dtype=np.float32)
    broken = np.where(np.arange(30) % 4 == 1, np.nan, line)
    np.testing.assert_allclose(SavitzkyGolay(7, 2)(broken, np.isfinite(broken)), line, atol=1e-3)


@pytest.mark.parametrize("degree", range(9))
def test_savitzky_golay_with_gaps_is_a_least_squares_fit(degree):
    xs, valid = vectors(3, 60).astype(np.float64), gaps(3, 60)
    valid[20:40] = False  # longer than a window: nothing is seen in its middle
    window, got = 15, np.asarray(SavitzkyGolay(15, degree)(np.where(valid[:, None], xs, np.nan), valid))
    assert np.isfinite(got).all()
    for t in range(60):
        taps = np.clip(t - window // 2, 0, 60 - window) + np.arange(window)
        taps = taps[valid[taps]]
        # High degrees through a few frames at one end only are not determined in float32: told apart by float64.
        basis = np.polynomial.legendre.legvander((taps - t) / window, degree)
        if len(taps) > degree + 2 and np.linalg.cond(basis) < 1e3:
            best = np.polynomial.legendre.legvander(0, degree) @ np.linalg.lstsq(basis, xs[taps], rcond=None)[0]
            np.testing.assert_allclose(got[t], best[0], atol=1e-3 * np.ptp(xs))
    np.testing.assert_array_equal(got[29], xs[np.flatnonzero(valid[:30])[-1]].astype(np.float32))


def test_one_euro_is_the_papers_algorithm():
    xs = vectors(3, 40).astype(np.float64)
    fps, low, beta, slow = 10.0, 1.0, 0.3, 1.0

    def weight(cutoff):
        return 1 / (1 + fps / (2 * np.pi * cutoff))

    y, slope, out = xs[0], np.zeros(3), []
    for x in xs:
        slope = weight(slow) * (x - y) * fps + (1 - weight(slow)) * slope
        alpha = weight(low + beta * np.abs(slope))
        y = alpha * x + (1 - alpha) * y
        out.append(y)
    np.testing.assert_allclose(scan(OneEuro(low, beta, slow, fps), xs.astype(np.float32))[0], out, atol=1e-4)


def test_small_rotations_are_filtered_like_vectors():
    v = 1e-3 * vectors(4, 40)
    turns, valid = so3.exp(v), gaps(4, 40)
    a, b = RotationConstantVelocity(2e-6, 3e-7, 0.5), ConstantVelocity(2e-6, 3e-7, 0.5)
    np.testing.assert_allclose(so3.log(scan(a, turns)[0]), scan(b, v)[0], atol=2e-5)
    np.testing.assert_allclose(so3.log(rts(a, turns, valid)), rts(b, v, valid), atol=5e-5)
    np.testing.assert_allclose(so3.log(scan(RotationEma(0.3), turns)[0]), scan(Ema(0.3), v)[0], atol=1e-5)


def test_a_constant_turn_is_followed_without_lag():
    turns = so3.exp(np.arange(60, dtype=np.float32)[:, None] * np.array([0.05, 0.1, -0.02], np.float32))
    f = RotationConstantVelocity(1e-3, 1e-2, 1.0)
    angle = np.linalg.norm(so3.log(np.swapaxes(rts(f, turns), 1, 2) @ np.asarray(turns)), axis=1)
    assert angle.max() < 1e-3


def test_fixed_lag_is_the_smoother_of_what_is_known():
    with jax.enable_x64(True):
        xs, valid, lag = vectors(5, 40).astype(np.float64), gaps(5, 40), 4
        f = jax.tree.map(lambda x: jnp.asarray(np.float64(x)), ConstantVelocity(2.0, 0.3, 0.5, gate=3.0))
        ys = scan(fixed_lag(f, lag), xs, valid=valid)[0]
        for t in (0, 7, 30):
            np.testing.assert_allclose(ys[t + lag], rts(f, xs[: t + lag + 1], valid[: t + lag + 1])[t], atol=1e-8)


@pytest.mark.slow
@pytest.mark.parametrize("model", [Ema(0.3), ConstantVelocity(2.0, 0.3, 0.5)])
def test_parallel_equals_sequential(model):
    xs, valid = vectors(6, 50), gaps(6, 50)
    (a, end_a), (b, end_b) = (scan(model, xs, valid=valid, method=m) for m in ("sequential", "parallel"))
    np.testing.assert_allclose(a, b, atol=2e-4)
    for one, two in zip(jax.tree.leaves(end_a), jax.tree.leaves(end_b), strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-3, atol=1e-4)
    if not isinstance(model, Ema):
        np.testing.assert_allclose(
            rts(model, xs, valid, method="sequential"), rts(model, xs, valid, method="parallel"), atol=1e-3
        )


@pytest.mark.misuse
def test_what_has_no_parallel_form_says_so():
    xs = vectors(0)
    with pytest.raises(ValueError, match="no parallel form"):
        scan(OneEuro(), xs, method="parallel")
    with pytest.raises(ValueError, match="method"):
        scan(Ema(0.5), xs, method="fast")
    with pytest.raises(TypeError, match="Kalman-type"):
        rts(Ema(0.5), xs)
    with pytest.raises(ValueError, match="settled"):
        steady(Kalman(0.1, 0.1, gate=3.0))


def test_a_real_change_of_place_is_followed_and_a_spike_is_not():
    xs = np.zeros((40, 1), np.float32)
    xs[10] = 50
    xs[20:] = 50
    ys = np.asarray(scan(ConstantVelocity(0.01, 0.1, 1.0, gate=4.0), xs)[0])
    assert abs(ys[10, 0]) < 0.05 * 50 and abs(ys[22:, 0] - 50).max() < 0.5


def test_adaptive_smoother_removes_a_spike_and_keeps_a_blink():
    rng = np.random.default_rng(0)
    xs = (0.05 * rng.normal(size=(100, 4))).astype(np.float32)
    xs[30, 0] += 2
    xs[60:63, 1] += np.array([1.0, 2.0, 1.5], np.float32)
    ys = np.asarray(AdaptiveSmoother()(xs, dt=0.04))
    assert abs(ys[30, 0]) < 0.05 * 2 and ys[60:63, 1].max() > 0.9 * 2


DIFFERENTIABLE = {
    "Ema": Ema(0.4),
    "Kalman": Kalman(0.1, 0.3, 1.0),
    "ConstantVelocity": ConstantVelocity(2.0, 0.3, 0.5, gate=6.0, huber=1.0, dof=4.0),
    "ConstantAcceleration": ConstantAcceleration(2.0, 0.3, 0.5),
    "OneEuro": OneEuro(1.0, 0.3, 1.0, 10.0),
    "RotationEma": RotationEma(0.4),
    "RotationConstantVelocity": RotationConstantVelocity(0.5, 0.3, 0.5, huber=1.0),
}


@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_derivatives_of_every_hyperparameter_agree_with_differences(name):
    with jax.enable_x64(True):
        f = jax.tree.map(lambda x: jnp.asarray(np.float64(x)), DIFFERENTIABLE[name])
        rotation = "Rotation" in name
        xs = jnp.asarray((rotations if rotation else vectors)(8, 12).astype(np.float64))
        weights = jnp.asarray(np.random.default_rng(0).normal(size=xs.shape))

        @jax.jit
        def value(f):
            total = jnp.sum(weights * scan(f, xs, method="sequential")[0])
            return total + (jnp.sum(weights * rts(f, xs)) if hasattr(f, "adjoint") else 0)

        gradient = jax.jit(jax.grad(value))(f)
        for field in dataclasses.fields(f):
            leaf = getattr(f, field.name)
            if field.metadata.get("static") or leaf is None:
                continue
            if field.metadata.get("fact"):  # a frame rate is not trained
                np.testing.assert_array_equal(getattr(gradient, field.name), 0)
                continue
            h = 1e-6 * float(leaf)
            up, down = (float(value(dataclasses.replace(f, **{field.name: leaf + d}))) for d in (h, -h))
            np.testing.assert_allclose(getattr(gradient, field.name), (up - down) / (2 * h), rtol=2e-4, atol=2e-5)
