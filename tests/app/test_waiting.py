"""Commands say what they do while they are silent, and nothing when they are quick."""

from __future__ import annotations

import time

import pytest

from gagjax.app.cli import main
from gagjax.app.waiting import waiting
from gagjax.io.tracks import save_track
from gagjax.simulate import driver, observe


def test_a_long_block_says_what_it_does_once(capsys):
    with waiting("folding the towels", after=0.0):
        told = ""
        until = time.monotonic() + 20
        while not told and time.monotonic() < until:
            told = capsys.readouterr().err
    assert told == "folding the towels ...\n"
    assert capsys.readouterr().err == ""


def test_a_quick_block_says_nothing(capsys):
    with waiting("folding the towels", after=3600.0):
        pass
    assert capsys.readouterr().err == ""


def test_an_error_passes_and_the_line_stays_away(capsys):
    with pytest.raises(KeyError), waiting("folding", after=3600.0):
        raise KeyError
    assert capsys.readouterr().err == ""


@pytest.fixture
def impatient(monkeypatch):
    """Every block says at once what it does, and waits until it has been said."""
    import contextlib
    import sys

    said = []

    @contextlib.contextmanager
    def telling(what, after=0.0):
        said.append(what)
        print(f"{what} ...", file=sys.stderr)
        yield

    for module in ("gagjax.app.waiting", "gagjax.app.workflows.evaluate"):
        monkeypatch.setattr(f"{module}.waiting", telling)
    return said


def test_enhance_reenact_and_eval_name_their_silences(impatient, tmp_path, capsys):
    truth = driver(16, seed=1)
    save_track(truth, tmp_path / "truth.npz")
    save_track(observe(truth, seed=1), tmp_path / "a.npz")
    track, out = str(tmp_path / "a.npz"), str(tmp_path / "b.npz")
    assert main(["enhance", track, "-o", out]) == 0
    assert main(["eval", out, "--truth", str(tmp_path / "truth.npz")]) == 0
    film = str(tmp_path / "r.mp4")
    assert main(["reenact", "-d", track, "-o", film, "--size", "64", "--temporal-smooth"]) == 0
    assert main(["eval", film, "--truth", film]) == 0
    assert [line.split(";")[0] for line in impatient] == [
        "enhancing 16 frames",
        "measuring 16 frames on the head",
        "opening the avatar",
        "enhancing 16 frames of the track",
    ]
    bars = capsys.readouterr().err
    assert "rendering: 100%" in bars and "measuring: 100%" in bars  # to the end
