"""The simulated driver and tracker: what they promise of motion, noise, outliers and lost frames."""

from __future__ import annotations

import numpy as np
import pytest

from gagjax.errors import InputError
from gagjax.simulate import TrackerNoise, blink_times, driver, observe

FIELDS = ("expression", "jaw", "eyes", "transform")


def blink_column() -> int:
    expression = np.asarray(driver(200, seed=4).expression)
    return int(np.argmax(expression.max(0) - np.median(expression, 0)))


def test_the_same_seed_is_the_same_clip_and_another_seed_another():
    a, b, c = driver(60, seed=7), driver(60, seed=7), driver(60, seed=8)
    assert all(np.array_equal(getattr(a, f), getattr(b, f)) for f in FIELDS)
    assert not any(np.array_equal(getattr(a, f), getattr(c, f)) for f in FIELDS)
    one, two = observe(a, seed=1), observe(b, seed=1)
    assert all(np.array_equal(getattr(one, f), getattr(two, f)) for f in FIELDS)
    assert not np.array_equal(one.jaw, observe(a, seed=2).jaw)


@pytest.mark.parametrize("seed", range(4))
def test_a_longer_clip_begins_with_the_shorter_one(seed):
    short, long = driver(70, seed=seed), driver(230, seed=seed)
    for field in FIELDS:
        np.testing.assert_array_equal(getattr(short, field), getattr(long, field)[:70], err_msg=field)


def test_another_frame_rate_samples_the_same_motion():
    slow, fast = driver(50, fps=25, seed=2), driver(100, fps=50, seed=2)
    for field in FIELDS:
        np.testing.assert_allclose(getattr(slow, field), getattr(fast, field)[::2], atol=1e-5, err_msg=field)


def test_every_blink_closes_both_lids_for_two_to_five_frames():
    track = driver(1500, seed=5)
    starts = blink_times(59.0, 5)
    assert 10 <= len(starts) <= 40  # a minute of conversation
    expression = np.asarray(track.expression)
    column = blink_column()
    closed = expression[:, column] > 0.5
    runs = np.diff(np.flatnonzero(np.diff(np.concatenate([[0], closed, [0]]))))[::2]
    assert len(runs) == len(blink_times(track.seconds - 0.04, 5))
    assert runs.min() >= 2 and runs.max() <= 5
    other = [c for c in range(100) if c != column and np.array_equal(expression[:, c], expression[:, column])]
    assert len(other) == 1  # the other lid


def test_the_camera_is_a_rotation_and_the_motion_is_human():
    track = driver(1500, seed=6).validate()
    rotation = np.asarray(track.transform[:, :, :3], np.float64)
    # Angle of the face's forward axis against the way to the camera.
    facing = np.rad2deg(np.arccos(np.clip(-rotation[:, 2, 2], -1, 1)))
    assert 3 < facing.max() < 35
    assert np.rad2deg(np.abs(track.eyes)).max() < 40
    assert 8 < np.rad2deg(np.asarray(track.jaw[:, 0])).max() < 18
    assert np.asarray(track.jaw[:, 0]).min() > -0.01
    speed = np.rad2deg(np.abs(np.diff(np.unwrap(np.arctan2(rotation[:, 0, 2], -rotation[:, 2, 2]))))).max() * 25
    assert speed < 150  # degrees per second


def test_the_eyes_meet_and_fixate():
    eyes = np.asarray(driver(500, seed=1).eyes)
    np.testing.assert_allclose(eyes[:, 4] - eyes[:, 1], np.deg2rad(2.0), atol=1e-6)
    speed = np.rad2deg(np.linalg.norm(np.diff(eyes[:, :2], axis=0), axis=1)) * 25
    assert np.median(speed) < 25 and speed.max() > 100  # still most of the time, fast in saccades


def test_a_mapping_of_controls_moves_their_columns_alone():
    track = driver(100, controls={"blink_left": 90, "smile": 3})
    assert set(np.flatnonzero(np.ptp(np.asarray(track.expression), axis=0))) <= {90, 3}


@pytest.mark.parametrize("field", ["expression", "jaw", "eyes"])
def test_the_noise_has_the_level_that_it_states(field):
    track = driver(4000, seed=0)
    level = TrackerNoise()
    seen = observe(track, seed=3, outliers=0, dropped=0)
    error = np.asarray(getattr(seen, field) - getattr(track, field), np.float64)
    error = error[:, np.ptp(error, axis=0) > 0]
    assert error.std() == pytest.approx(getattr(level, field), rel=0.06)
    # Neighbouring frames share the coloured part alone.
    neighbours = np.mean(error[1:] * error[:-1]) / np.mean(error**2)
    assert neighbours == pytest.approx(level.coloured * np.exp(-0.04 / level.memory), abs=0.05)


def test_the_share_of_outliers_and_lost_frames():
    track = driver(1000, seed=0)
    seen = observe(track, seed=4)
    lost = ~np.asarray(seen.valid)
    assert lost.sum() == 50 and not lost[0]
    bursts = np.diff(np.flatnonzero(np.diff(np.concatenate([[0], lost, [0]]))))[::2]
    assert bursts.max() <= 4 and len(bursts) >= 13
    far = np.abs(np.asarray(seen.jaw - track.jaw)).min(1) > 5 * TrackerNoise().jaw
    assert (far & ~lost).sum() == 20


def test_a_lost_frame_holds_the_last_one_seen_or_nan():
    track = driver(300, seed=0)
    held, absent = observe(track, seed=5), observe(track, seed=5, missing="nan")
    first = int(np.argmin(held.valid))
    np.testing.assert_array_equal(held.jaw[first], held.jaw[first - 1])
    assert np.isnan(np.asarray(absent.jaw)[~absent.valid]).all()
    np.testing.assert_array_equal(np.asarray(absent.jaw)[absent.valid], np.asarray(held.jaw)[held.valid])


def test_scale_zero_leaves_the_truth_where_nothing_is_wrong():
    track = driver(50, seed=0)
    seen = observe(track, scale=0.0, outliers=0, dropped=0)
    for field in FIELDS:
        np.testing.assert_allclose(getattr(seen, field), getattr(track, field), atol=1e-6)


def test_one_frame():
    assert len(observe(driver(1))) == 1


@pytest.mark.parametrize(
    "call", [lambda: driver(0), lambda: observe(driver(2), missing="x"), lambda: observe(driver(2), dropped=1.5)]
)
def test_wrong_arguments_are_named(call):
    with pytest.raises(InputError):
        call()
