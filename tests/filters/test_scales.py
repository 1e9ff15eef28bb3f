"""No filter knows a unit: results move with an offset and grow with a factor, over twelve decades of both."""

from __future__ import annotations

import dataclasses

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gagjax.filters import AdaptiveSmoother, SavitzkyGolay, rts, scan
from gagjax.track import Track
from gagjax.track_smoother import TrackSmoother
from tests.filters.registry import RIGID, SMOOTHED, VECTOR, gaps, rotations, sequence, vectors

few = settings(max_examples=8)
seeds = st.integers(0, 999)
# Powers of two round nothing, so that equality is exact: 1e-6 to 1e6.
exponents = st.integers(-20, 20)
EPS = float(np.finfo(np.float32).eps)
VARIANCES = ("process_noise", "measurement_noise", "initial_variance")


def in_unit(f, unit):
    """The filter for values that are `unit` times as large: its variances and slopes are in the channel's unit."""
    if isinstance(f, tuple):
        return tuple(in_unit(each, unit) for each in f)
    if not dataclasses.is_dataclass(f):
        return f
    changes = {}
    for field in dataclasses.fields(f):
        value = getattr(f, field.name)
        if field.name in VARIANCES and value is not None:
            changes[field.name] = np.asarray(value * unit**2, np.float32)
        elif field.name == "beta":
            changes[field.name] = np.asarray(value / unit, np.float32)
        elif field.name == "inverse":  # of an innovation's variance, in `steady`
            changes[field.name] = np.asarray(value / unit**2, np.float32)
        elif field.name in ("filter", "filters"):
            changes[field.name] = in_unit(value, unit)
    return dataclasses.replace(f, **changes)


