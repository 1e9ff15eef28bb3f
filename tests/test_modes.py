"""The track stages under JAX's debugging modes, from several threads at once, after a fork and on another device."""

from __future__ import annotations

import concurrent.futures
import os
import subprocess
import sys

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


FORKED = """
import multiprocessing, sys, warnings
import numpy as np
from gagjax import simulate
from gagjax.errors import InputError
from gagjax.multi_clip import enhance_tracks
from gagjax.stack import Stack, enhance_frames, enhance_track
make = lambda: (Stack.live(enable=("temporal",)), simulate.driver(5))
calls = [lambda: enhance_track(*make()), lambda: enhance_tracks(Stack(), []),
         lambda: enhance_frames(Stack(), np.zeros((1, 4, 4, 3)))]
def child(call):
    try:
        call()
        sys.exit(0)
    except InputError as error:
        sys.exit(7 if "JAX ran" in str(error) and "spawn" in str(error) else 8)
def ended(call):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # JAX warns of the fork
        process = multiprocessing.get_context("fork").Process(target=child, args=(call,))
        process.start()
        process.join()
        return process.exitcode
print("before", ended(calls[0]))
import jax.numpy as jnp
jnp.arange(3) + 1  # nothing of ours
made = make()
calls[0] = lambda: enhance_track(*made)
print("after", *map(ended, calls))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_fork_of_a_process_in_which_jax_ran_is_told_and_does_not_hang():
    ended = subprocess.run([sys.executable, "-c", FORKED], capture_output=True, text=True, timeout=180)
    assert ended.stdout.split("\n")[:2] == ["before 0", "after 7 7 7"], ended.stderr


PLACED = """
import jax, numpy as np
from gagjax import simulate
from gagjax.multi_clip import enhance_tracks
from gagjax.stack import Stack, enhance_track
first, second = jax.devices()
track, stack = simulate.driver(9), Stack.live(enable=("temporal", "expression"))
there = jax.tree.map(lambda x: jax.device_put(x, second), track.channels)
moved = enhance_track(stack, track.with_channels(there))
assert moved.jaw.devices() == {second}, moved.jaw.devices()
plain = enhance_track(stack, track)
assert plain.jaw.devices() == {first}
several = [plain, enhance_tracks(stack, [track, track])[1], enhance_tracks(stack, [track], devices=[second])[0]]
both = enhance_tracks(stack, [track.with_channels(there), track])  # clips that come from two devices
for other in [*several, *both]:
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=2e-5), moved.channels, other.channels)
print("the same")
"""


def test_a_clip_stays_on_its_device():
    environment = {**os.environ, "XLA_FLAGS": "--xla_force_host_platform_device_count=2", "JAX_PLATFORMS": "cpu"}
    ended = subprocess.run([sys.executable, "-c", PLACED], env=environment, capture_output=True, text=True)
    assert ended.stdout == "the same\n", ended.stderr
