"""Tuning: domains, likelihood, recovery of known noise, fronts, validation."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.test_util import check_grads

from gagjax import tuning
from gagjax.filters import ConstantVelocity, Ema, Kalman, OneEuro, chain
from gagjax.tuning import losses
from gagjax.tuning.batching import Clip
from tests.oracles import kalman_likelihood

DT, Q, R = 1 / 25, 4.0, 0.01
NOISES = ("process_noise", "measurement_noise")


@functools.cache
def simulated(clips: int = 20, frames: int = 200, channels: int = 4) -> Clip:
    """Constant-velocity motion of known noise."""
    rng = np.random.default_rng(7)
    step = np.array([[1, DT], [0, 1]])
    root = np.linalg.cholesky(Q * np.array([[DT**3 / 3, DT**2 / 2], [DT**2 / 2, DT]]))
    z, path = np.zeros((clips, channels, 2)), []
    for _ in range(frames):
        z = z @ step.T + rng.normal(size=z.shape) @ root.T
        path.append(z[..., 0])
    truth = np.stack(path, 1)
    seen = truth + np.sqrt(R) * rng.normal(size=truth.shape)
    return tuning.batch(list(seen.astype(np.float32)), list(truth.astype(np.float32)), fps=25)


def first(clips: Clip) -> Clip:
    return jax.tree.map(lambda leaf: leaf[0], clips)


def far_start() -> ConstantVelocity:
    return ConstantVelocity(process_noise=0.1, measurement_noise=1.0, dt=DT)


@given(st.floats(-30, 30), st.sampled_from(["positive", "unit", "real"]))
def test_domains_are_kept_and_invert(z, domain):
    value = float(tuning.constrain(jnp.float32(z), domain))
    assert np.isfinite(value) and (domain == "real" or value > 0) and (domain != "unit" or value <= 1)
    inside = float(np.clip(z, -12, 12))
    again = tuning.unconstrain(tuning.constrain(jnp.float32(inside), domain), domain)
    np.testing.assert_allclose(again, inside, rtol=1e-2, atol=1e-2)


def test_unknown_names_list_what_there_is():
    with pytest.raises(ValueError, match="process_noise"):
        tuning.trainable_leaves(far_start(), ["frobnicate"])
    with pytest.raises(ValueError, match="nothing to train"):
        tuning.trainable_leaves({"plain": np.ones(2)})
    assert tuning.trainable_leaves(chain(Ema(0.5), far_start()), ["alpha"]) == {"filters.0.alpha": "unit"}


def test_clips_of_different_lengths_pad_without_weight():
    xs = [np.arange(n, dtype=np.float32)[:, None] for n in (5, 9)]
    clips = tuning.batch(xs)
    assert clips.xs.shape == (2, 9, 1) and clips.valid.sum(1).tolist() == [5, 9]
    alone = first(tuning.batch(xs[:1]))
    for loss in (losses.likelihood, losses.tradeoff(0.3, lag=0.5)):
        np.testing.assert_allclose(loss(far_start(), first(clips)), loss(far_start(), alone), rtol=1e-5)
    with pytest.raises(ValueError, match="truth of its own length"):
        tuning.batch(xs, xs[:1])


@pytest.mark.parametrize("missing", [False, True])
def test_likelihood_equals_the_joint_gaussian(missing):
    x = np.random.default_rng(3).normal(size=(7, 2)).astype(np.float32)
    valid = np.array([1, 1, 1, 0, 1, 1, 1], bool) if missing else np.ones(7, bool)
    f = Kalman(process_noise=0.3, measurement_noise=0.2, initial_variance=0.5)
    expected = kalman_likelihood.random_walk(x.astype(float), valid, 0.3, 0.2, 0.5)
    found = losses.likelihood(f, first(tuning.batch([x], valids=[valid])))
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_likelihood_gradient_equals_finite_differences():
    with jax.enable_x64(True):
        clip = first(simulated(1, 30, 2))
        clip = clip._replace(xs=clip.xs.astype(np.float64))

        def loss(q, r):
            return losses.likelihood(ConstantVelocity(jnp.exp(q), jnp.exp(r), jnp.float64(DT)), clip)

        check_grads(loss, (jnp.float64(1.0), jnp.float64(-3.0)), order=1, modes=["rev"], eps=1e-5, rtol=1e-5)


def test_gradients_recover_known_noise():
    fit = tuning.fit(far_start(), simulated(), losses.likelihood, only=NOISES, steps=240)
    assert isinstance(fit.model, ConstantVelocity)
    np.testing.assert_allclose(fit.values["process_noise"], Q, rtol=0.15)
    np.testing.assert_allclose(fit.values["measurement_noise"], R, rtol=0.15)
    assert fit.after[0] < fit.before[0]


def test_expectation_maximisation_agrees_with_gradients():
    found, path = tuning.expectation_maximisation(far_start(), simulated(), steps=150)
    np.testing.assert_allclose(found.process_noise, Q, rtol=0.15)
    np.testing.assert_allclose(found.measurement_noise, R, rtol=0.15)
    assert path.shape == (150, 2)
    clips = simulated()

    def mean(pair):
        return jax.vmap(lambda clip: losses.likelihood(ConstantVelocity(pair[0], pair[1], DT), clip))(clips).mean()

    assert np.all(np.diff(jax.vmap(mean)(path[::10])) < 1e-4), "an iteration made the observations less likely"


@settings(max_examples=8)
@given(st.floats(-14, 14), st.floats(-14, 14))
def test_bad_starts_stay_finite_and_never_end_worse(q, r):
    start = ConstantVelocity(np.float32(np.exp(q)), np.float32(np.exp(r)), dt=DT)
    fit = tuning.fit(start, simulated(4, 60, 2), losses.likelihood, only=NOISES, steps=40)
    assert all(np.isfinite(value).all() for value in fit.values.values())
    assert np.isfinite(fit.after[0]) and fit.after[0] <= fit.before[0] + 1e-4


def test_training_on_truth_lowers_the_error_of_held_out_clips():
    fit = tuning.fit(far_start(), simulated(), losses.truth(), only=["process_noise"], held_out=5, restarts=3)
    assert fit.after[1] < 0.5 * fit.before[1] and len(fit.runs) == 3
    # What matters for the smoother is q / r, so the ratio is found although r stays at its start.
    assert 100 < fit.values["process_noise"] < 1600
    with pytest.raises(ValueError, match="held out"):
        tuning.fit(far_start(), simulated(), losses.truth(), held_out=20)


def test_tradeoff_needs_no_truth_and_prices_jitter():
    clips = simulated(6, 100, 2)._replace(truth=None)
    smooth, rough = (
        tuning.fit(Ema(0.5), clips, losses.tradeoff(weight, lag=1.0, run="filter"), steps=120).model.alpha
        for weight in (10.0, 0.01)
    )
    assert smooth < rough
    with pytest.raises(ValueError, match="truth"):
        losses.truth()(Ema(0.5), first(clips))
    with pytest.raises(TypeError, match="no likelihood"):
        losses.likelihood(Ema(0.5), first(clips))


def test_image_loss_reaches_the_filter():
    def render(xs):
        return jnp.exp(-((jnp.linspace(-1, 1, 16)[None] - 0.2 * xs[:, :1]) ** 2) / 0.02)[:, None, :, None]

    clips = simulated(4, 60, 1)
    clips = clips._replace(truth=jax.vmap(render)(clips.truth))
    fit = tuning.fit(far_start(), clips, losses.image(render), only=["process_noise"], steps=60)
    assert fit.after[0] < fit.before[0]


def test_front_of_one_euro_trades_lag_for_jitter():
    values = {"min_cutoff": [0.3, 1, 3], "beta": [0.0, 0.5], "derivative_cutoff": [1.0], "fps": [25.0]}
    front = tuning.front(tuning.grid(OneEuro, values), simulated())
    assert front.jitter.shape == (6,)
    assert front.lag[0] == front.lag.max() and front.jitter[0] == front.jitter.min()
    chosen = front.best_within(float(front.lag.max()))
    assert front.error[chosen] == front.error.min()
    assert float(front.member(2).min_cutoff) == 1
    edge = front.edge()
    assert np.all(np.diff(front.lag[edge]) >= 0) and np.all(np.diff(front.error[edge]) < 0)
    with pytest.raises(ValueError, match="the least is"):
        front.best_within(-1)


def test_front_plot_is_written(tmp_path):
    front = tuning.front(tuning.grid(Ema, {"alpha": [0.2, 0.5, 0.9]}), simulated(4, 60, 2))
    path = tuning.plot({"EMA": front}, tmp_path / "front.png", budget=1.0)
    assert path.stat().st_size > 5000


def test_bootstrap_covers_and_cross_validation_agrees():
    found, _ = tuning.expectation_maximisation(far_start(), simulated(), steps=100)
    intervals = tuning.bootstrap(found, simulated(), losses.likelihood, only=NOISES, samples=16, steps=60)
    assert 0.8 * Q < intervals["process_noise"].low < intervals["process_noise"].high < 1.2 * Q
    folds = tuning.cross_validate(found, simulated(), losses.likelihood, only=NOISES, steps=60)
    assert folds.loss.shape == (4,) and np.ptp(folds.loss) < 0.1
    np.testing.assert_allclose(folds.values["measurement_noise"], R, rtol=0.15)
    with pytest.raises(ValueError, match="folds"):
        tuning.cross_validate(found, simulated(), losses.likelihood, folds=99)
