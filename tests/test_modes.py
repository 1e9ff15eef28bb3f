"""The track stages under JAX's debugging modes and from several threads at once."""

from __future__ import annotations

import concurrent.futures

import jax
import numpy as np
import pytest

from gagjax import simulate
from gagjax.stack import Stack, enhance_track

TRACK = simulate.observe(simulate.driver(30, seed=0), seed=0)


def same(one, other, atol=0.0):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=atol), one.channels, other.channels)


@pytest.mark.parametrize("preset", [Stack.default, Stack.live])
def test_no_nan_appears_on_the_way(preset):
    stack = preset()
    plain = enhance_track(stack, TRACK)
    with jax.debug_nans(True):
        same(enhance_track(stack, TRACK), plain)


def test_without_compilation_the_numbers_are_the_same():
    stack, short = Stack.live(enable=("temporal",)), TRACK[:3]
    plain = enhance_track(stack, short)
    with jax.disable_jit():
        same(enhance_track(stack, short), plain, atol=1e-4)


def test_threads_do_not_meet():
    stack = Stack.live()
    clips = [simulate.observe(simulate.driver(20 + n, seed=n), seed=n) for n in range(6)]
    alone = [enhance_track(stack, clip) for clip in clips]
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        for one, other in zip(alone, pool.map(lambda clip: enhance_track(stack, clip), clips), strict=True):
            same(one, other)
