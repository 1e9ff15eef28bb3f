"""`gagjax live`: every line is answered, odd clocks and lost frames are survived, and a crash changes nothing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time

import jax
import numpy as np
import pytest

from gagjax import simulate
from gagjax.app.cli import main
from gagjax.app.streaming.latency import Latency
from gagjax.app.streaming.pipeline import newest
from gagjax.io import video
from gagjax.io.formats import json_lines
from gagjax.stack import Stack, enhance_track
from tests.io.test_video import frames as pictures

FRAMES = 60


@pytest.fixture(scope="module")
def track():
    return simulate.observe(simulate.driver(FRAMES, seed=2), seed=1)


def as_lines(track, **more):
    """A track as lines; frames that are not valid as lost."""
    found = []
    for i in range(len(track)):
        frame = jax.tree.map(lambda x, i=i: np.asarray(x)[i], track.channels)
        line = json_lines.Line(frame, i / float(track.fps), {"id": i, **more})
        found.append(json_lines.dump(frame, line, valid=bool(track.valid[i])))
    return found


def written(path, found):
    path.write_text("".join(found))
    return path


def answers(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def run(*words):
    return main(["live", *map(str, words)])


def test_the_answers_are_those_of_the_whole_track(track, tmp_path, capsys):
    source = written(tmp_path / "in.jsonl", as_lines(track))
    assert run(source, "-o", tmp_path / "out.jsonl") == 0
    found = answers(tmp_path / "out.jsonl")
    whole = enhance_track(Stack.live(), track)  # eyes are aimed only when asked
    for name in ("expression", "jaw", "eyes", "transform"):
        # Seconds in a line are rounded to float32 after subtraction, so frames last 40 ms up to rounding.
        np.testing.assert_allclose([each[name] for each in found], getattr(whole, name), atol=2e-4, err_msg=name)
    assert [each["id"] for each in found] == list(range(FRAMES))
    assert [each.get("valid", True) for each in found] == list(np.asarray(track.valid))
    said = capsys.readouterr().err
    assert f"{FRAMES} frames" in said and "ms median" in said


def test_numbers_survive_the_way_through_text(track):
    for text in as_lines(track)[:5]:
        line = json_lines.parse(text)
        if line.channels is not None:
            again = json_lines.parse(json_lines.dump(line.channels, line, valid=True))
            for a, b in zip(jax.tree.leaves(line.channels), jax.tree.leaves(again.channels), strict=True):
                np.testing.assert_array_equal(a, b)


def test_odd_lines_and_clocks_are_survived(track, tmp_path, capsys):
    found = as_lines(track)
    found[10] = "no json\n"
    found[11] = found[11].replace('"jaw":[', '"jaw":[1e999,')
    found[12] = json.dumps(json.loads(found[12]) | {"jaw": [float("nan"), 0, None]}) + "\n"
    found[13] = json.dumps({"time": 13 / 25, "valid": False, "id": 13}) + "\n"
    found[20] = json.dumps(json.loads(found[20]) | {"time": 0.1}) + "\n"  # back
    for i in range(40, FRAMES):
        found[i] = json.dumps(json.loads(found[i]) | {"time": i / 25 + 60}) + "\n"  # a minute later
    assert run(written(tmp_path / "in.jsonl", found), "-o", tmp_path / "out.jsonl") == 0
    made = answers(tmp_path / "out.jsonl")
    assert len(made) == FRAMES
    values = np.array([each["expression"] for each in made])
    assert np.isfinite(values).all()
    assert [i for i, each in enumerate(made) if each.get("valid") is False and track.valid[i]] == [
        i for i in (10, 11, 12, 13) if track.valid[i]
    ]
    # After the pause the filter begins anew: its first answer is what it was given.
    np.testing.assert_allclose(made[40]["jaw"], json.loads(found[40])["jaw"], atol=1e-6)
    said = capsys.readouterr().err
    assert "line 11: " in said and "went back" in said and "begun anew" in said and "jumps of the clock" in said


def test_a_crash_changes_nothing(track, tmp_path, monkeypatch, capsys):
    from gagjax.app.streaming import track_lines

    monkeypatch.setattr(track_lines, "SAVE_EVERY", 7)
    source = written(tmp_path / "in.jsonl", as_lines(track))
    assert run(source, "-o", tmp_path / "clean.jsonl") == 0
    answer = track_lines.TrackLineSession.answer

    for stop in (3, 25, 20):

        def failing(self, text, stop=stop, seen=[0]):  # noqa: B006
            seen[0] += 1
            if seen[0] > stop:
                seen[0] = 0
                raise MemoryError("as if killed: nothing is saved on the way out")
            return answer(self, text)

        monkeypatch.setattr(track_lines.TrackLineSession, "answer", failing)
        with pytest.raises(MemoryError):
            run(source, "-o", tmp_path / "out.jsonl", "--state", tmp_path / "state", "--force")
    monkeypatch.setattr(track_lines.TrackLineSession, "answer", answer)
    assert run(source, "-o", tmp_path / "out.jsonl", "--state", tmp_path / "state") == 0
    assert (tmp_path / "out.jsonl").read_bytes() == (tmp_path / "clean.jsonl").read_bytes()
    assert "going on after frame 35" in capsys.readouterr().err


def test_a_pipe_is_answered_at_once_and_ctrl_c_ends_it(track):
    process = subprocess.Popen(
        [sys.executable, "-m", "gagjax", "live", "-"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    found = as_lines(track)[:8]
    for i, text in enumerate(found):
        process.stdin.write(text.encode())
        process.stdin.flush()
        assert json.loads(process.stdout.readline())["id"] == i  # nothing is held back
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 0 and b"8 frames" in said and b"Traceback" not in said, said


def test_a_file_that_grows(track, tmp_path):
    found = as_lines(track)
    source = written(tmp_path / "in.jsonl", found[:5])

    def grow():
        for text in found[5:20]:
            time.sleep(0.01)
            with source.open("a") as file:
                file.write(text[:40])
                file.flush()
                time.sleep(0.01)  # half a line is waited for
                file.write(text[40:])

    writer = threading.Thread(target=grow)
    writer.start()
    assert run(source, "-o", tmp_path / "out.jsonl", "--follow", "--idle", "1.5") == 0
    writer.join()
    assert [each["id"] for each in answers(tmp_path / "out.jsonl")] == list(range(20))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_pictures_from_a_named_pipe(tmp_path, capsys):
    video.write(tmp_path / "in.mkv", pictures(9), 25)
    os.mkfifo(tmp_path / "pipe.mkv")
    feeder = threading.Thread(target=lambda: (tmp_path / "pipe.mkv").write_bytes((tmp_path / "in.mkv").read_bytes()))
    feeder.start()
    assert run(tmp_path / "pipe.mkv", "-o", tmp_path / "out.mp4") == 0
    feeder.join()
    assert video.info(tmp_path / "out.mp4").frames == 9
    assert "9 frames; from a picture read" in capsys.readouterr().err


def test_the_newest_are_kept():
    go = threading.Event()

    def source():
        yield from range(5)
        go.set()

    waiting = newest(source(), depth=2)
    go.wait()
    time.sleep(0.05)
    assert list(waiting) == [3, 4] and waiting.dropped == 3


def test_latency_in_bounded_memory():
    rng = np.random.default_rng(0)
    values = rng.lognormal(-6, 0.5, 5000)
    latency = Latency()
    for value in values:
        latency.add(value)
    for share in (0.5, 0.9, 0.99):
        assert abs(latency.quantile(share) / np.quantile(values, share) - 1) < 0.03
    assert latency.longest == values.max()


def test_wrong_inputs(track, tmp_path, capsys):
    good = written(tmp_path / "in.jsonl", as_lines(track)[:3])
    written(tmp_path / "bad.jsonl", ["{}\n"])
    (tmp_path / "there.jsonl").write_text("mine")
    np.savez(tmp_path / "state.npz", a=1)
    out = tmp_path / "out.jsonl"
    for words, said in [
        ([tmp_path / "absent.jsonl", "-o", out], "cannot be read"),
        ([tmp_path / "absent.mp4", "-o", tmp_path / "o.mp4"], "does not exist"),
        ([good, "-o", tmp_path / "there.jsonl"], "--force"),
        ([good, "-o", tmp_path / "out.txt"], ".jsonl"),
        ([tmp_path / "bad.jsonl", "-o", tmp_path / "o1.jsonl"], "line 1: expression: is missing"),
        ([good, "-o", tmp_path / "o2.jsonl", "--preset", "default"], "whole clips"),
        ([good, "-o", tmp_path / "o3.jsonl", "--fps", "0"], "--fps"),
        ([good, "--state", tmp_path / "s"], "a pipe"),
        ([good, "-o", tmp_path / "o4.jsonl", "--state", tmp_path / "state.npz"], "no saved state"),
    ]:
        assert run(*words) == 2, words
        err = [line for line in capsys.readouterr().err.splitlines() if line not in ("compiling", "ready")]
        assert len(err) == 1 and err[0].startswith("error: ") and said.lower() in err[0].lower(), err
    assert (tmp_path / "there.jsonl").read_text() == "mine"
