"""What `gagjax view` shows, without a browser: knobs work at once, curves and heads are right, presets are saved."""

from __future__ import annotations

import jax
import numpy as np
import pytest
import yaml

from gagjax import flame, simulate
from gagjax.app import presets
from gagjax.app.cli import main
from gagjax.app.viewer.session import Session, channels_of, curve
from gagjax.errors import InputError
from gagjax.io.tracks import save_track
from gagjax.stack import STAGES, Stack, enhance_track


@pytest.fixture(scope="module")
def model():
    return flame.builtin()


@pytest.fixture(scope="module")
def track():
    return simulate.observe(simulate.driver(60, seed=1), seed=1)


@pytest.fixture
def session(track, model):
    return Session(track, Stack.default(enable=STAGES), model)


def test_a_knob_changes_the_curve_and_compiles_nothing(session, track):
    before = curve(session.after, "jaw opening")
    session.turn("temporal.jaw.lowest", 4.0)  # everything has run once now
    compiled = []
    jax.monitoring.register_event_duration_secs_listener(
        lambda event, *_, **__: compiled.append(event) if event.endswith("backend_compile_duration") else None
    )
    session.turn("temporal.jaw.lowest", 0.5)
    after = curve(session.after, "jaw opening")
    assert not compiled
    assert np.abs(np.diff(after, 2)).mean() < 0.7 * np.abs(np.diff(before, 2)).mean()
    assert np.abs(before - curve(track, "jaw opening")).max() > 0


def test_every_curve_is_a_number_a_frame(session, track):
    for name in channels_of(track):
        assert curve(track, name).shape == (len(track),)
    with pytest.raises(InputError):
        curve(track, "ears")


def test_the_heads_move_with_the_track(session, track, model):
    still = np.asarray(flame.vertices(model, np.zeros(300), np.zeros(100), np.zeros(6), np.zeros(6)))
    for after in (False, True):
        first, later = session.head(after, 0), session.head(after, 40)
        assert first.shape == still.shape and np.abs(first - later).max() > 1e-3
        assert np.abs(first.mean(0)).max() < 0.1  # metres from where the head usually is
    turned = np.asarray(track.transform)[0, :, :3]
    # The nose points at the camera: the head's +z is the camera's -z.
    assert (np.array([0.0, 0.0, 1.0]) @ turned)[2] < -0.5


def test_what_avatars_are_given_is_the_same_head(session, model):
    for after in (False, True):
        parameters = session.parameters(after, 17)
        rotation, shift = session.place(after, 17)
        mesh = np.asarray(parameters.vertices(model)) @ rotation + shift
        np.testing.assert_allclose(mesh, session.head(after, 17), atol=1e-5)


def test_the_preset_does_what_the_sliders_did(session, track, model, tmp_path):
    session.turn("temporal.jaw.lowest", 1.5)
    session.turn("gaze.strength", 0.25)
    session.save(tmp_path / "mine.yaml")
    content = yaml.safe_load((tmp_path / "mine.yaml").read_text())
    assert content["set"] == {"temporal.jaw.lowest": 1.5, "gaze.strength": 0.25}
    stack = presets.stack_of(str(tmp_path / "mine.yaml")).for_model(model)
    again = enhance_track(stack, track)
    np.testing.assert_array_equal(again.jaw, session.after.jaw)
    np.testing.assert_array_equal(again.eyes, session.after.eyes)
    with pytest.raises(InputError, match="exists"):
        session.save(tmp_path / "mine.yaml")
    with pytest.raises(InputError, match=r"\.yaml"):
        session.save(tmp_path / "mine.txt")


def test_a_saved_result_is_shown_as_it_is(track, model):
    session = Session(track, Stack.default(), model, after=track)
    assert session.after is track and not session.knobs
    with pytest.raises(InputError, match="frames"):
        Session(track, Stack.default(), model, after=track[:5])


def test_wrong_inputs(track, tmp_path, capsys, monkeypatch):
    save_track(track, tmp_path / "a.npz")
    assert main(["view", str(tmp_path / "none.npz")]) == 2
    assert main(["view", str(tmp_path / "a.npz"), "--port", "0"]) == 2
    monkeypatch.setitem(__import__("sys").modules, "viser", None)
    assert main(["view", str(tmp_path / "a.npz")]) == 2
    assert "gagjax[viewer]" in capsys.readouterr().err
