"""The adaptive smoother's fast searches against the plain ones: the same numbers, the same choices."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from gagjax.filters import AdaptiveSmoother, robust
from gagjax.filters.adaptive import choice, levels, passes
from gagjax.simulate import driver, observe
from tests.oracles import adaptive_sorting as plain

# XLA takes numbers below 1e-38 for zero, and half of one near it: not what a median is tested by.
FLOATS = st.floats(width=32, allow_infinity=False).filter(lambda v: not (abs(v) > 1e30 or 0 < abs(v) < 1e-30))


@settings(deadline=None, max_examples=60)
@given(hnp.arrays(np.float32, st.tuples(st.integers(1, 9), st.just(3)), elements=FLOATS))
def test_the_median_by_counting_is_that_of_a_sort_to_the_bit(x):
    np.testing.assert_array_equal(robust.nanmedian(x), plain.median(x))


@settings(deadline=None, max_examples=60)
@given(
    hnp.arrays(np.float32, (4, 8), elements=st.sampled_from([0.0, 1.0, 2.0, 3.0, 4.0])),
    hnp.arrays(bool, 8),
    st.sampled_from([0.5, 1.0, 1.5, 2.0]),
)
def test_the_test_of_a_frame_counts_what_its_median_says_ties_included(x, used, threshold):
    found = robust.median_exceeds(x, used, jnp.float32(threshold))
    np.testing.assert_array_equal(found, plain.median_exceeds(x, used, threshold))


def test_the_derivative_of_the_median_is_that_of_a_sort():
    x = np.random.default_rng(0).normal(size=(8, 3)).astype(np.float32)
    ours = jax.grad(lambda x: (robust.nanmedian(x) ** 2).sum())(x)
    np.testing.assert_array_equal(ours, jax.grad(lambda x: (plain.median(x) ** 2).sum())(x))
    assert np.abs(ours).sum() > 0


@pytest.mark.parametrize("steady", [True, False], ids=["one rate", "time stamps"])
def test_all_cutoffs_in_one_scan_cost_what_each_costs_in_its_own(steady):
    rng = np.random.default_rng(1)
    xs = (np.cumsum(rng.normal(size=(90, 5)), 0) + rng.normal(size=(90, 5))).astype(np.float32)
    seen = rng.random((90, 5)) > 0.1
    dt = 0.04 if steady else rng.uniform(0.03, 0.05, 90).astype(np.float32)

    @jax.jit
    def costs(cutoffs, dt):
        models = choice.candidates(cutoffs, dt)
        return tuple(each(models, jnp.asarray(xs), jnp.asarray(seen), dt) for each in (choice.surprise, plain.surprise))

    ours, theirs = costs(np.float32([1, 2, 4, 8]), jnp.asarray(dt, jnp.float32))
    # What is added up in another order differs by rounding: 1e-5 of costs that differ by hundreds.
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-2)


@pytest.mark.parametrize("frames", [100, 250])
def test_the_smoothed_track_is_that_of_the_plain_searches(frames, monkeypatch):
    track = observe(driver(frames, seed=2), seed=3)
    valid, smoother = np.asarray(track.valid), AdaptiveSmoother(lowest=2.0)
    ours = smoother(track.expression, valid, 0.04)
    with monkeypatch.context() as patched:
        patched.setattr(robust, "nanmedian", plain.median)
        patched.setattr(robust, "median_exceeds", plain.median_exceeds)
        patched.setattr(choice, "scored", plain.scored)
        patched.setattr(choice, "cost", lambda score: score.square)
        for module in (levels, passes):
            patched.setattr(module, "once", jnp.asarray)
        jax.clear_caches()
        theirs = smoother(track.expression, valid, 0.04)
    jax.clear_caches()
    # Another cutoff for one channel would show as 1e-2; rounding alone is 1e-6 of the motion.
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=2e-6 * np.ptp(track.expression))
