"""`gagjax eval` and `gagjax ablate` from the command line: figures that can be checked, reports, refusals."""

from __future__ import annotations

import csv
import dataclasses
import re

import numpy as np
import pytest

from gagjax.app.cli import main
from gagjax.flame.builtin_head import CONTROLS
from gagjax.io import video
from gagjax.io.tracks import save_track
from gagjax.simulate import driver, observe


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("eval")
    truth = driver(30, seed=1, controls=CONTROLS)
    save_track(truth, place / "truth.npz")
    save_track(observe(truth, seed=2), place / "noisy.npz")
    shifted = np.asarray(truth.jaw) + np.float32([np.deg2rad(2), 0, 0])
    save_track(dataclasses.replace(truth, jaw=shifted), place / "shifted.npz")
    return place


def figures(path):
    with path.open() as file:
        return {row["name"]: float(row["value"]) for row in csv.DictReader(file)}


def test_a_known_error_is_measured(folder, tmp_path, capsys):
    words = [
        "eval",
        str(folder / "shifted.npz"),
        "--truth",
        str(folder / "truth.npz"),
        "--csv",
        str(tmp_path / "a.csv"),
    ]
    assert main(words) == 0
    found = figures(tmp_path / "a.csv")
    # Two degrees about one of three axes.
    assert found["jaw: error"] == pytest.approx(2 / np.sqrt(3), rel=1e-3)
    assert found["jaw: acceleration error"] == pytest.approx(0, abs=1e-3)
    assert found["expression: error"] == found["head rotation: error"] == 0
    assert found["vertex error"] > 0 and "vertex error" in capsys.readouterr().out
    assert main(words) == 2 and "exists already" in capsys.readouterr().err


def test_without_a_truth_there_is_jitter(folder, tmp_path):
    for name in ("noisy", "truth"):
        assert main(["eval", str(folder / f"{name}.npz"), "--csv", str(tmp_path / f"{name}.csv")]) == 0
    noisy, calm = (figures(tmp_path / f"{name}.csv") for name in ("noisy", "truth"))
    assert set(noisy) == set(calm) and all("jitter" in name for name in noisy)
    assert noisy["head rotation: jitter"] > 5 * calm["head rotation: jitter"]


def test_videos(tmp_path, capsys):
    rng = np.random.default_rng(0)
    frames = rng.integers(60, 190, (6, 64, 64, 3)).astype(np.uint8)
    video.write(tmp_path / "a.mp4", iter(frames), 25, crf=0)
    video.write(tmp_path / "b.mp4", iter(np.clip(frames.astype(int) + 8, 0, 255).astype(np.uint8)), 25, crf=0)
    assert (
        main(["eval", str(tmp_path / "b.mp4"), "--truth", str(tmp_path / "a.mp4"), "--csv", str(tmp_path / "v.csv")])
        == 0
    )
    assert figures(tmp_path / "v.csv")["PSNR"] == pytest.approx(20 * np.log10(255 / 8), abs=1.5)
    video.write(tmp_path / "short.mp4", iter(frames[:4]), 25)
    assert main(["eval", str(tmp_path / "short.mp4"), "--truth", str(tmp_path / "a.mp4")]) == 2
    assert "as long as" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["eval", "none.npz"], "does not exist"),
        (["ablate", "none.pkl"], "none.pkl"),
        (["ablate", "builtin", "--seeds", "0"], "--seeds"),
        (["ablate", "builtin", "--frames", "2"], "--frames"),
    ],
)
def test_wrong_input_is_named(words, said, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(words) == 2
    assert said in capsys.readouterr().err and not list(tmp_path.iterdir())


def test_ablation_of_a_track(folder, tmp_path, capsys):
    out = tmp_path / "ab"
    assert main(["ablate", str(folder / "truth.npz"), "--seeds", "2", "-o", str(out)]) == 0
    text = capsys.readouterr().out
    assert "default, all" in text and "reference, all" in text
    with (out / "ablation.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 7 * 2
    error = {
        name: np.mean([float(r["error"]) for r in rows if r["variant"] == name]) for name in ("nothing", "temporal")
    }
    assert error["nothing"] == pytest.approx(1, abs=0.1) and error["temporal"] < 0.8
    html = (out / "report.html").read_text()
    assert "http" not in re.sub(r"base64,[^\"]*", "", html).replace("http-equiv", "") and "95 % bootstrap" in html