@pytest.mark.parametrize("name", VECTOR)
@few
@given(seed=seeds, exponent=exponents)
def test_filters_grow_with_the_unit(name, seed, exponent):
    f, xs, valid, unit = VECTOR[name], sequence(name, seed), gaps(seed), np.float32(2.0**exponent)
    runs = [lambda f, x: scan(f, x, valid=valid)[0]] + ([lambda f, x: rts(f, x, valid)] if name in SMOOTHED else [])
    for run in runs:
        np.testing.assert_allclose(run(in_unit(f, unit), unit * xs) / unit, run(f, xs), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", VECTOR)
@few
@given(seed=seeds, exponent=exponents, sign=st.sampled_from([-1, 1]))
def test_filters_move_with_the_offset(name, seed, exponent, sign):
    f, valid, offset = VECTOR[name], gaps(seed), np.float32(sign * 2.0**exponent)
    # What is left of the values beside the offset is what both runs see.
    moved = sequence(name, seed) + offset
    xs = moved - offset
    runs = [lambda x: scan(f, x, valid=valid)[0]] + ([lambda x: rts(f, x, valid)] if name in SMOOTHED else [])
    for run in runs:
        close = (
            np.abs((np.asarray(run(moved)) - offset) - run(xs)) <= 60 * EPS * (abs(offset) + np.abs(xs).max()) + 2e-3
        )
        # At the very threshold of a gate a channel may fall on either side of it.
        assert close.all() if "gate" not in name and "Live" not in name and "lag" not in name else close.mean() > 0.8


@few
@given(seed=seeds, exponent=exponents)
def test_rigid_transform_is_equivariant(seed, exponent):
    """Another unit of length, another place of the camera and another way to hold it change nothing else."""
    name, (camera, *_) = "RigidTransform", rotations(seed + 7, 2)
    f, xs, valid, unit = RIGID[name], sequence(name, seed), gaps(seed), np.float32(2.0**exponent)
    step = np.float32([3.0, -1.5, 20.0])
    metres = dataclasses.replace(f, translation=in_unit(f.translation, unit), pivot=unit * f.pivot)
    # A gap right after the first frame is bridged by an uncertainty 1e4 times the noise: float32 keeps three digits there.
    runs = [
        (lambda f, x: np.asarray(scan(f, x, valid=valid)[0]), 2e-4),
        (lambda f, x: np.asarray(rts(f, x, valid)), 1e-2),
    ]
    for run, close in runs:
        plain = run(f, xs)
        scaled = run(metres, np.concatenate([xs[..., :3], unit * xs[..., 3:]], -1))
        np.testing.assert_allclose(scaled[..., :3], plain[..., :3], atol=1e-6)
        np.testing.assert_allclose(scaled[..., 3] / unit, plain[..., 3], rtol=1e-5, atol=1e-5)
        moved = run(f, np.concatenate([xs[..., :3], xs[..., 3:] + step[:, None]], -1))
        np.testing.assert_allclose(moved[..., :3], plain[..., :3], atol=1e-6)
        np.testing.assert_allclose(moved[..., 3] - step, plain[..., 3], atol=close)
        # `X_camera = X @ R + t`: another camera multiplies both from the right.
        turned = run(f, held(xs, camera))
        np.testing.assert_allclose(turned, held(plain, camera), atol=max(close, 2e-3))


def held(xs, camera):
    """Transforms `[R | t]` as a camera sees them that is turned, (T, 3, 4)."""
    return np.concatenate([xs[..., :3] @ camera, (xs[..., 3] @ camera)[..., None]], -1)


@pytest.fixture(scope="module")
def noisy():
    """Slow motion of unit size under white noise of 0.01: the truth and what a tracker says, (T, C)."""
    time = np.arange(150)[:, None] / 25
    truth = np.sin(2 * np.pi * time * np.array([0.2, 0.31, 0.5]) + np.arange(3))
    return truth, truth + 0.01 * np.random.default_rng(0).normal(size=truth.shape)


def gain(smooth, truth, seen, unit=1.0, offset=0.0):
    """The error after smoothing over the error before."""
    given = (unit * (seen + offset)).astype(np.float32)
    got = np.asarray(smooth(given), np.float64) / unit - offset
    return np.sqrt(((got - truth) ** 2).mean() / ((seen - truth) ** 2).mean())


SMOOTHERS = {
    "adaptive": lambda x: AdaptiveSmoother()(x, dt=0.04),
    "polynomial": SavitzkyGolay(9, 2),
}


@pytest.mark.parametrize("name", SMOOTHERS)
@few
@given(exponent=exponents)
def test_smoothers_grow_with_the_unit(name, noisy, exponent):
    smooth, seen, unit = SMOOTHERS[name], noisy[1].astype(np.float32), np.float32(2.0**exponent)
    np.testing.assert_allclose(smooth(unit * seen) / unit, smooth(seen), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", SMOOTHERS)
@pytest.mark.parametrize("unit", [1e-6, 1e-3, 1.0, 1e3, 1e6])
@pytest.mark.parametrize("offset", [0.0, 1e-3, 1.0, -30.0, 1e3, 1e4])
def test_smoothers_work_wherever_zero_lies(name, noisy, unit, offset):
    # 1e4 beside noise of 0.01 leaves float32 about three bits of the noise, and once came back as it was.
    plain = gain(SMOOTHERS[name], *noisy)
    assert plain < 0.7
    assert gain(SMOOTHERS[name], *noisy, unit, offset) < plain + 0.05


def test_a_channel_without_noise_comes_back_as_it_is_and_a_spike_protects_no_noise():
    still = np.full((60, 2), 1e4, np.float32)
    np.testing.assert_array_equal(AdaptiveSmoother()(still, dt=0.04), still)
    truth = np.zeros((150, 3))
    seen = truth + 0.01 * np.random.default_rng(1).normal(size=truth.shape)
    far = seen.copy()
    far[70] = 1e6
    got = np.asarray(AdaptiveSmoother()(far.astype(np.float32), dt=0.04))
    calm = np.r_[0:60, 80:150]
    assert np.sqrt((got[calm] ** 2).mean()) < 0.6 * np.sqrt((seen[calm] ** 2).mean())


@few
@given(exponent=exponents, seed=seeds)
def test_track_smoother_grows_with_the_unit_of_every_channel_that_has_one(exponent, seed):
    frames, unit = 40, np.float32(2.0**exponent)
    x = vectors(seed, frames)
    camera = np.tile(np.eye(3, 4, dtype=np.float32), (frames, 1, 1))

    def track(unit):
        moved = camera.copy()
        moved[..., 3] = unit * x
        wide = np.zeros((frames, 100), np.float32)
        wide[:, :3] = unit * x
        return Track(wide, 0.01 * x, np.zeros((frames, 6)), moved, extra={"q": unit * x}, valid=gaps(seed, frames))

    smoother = TrackSmoother.default(25)
    plain, scaled = smoother(track(np.float32(1))).channels, smoother(track(unit)).channels
    pairs = [(plain.expression, scaled.expression), (plain.extra["q"], scaled.extra["q"])]
    for a, b in [*pairs, (plain.transform[..., 3], scaled.transform[..., 3])]:
        np.testing.assert_allclose(b / unit, a, rtol=1e-5, atol=1e-5)
    jax.tree.map(np.testing.assert_array_equal, plain.jaw, scaled.jaw)


def test_track_smoother_works_wherever_zero_lies():
    rng, frames = np.random.default_rng(2), 150
    noise = 0.01 * rng.normal(size=(frames, 3))
    camera = np.tile(np.eye(3, 4), (frames, 1, 1))
    camera[..., 3] = 1e4 + noise
    expression = np.zeros((frames, 100))
    expression[:, :3] = -1e3 + noise
    track = Track(expression, np.zeros((frames, 3)), np.zeros((frames, 6)), camera, extra={"q": 1e4 + noise})
    after = TrackSmoother.default(25)(track)
    for old, new in (
        (track.transform[..., 3], after.transform[..., 3]),
        (track.expression[:, :3], after.expression[:, :3]),
        (track.extra["q"], after.extra["q"]),
    ):
        old, new = np.asarray(old, np.float64), np.asarray(new, np.float64)
        assert np.std(new) < 0.75 * np.std(old)
