"""Many clips at once give what each alone gives, on one device and on two."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np

from gagjax import simulate
from gagjax.multi_clip import enhance_tracks
from gagjax.stack import Stack, enhance_track

CODE = """
import jax, numpy as np
from gagjax import simulate
from gagjax.multi_clip import enhance_tracks
from gagjax.stack import Stack, enhance_track
assert len(jax.devices()) == 2
tracks = [simulate.observe(simulate.driver(n, seed=n), seed=n) for n in (30, 50, 40)]
stack = Stack.live(enable=("temporal", "gaze"))
for track, made in zip(tracks, enhance_tracks(stack, tracks)):
    alone = enhance_track(stack, track)
    for name in ("expression", "jaw", "eyes", "transform"):
        np.testing.assert_allclose(getattr(made, name), getattr(alone, name), atol=2e-5, err_msg=name)
print("the same")
"""


def test_each_as_alone():
    tracks = [simulate.observe(simulate.driver(n, seed=n), seed=n) for n in (20, 60, 33)]
    stack = Stack.default(enable=("temporal", "expression"))
    made = enhance_tracks(stack, tracks)
    assert [len(track) for track in made] == [20, 60, 33]
    for track, after in zip(tracks, made, strict=True):
        alone = enhance_track(stack, track)
        for name in ("expression", "jaw", "eyes", "transform"):
            np.testing.assert_allclose(getattr(after, name), getattr(alone, name), atol=2e-5, err_msg=name)
        assert after.fps == track.fps and after.source == track.source


def test_without_stages_nothing_happens():
    tracks = [simulate.driver(5)]
    assert enhance_tracks(Stack(), tracks)[0] is tracks[0]


def test_on_two_devices():
    environment = {**os.environ, "XLA_FLAGS": "--xla_force_host_platform_device_count=2", "JAX_PLATFORMS": "cpu"}
    ended = subprocess.run([sys.executable, "-c", CODE], env=environment, capture_output=True, text=True)
    assert "the same" in ended.stdout, ended.stderr
