"""`gagjax demo` from the command line, small: everything written, nothing overwritten, the figures honest."""

from __future__ import annotations

import numpy as np
import pytest

from gagjax.app.cli import main
from gagjax.app.workflows.demo import explain

FILES = {
    "comparison.mp4", "curves.png", "enhanced.npz", "noisy.npz", "poster.png", "report.html", "truth.npz",
}  # fmt: skip


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    out = tmp_path_factory.mktemp("demo") / "out"
    assert main(["demo", "-o", str(out), "--seconds", "1.4", "--size", "96"]) == 0
    return out


def test_the_demo_writes_its_files(made):
    assert {path.name for path in made.iterdir()} == FILES
    assert [path.name for path in made.parent.iterdir()] == ["out"]  # nothing temporary is left


def test_its_video_has_three_panels_and_the_right_length(made):
    from gagjax.io import video

    frames, info = video.read(made / "comparison.mp4")
    assert (info.fps, info.frames) == (25, 35)
    frame = next(frames)
    frames.close()
    assert frame.shape[1] == 3 * 96 + 2 * 4
    # A head in every panel: none is blank.
    for panel in (frame[16:, :96], frame[16:, 100:196], frame[16:, 200:]):
        assert panel.std() > 10


def test_its_tracks_load_and_the_report_is_whole(made):
    import gagjax as gj

    truth, noisy = (gj.load_track(made / f"{name}.npz") for name in ("truth", "noisy"))
    assert len(truth) == len(noisy) == 35 and not np.asarray(noisy.valid).all()
    text = (made / "report.html").read_text(encoding="utf-8")
    assert "acceleration error" in text and "data:video/mp4" in text and "http" not in text


def test_nothing_is_overwritten_without_force(made, capsys):
    before = (made / "report.html").stat().st_mtime_ns
    assert main(["demo", "-o", str(made)]) == 2
    assert "--force" in capsys.readouterr().err
    assert (made / "report.html").stat().st_mtime_ns == before


@pytest.mark.parametrize("words", [["--seconds", "0.1"], ["--size", "8"]])
def test_unusable_options_are_named(tmp_path, words, capsys):
    assert main(["demo", "-o", str(tmp_path / "out"), *words]) == 2
    assert words[0] in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_the_notes_say_what_is_worse():
    motion = {
        name: {
            "vertex": 1.0, "face": face, "acceleration": 1.0, "lag_face": 0.0, "lag_head": 0.0, "contact": 5.0,
            "gaze": 1.0, "blink": np.nan,
        }
        for name, face in (("noisy", 1.0), ("temporal alone", 2.0), ("all four", 2.0))
    }  # fmt: skip
    pictures = {name: {"psnr": 30.0} for name in motion}
    text = "\n".join(explain(motion, pictures))
    assert "Worse than the noisy track after the temporal stage: face error." in text
    assert "no blink" in text
