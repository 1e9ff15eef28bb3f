"""The gradient of the whole default stack: finite, and that of finite differences."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gagjax import simulate
from gagjax.stack import Stack, run_stages, track_stages

FRAMES, LOST = 12, 5


def weighted(stack, track):
    """A loss that reads every number of the result, its value and gradient compiled; what it reads, in float64."""
    stages = track_stages(stack, track)
    rng = np.random.default_rng(0)
    channels = jax.tree.map(lambda x: jnp.asarray(x, jnp.float64), track.channels)
    weights = jax.tree.map(lambda x: rng.normal(size=x.shape), channels)
    valid, real = jnp.arange(FRAMES) != LOST, jnp.ones(FRAMES, bool)

    def loss(channels):
        after = run_stages(stages, channels, valid, real, jnp.float64(0.04))
        return sum(jax.tree.leaves(jax.tree.map(lambda x, w: (x * w).sum(), after, weights)))

    return jax.jit(jax.value_and_grad(loss)), channels


@pytest.mark.parametrize(
    "enable",
    [
        ("expression", "gaze"),
        # A program of 1.4 megabytes: every field has a smoother of its own with a forward and a backward pass, and each of
        # these once more for the gradient. Compiling it takes half a minute of a processor.
        pytest.param(("temporal", "expression", "gaze"), marks=pytest.mark.slow),
    ],
    ids="+".join,
)
def test_the_gradient_of_the_default_stack_is_that_of_finite_differences(enable):
    track = simulate.observe(simulate.driver(FRAMES, seed=0), seed=0, outliers=0, dropped=0)
    with jax.enable_x64(True):
        both, channels = weighted(Stack.default(enable=enable), track)
        _, gradient = both(channels)
        rng = np.random.default_rng(1)
        for name in ("expression", "jaw", "eyes", "transform"):
            x, slope = getattr(channels, name), np.asarray(getattr(gradient, name))
            assert np.isfinite(slope).all() and np.abs(slope).max() > 1e-3, name
            if "temporal" in enable:
                assert not slope[LOST].any(), "a lost frame's values are never read"
            for _ in range(2):
                # A channel that does not move at all comes back as it is, and one that moves a trace is smoothed: at that
                # kink the gradient is that of the one side, and differences are those of the other.
                way = rng.normal(size=x.shape) * (np.ptp(x, axis=0) > 0)
                ends = [float(both(channels._replace(**{name: x + h * way}))[0]) for h in (1e-6, -1e-6)]
                np.testing.assert_allclose((slope * way).sum(), (ends[0] - ends[1]) / 2e-6, rtol=1e-4, atol=1e-5)
