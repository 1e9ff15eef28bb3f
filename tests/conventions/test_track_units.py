"""Angles that no joint reaches bring a warning that names the unit, on load and in the API."""

from __future__ import annotations

import dataclasses
import json
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gagjax import simulate
from gagjax.app.streaming.track_lines import TrackLineSession
from gagjax.conventions import track_units
from gagjax.filters import Ema
from gagjax.filters.scene_cuts import scene_cuts
from gagjax.gaze import GazeCorrector
from gagjax.io.formats import json_lines
from gagjax.io.tracks import load_track, save_track
from gagjax.multi_clip import enhance_tracks
from gagjax.stack import Stack, enhance_track
from gagjax.track import Channels, Track
from gagjax.track_smoother import TrackSmoother

DOUBLE = {"jaw": 25.0, "eyes": 12.0, "neck": 30.0}


def track(**changes):
    """A head at rest with a neck, some angles changed in a single frame."""
    frames = 6
    fields = {"jaw": np.zeros((frames, 3)), "eyes": np.zeros((frames, 6)), "neck": np.zeros((frames, 3))}
    for name, value in changes.items():
        fields[name][3, 1] = value
    camera = np.tile(np.eye(3, 4), (frames, 1, 1))
    return Track(np.zeros((frames, 100)), fields["jaw"], fields["eyes"], camera, neck=fields["neck"])


@pytest.mark.parametrize("name", DOUBLE)
@pytest.mark.parametrize("suffix", [".npz", ".pkl"])
def test_degrees_are_noticed_on_load(name, suffix, tmp_path):
    if (name, suffix) == ("neck", ".pkl"):
        pytest.skip("the format has no neck")
    path = tmp_path / f"clip{suffix}"
    save_track(track(**{name: DOUBLE[name]}), path)
    with pytest.warns(UserWarning, match=rf"clip{suffix}: {name}: .*{DOUBLE[name]:g} radians.*degrees"):
        load_track(path)


@pytest.mark.parametrize("name", DOUBLE)
def test_degrees_are_noticed_by_the_api(name):
    odd = track(**{name: -DOUBLE[name]})
    for run in (enhance_track, lambda stack, t: enhance_tracks(stack, [t])):
        with pytest.warns(UserWarning, match=rf"^{name}: .* radians.*degrees"):
            run(Stack(temporal=Ema(1.0)), odd)


def test_lost_frames_and_what_is_not_finite_say_nothing():
    odd = dataclasses.replace(track(jaw=25.0), valid=np.arange(6) != 3)
    assert not track_units.oddities(odd.channels, odd.valid)
    assert not track_units.oddities(track(jaw=np.nan).channels)


@given(st.integers(0, 99))
def test_heads_in_motion_are_never_suspected(seed):
    clip = simulate.observe(simulate.driver(60, seed=seed), seed=seed)
    assert not track_units.oddities(clip.channels, clip.valid)


def test_real_tracks_are_never_suspected(shared):
    for path in sorted((shared / "tracks").glob("*.pkl")):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            load_track(path)


@pytest.mark.parametrize("fields", [{"horizontal": 0.8}, {"vertical": 0.7}, {"release": 1.2, "released": 1.9}])
def test_radians_where_degrees_are_meant(fields):
    with pytest.warns(UserWarning, match="are radians.*degrees"):
        GazeCorrector(**fields)


def test_degrees_where_radians_are_meant():
    with pytest.warns(UserWarning, match="cut_angle: is 30 radians"):
        TrackSmoother(cut_angle=30.0)


def test_live_lines_say_it_once(capsys):
    frame = {"expression": [0.0] * 100, "jaw": [25.0, 0, 0], "eyes": [0.0] * 6, "transform": np.eye(3, 4).tolist()}
    assert isinstance(json_lines.parse(json.dumps(frame)).channels, Channels)
    session = TrackLineSession(Stack.live(enable=("temporal",)), 25.0, None)
    for _ in range(3):
        session.answer(json.dumps(frame).encode())
    assert capsys.readouterr().err.count("25 radians") == 1


def test_the_angle_of_a_cut_in_degrees_is_noticed():
    rotation = np.tile(np.eye(3, dtype=np.float32), (5, 1, 1))
    with pytest.warns(UserWarning, match="angle: is 30 radians.*if these are degrees") as seen:
        scene_cuts(rotation, angle=30.0)
    assert seen[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        scene_cuts(rotation, angle=0.52)
        TrackSmoother.default(25)(track())  # its own angle is checked where it is made
