"""A clip in parts is the clip in one pass: whatever the length of a part, wherever its gaps and cuts lie."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gagjax.expression import default_stage
from gagjax.filters import AdaptiveSmoother, Ema
from gagjax.filters.adaptive import passes
from gagjax.filters.adaptive.smoother import _smooth_vector
from gagjax.long_clips import Walk
from gagjax.simulate import driver, observe
from gagjax.stack import Stack, enhance_track
from gagjax.track_smoother import TrackSmoother

FRAMES = 330  # one pass takes it in two parts of its own
SMOOTHER = AdaptiveSmoother(lowest=2.0, pooling=0.25, guard=3.5)


@pytest.fixture(scope="module")
def noisy():
    return observe(driver(FRAMES, seed=2), seed=3)


def apart(a, b):
    """Largest difference, in units of each channel's range."""
    a, b = (np.asarray(x).reshape(len(x), -1) for x in (a, b))
    return (np.abs(a - b).max(0) / np.maximum(np.ptp(b, axis=0), 1e-6)).max()


@settings(deadline=None, max_examples=10)
@given(
    start=st.integers(0, FRAMES - 1),
    length=st.integers(0, 80),
    cut=st.integers(1, FRAMES - 1),
)
@example(start=64, length=1, cut=64)  # a part begins with a gap, and with a scene
@example(start=60, length=10, cut=63)  # a gap lies across
@example(start=64, length=64, cut=100)  # a part without a frame, a scene that begins in it
@example(start=0, length=60, cut=50)  # the first part is lost
@example(start=FRAMES - 80, length=80, cut=FRAMES - 1)  # the end is lost
def test_parts_are_one_pass_to_rounding(noisy, start, length, cut):
    valid = np.asarray(noisy.valid).copy()
    valid[start : start + length] = False
    xs = np.where(valid[:, None], noisy.expression, np.nan)[:, :12]
    cuts = np.arange(FRAMES) == cut
    whole = SMOOTHER(xs, valid, 0.04, cuts)
    parts = SMOOTHER.by_parts(xs, valid, 0.04, cuts, Walk(64))
    assert np.isfinite(parts).all()
    # Another cutoff or another outlier for one channel would show as 1e-2.
    # Where a scene begins the filter starts from a prior of 10,000 times the noise, and rounding counts for more.
    far = np.abs(np.arange(FRAMES) - cut) > 4
    assert apart(parts[far], np.asarray(whole)[far]) < 5e-6
    assert apart(parts, whole) < 5e-5


def test_the_length_of_a_part_does_not_matter_with_time_stamps(noisy):
    dt = np.random.default_rng(0).uniform(0.03, 0.05, FRAMES).astype(np.float32)
    xs = np.asarray(noisy.expression)[:, :12]
    whole = SMOOTHER(xs, None, dt)
    for part in (48, FRAMES):
        assert apart(SMOOTHER.by_parts(xs, None, dt, None, Walk(part)), whole) < 5e-6


def test_one_pass_reads_a_long_clip_in_parts_and_a_short_one_whole():
    assert passes.parted(250) == (250, 1)
    length, parts = passes.parted(10_000)
    assert parts > 1 and length * parts >= 10_000


def test_a_track_in_parts_is_the_track(noisy):
    # Two of its fields: each compiles programs of its own.
    few = dataclasses.replace(TrackSmoother.default(), jaw=None, eyes=None, translation=None, neck=None)
    told = []
    walk = Walk(64, told=lambda share, what: told.append((share, what)))
    for stack in (Stack(temporal=few, expression=default_stage()), Stack(temporal=Ema(0.5))):
        parts, whole = enhance_track(stack, noisy, walk), enhance_track(stack, noisy)
        for name, value in whole.channels._asdict().items():
            if name != "extra" and value is not None:
                assert apart(getattr(parts, name), value) < 1e-5, name
    assert max(share for share, _ in told) == 1.0
    assert {"smoothing expression", "expression", "filtering"} <= {what for _, what in told}


def test_large_results_lie_in_a_file_and_the_source_stays_as_it_was(noisy, monkeypatch, tmp_path):
    monkeypatch.setattr("gagjax.long_clips.walk.LARGE", 1)
    xs = np.asarray(noisy.expression)[:, :12]
    np.save(tmp_path / "x.npy", xs)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    parts = SMOOTHER.by_parts(mapped, None, 0.04, None, Walk(64, folder=tmp_path))
    assert isinstance(parts, np.memmap) and list(tmp_path.iterdir()) == [tmp_path / "x.npy"]
    np.testing.assert_array_equal(mapped, xs)
    np.testing.assert_array_equal(parts, SMOOTHER.by_parts(xs, None, 0.04, None, Walk(64)))


def test_working_memory_of_a_long_clip_is_less_than_four_times_its_size():
    frames, channels = 10_000, 40
    xs, flags = np.zeros((frames, channels), np.float32), np.ones(frames, bool)
    sizes = _smooth_vector.lower(SMOOTHER, xs, flags, np.float32(0.04), flags).compile().memory_analysis()
    assert sizes.temp_size_in_bytes < 4 * xs.nbytes
