"""TrackSmoother: what must come through, what must go, and what must stay as it was."""

from __future__ import annotations

import warnings

import jax
import numpy as np
import pytest

from gagjax import so3
from gagjax.filters import scan
from gagjax.track import Track, concat
from gagjax.track_smoother import TrackSmoother

FRAMES = 120
SECONDS = np.arange(FRAMES) / 25


def truth(turn: float = 0.0) -> Track:
    wave = np.stack([0.3 * np.sin(2.5 * SECONDS), 0.5 * np.sin(1.9 * SECONDS), 0.1 * np.cos(SECONDS)], 1)
    rotation = np.asarray(so3.exp((wave + turn * np.array([0, 1, 0])).astype(np.float32)))
    transform = np.concatenate([rotation, np.broadcast_to([[0.0], [0], [10]], (FRAMES, 3, 1))], -1)
    expression = np.zeros((FRAMES, 100))
    expression[:, 1] = np.sin(3 * SECONDS)
    expression[60:63, 2] = [1.0, 2.0, 1.5]
    return Track(expression, 0.1 * wave, np.zeros((FRAMES, 6)), transform, extra={"r": rotation}, rotations=("r",))


def observed(track: Track, seed: int = 0) -> Track:
    rng = np.random.default_rng(seed)
    noise = rng.normal(size=(FRAMES, 100)) * 0.05
    noise[:, 50:] = 0
    noise[rng.random(FRAMES) < 0.03, :50] += 1.5
    shake = np.asarray(so3.exp((0.01 * rng.normal(size=(FRAMES, 3))).astype(np.float32)))
    transform = np.concatenate([track.transform[..., :3] @ shake, track.transform[..., 3:]], -1)
    valid = rng.random(FRAMES) > 0.05
    valid[60:63] = valid[0] = True
    expression = np.where(valid[:, None], track.expression + noise, np.nan)
    return Track(
        expression, track.jaw, track.eyes, transform, extra={"r": transform[..., :3]}, rotations=("r",), valid=valid
    )


def angles(a, b):
    return np.linalg.norm(np.asarray(so3.log(np.swapaxes(a, -1, -2) @ b)), axis=-1)


@pytest.fixture(scope="module")
def smoothed() -> Track:
    return TrackSmoother.default(25)(observed(truth()))


def test_offline_removes_noise_and_outliers_and_bridges_gaps(smoothed):
    error = np.asarray(smoothed.expression)[:, [1, 3, 4, 5]] - truth().expression[:, [1, 3, 4, 5]]
    assert np.sqrt(np.mean(error**2)) < 0.4 * 0.05
    # One frame's noise is 0.01 about each axis.
    for rotation in (smoothed.transform[..., :3], smoothed.extra["r"]):
        assert np.sqrt(np.mean(angles(truth().extra["r"], rotation) ** 2)) < 0.6 * 0.01 * np.sqrt(3)


def test_what_is_constant_stays_constant_and_nothing_is_nan(smoothed):
    assert (np.asarray(smoothed.expression)[:, 50:] == 0).all()
    assert (np.asarray(smoothed.eyes) == 0).all()
    assert (np.asarray(smoothed.transform)[..., 3] == [0, 0, 10]).all()
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(smoothed.channels))


def test_rotations_stay_rotations(smoothed):
    r = np.asarray(smoothed.transform, np.float64)[..., :3]
    np.testing.assert_allclose(r @ r.transpose(0, 2, 1), np.broadcast_to(np.eye(3), r.shape), atol=1e-5)


def test_a_blink_of_three_frames_keeps_its_depth(smoothed):
    assert np.asarray(smoothed.expression)[59:64, 2].max() > 0.9 * 2.0


def test_nothing_crosses_a_cut():
    one, other = observed(truth(), 1), observed(truth(turn=2.0), 2)
    both = TrackSmoother.default(25)(concat([one, other]))
    for part, clean in ((both[:FRAMES], truth()), (both[FRAMES:], truth(turn=2.0))):
        assert angles(clean.extra["r"], part.transform[..., :3]).max() < 0.04


def test_noise_level_and_unit_do_not_matter():
    track = observed(truth())
    scaled = Track(1000 * track.expression, track.jaw, track.eyes, track.transform, valid=track.valid)
    a, b = (TrackSmoother.default(25)(each).expression for each in (track, scaled))
    np.testing.assert_allclose(1000 * np.asarray(a), b, atol=0.5)


def test_live_is_causal_and_does_less_harm_than_good():
    track = observed(truth())
    live = TrackSmoother.live(25).for_track(track)
    ys, _ = scan(live, track.channels, valid=track.valid)
    early, _ = scan(live, track[:70].channels, valid=track.valid[:70])
    for a, b in zip(jax.tree.leaves(ys), jax.tree.leaves(early), strict=True):
        np.testing.assert_array_equal(a[:70], b)
    columns = [1, 3, 4, 5]
    raw = np.where(track.valid[:, None], track.expression, 0)[:, columns] - truth().expression[:, columns]
    error = np.asarray(ys.expression)[:, columns] - truth().expression[:, columns]
    assert np.sqrt(np.mean(error[10:] ** 2)) < 0.6 * np.sqrt(np.mean(raw[10:] ** 2))
    assert np.asarray(ys.expression)[59:65, 2].max() > 0.9 * 2.0
    assert angles(truth().extra["r"], ys.extra["r"]).max() < 0.08


def test_a_smoothed_source_is_warned_of():
    track = truth()
    smooth = Track(track.expression, track.jaw, track.eyes, track.transform, source="gagavatar-smoothed")
    with pytest.warns(UserWarning, match="already been through"):
        TrackSmoother.live(25).for_track(smooth)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        TrackSmoother.default(25).for_track(track)


@pytest.mark.parametrize("frames", [1, 3])
def test_short_tracks(frames):
    track = TrackSmoother.default(25)(truth()[:frames])
    np.testing.assert_allclose(track.expression, truth().expression[:frames], atol=0.05)
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(track.channels))
