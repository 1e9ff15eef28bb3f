"""`gagjax live` on a film: every picture answered by a line, in the camera that filmed, at the film's own pace if asked."""

from __future__ import annotations

import json
from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from gagjax import flame
from gagjax.app import cli
from gagjax.app.streaming import incoming
from gagjax.app.streaming.tracked_pictures import TrackedSession
from gagjax.io import video
from gagjax.stack import Stack
from gagjax.tracking.fit.shot import subject
from gagjax.tracking.live import LiveTracker


def live(*words):
    return cli.main(["live", *map(str, words)])


def answers(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture(scope="module")
def lines(filmed, tmp_path_factory):
    out = tmp_path_factory.mktemp("live") / "talk.jsonl"
    assert live(filmed, "-o", out) == 0
    return answers(out)


def test_every_picture_is_answered_in_the_camera_that_filmed(lines, filmed, tmp_path):
    assert [line["frame"] for line in lines] == list(range(16))
    np.testing.assert_allclose([line["time"] for line in lines], np.arange(16) / 30, atol=1e-3)
    assert all("valid" not in line and line["residual"] < 0.03 for line in lines)
    camera = lines[-1]["camera"]
    assert camera["size"] == [256, 256] and camera["centre"] == [128.0, 128.0]
    x, y, z = (row[3] for row in lines[-1]["transform"])
    seen = np.array(camera["centre"]) - camera["focal"] * np.array([x, y]) / z
    assert (np.abs(seen - 128) < 50).all()
    # A file of lines is itself a source: what a picture's line holds besides goes through.
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines[:3]))
    assert live(tmp_path / "a.jsonl", "-o", tmp_path / "b.jsonl") == 0
    assert answers(tmp_path / "b.jsonl")[2]["camera"] == lines[2]["camera"]


def test_what_is_told_is_what_the_face_does(lines, filmed, tmp_path):
    from gagjax.io.tracks import load_track

    assert cli.main(["track", str(filmed), "-o", str(tmp_path / "a.npz")]) == 0
    whole = load_track(tmp_path / "a.npz")
    jaw = np.array([line["jaw"][0] for line in lines])
    assert np.corrcoef(jaw[2:], whole.jaw[2:, 0])[0, 1] > 0.9


def test_lost_faces_are_predicted_and_cuts_begin_anew(performance, scenery):
    tracker = LiveTracker(subject(flame.builtin()), learn=50)
    session = TrackedSession(Stack.live(), tracker, 25)
    assert json.loads(session.answer(scenery, 0.0))["valid"] is False
    for i, picture in enumerate(performance[:3]):
        assert "valid" not in json.loads(session.answer(picture, 0.04 * (i + 1)))
    assert session.filters.state is not None
    tracker.follower.cuts.least = 2.0  # so that what follows is no cut, but a face that is gone
    gone = json.loads(session.answer(scenery, 0.16))
    assert gone["valid"] is False and np.isfinite(gone["expression"]).all() and "residual" not in gone
    assert session.lost == 2
    tracker.follower.cuts.least = 0.0
    tracker.follower.cuts.recent = ()
    turned = np.ascontiguousarray(performance[3][:, ::-1])
    jumped = json.loads(session.answer(turned, 0.2))
    # Nothing is smoothed over a cut: the answer is the measurement.
    np.testing.assert_allclose(jumped["jaw"], tracker._last.jaw, atol=1e-6)


@pytest.fixture(scope="module")
def squeezed(performance, tmp_path_factory):
    """The same film with pixels that are twice as wide."""
    path = tmp_path_factory.mktemp("squeezed") / "wide.mp4"
    narrow = [np.asarray(Image.fromarray(picture).resize((128, 256))) for picture in performance]
    video.write(path, narrow, 30, crf=6, aspect=Fraction(2))
    return path


def test_wide_pixels_are_tracked_as_they_are_shown(squeezed, lines, tmp_path):
    assert live(squeezed, "-o", tmp_path / "wide.jsonl") == 0
    wide = answers(tmp_path / "wide.jsonl")
    assert wide[-1]["camera"]["size"] == [256, 256]
    turn = np.array([[row[:3] for row in line["transform"]] for line in (wide[-1], lines[-1])])
    angle = np.degrees(np.arccos((np.trace(turn[0] @ turn[1].T) - 1) / 2))
    assert angle < 5 and wide[-1]["residual"] < 0.03


def test_wide_pixels_stay_in_pictures(squeezed, tmp_path):
    assert live(squeezed, "-o", tmp_path / "out.mp4") == 0
    made = video.info(tmp_path / "out.mp4")
    assert (made.aspect, made.width, made.height, made.frames) == (2, 128, 256, 16)


@pytest.mark.parametrize(
    ("source", "said"),
    [("camera:77", "--realtime"), ("camera:77", "/dev/video*"), ("camera:front", "camera:0"), ("absent.mp4", "exist")],
)
def test_without_a_camera_it_says_what_to_do(source, said, networks, monkeypatch, capsys):
    monkeypatch.setattr(incoming.platform, "system", lambda: "Linux")
    assert live(source) == 2
    err = capsys.readouterr().err
    assert said in err and len(err.splitlines()) == 1


def test_a_film_is_played_at_its_own_pace(filmed, monkeypatch):
    now = [100.0]

    def sleep(seconds):
        now[0] += seconds

    clock = SimpleNamespace(perf_counter=lambda: now[0], sleep=sleep)
    monkeypatch.setattr(incoming, "time", clock)
    played = incoming.Incoming(str(filmed), realtime=True)
    assert played.live
    times = []
    for i, (_, came, shown) in enumerate(played):
        assert came - 100 == pytest.approx(max(shown, 0.2 if i > 3 else 0), abs=1e-6)
        times.append(shown)
        if i == 3:
            now[0] += 0.1  # whoever reads is slow for once: nothing is slept through twice
    np.testing.assert_allclose(times, np.arange(16) / 30, atol=1e-3)


def test_lines_are_not_played(tmp_path, capsys):
    (tmp_path / "a.jsonl").write_text("")
    assert live(tmp_path / "a.jsonl", "--realtime") == 2
    assert "--realtime" in capsys.readouterr().err
