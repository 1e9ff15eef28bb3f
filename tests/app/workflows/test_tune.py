"""`gagjax tune` from the command line: a preset that works, figures on held-out tracks, refusals."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import yaml

from gagjax import flame
from gagjax.app import presets
from gagjax.app.cli import main
from gagjax.io.tracks import load_track, save_track
from gagjax.simulate import driver, observe


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clips")
    for seed in range(3):
        truth = driver(48, seed=seed, controls=flame.CONTROLS)
        seen = observe(truth, seed=seed)
        # Two fields that move compile in half the time of five.
        still = {"eyes": np.zeros((48, 6)), "transform": np.repeat(np.asarray(truth.transform)[:1], 48, 0)}
        save_track(dataclasses.replace(truth, **still), folder / f"true{seed}.npz")
        save_track(dataclasses.replace(seen, **still), folder / f"noisy{seed}.npz")
    return folder


def noisy(clips):
    return [str(path) for path in sorted(clips.glob("noisy*.npz"))]


@pytest.fixture(scope="module")
def offline(clips):
    out = clips / "offline.yaml"
    assert main(["tune", *noisy(clips), "-o", str(out), "--steps", "20"]) == 0
    return out


def test_the_preset_says_what_it_was_fitted_on_and_works(clips, offline, tmp_path):
    content = yaml.safe_load(offline.read_text())
    assert content["preset"] == "default" and content["fitted"]["loss"] == "likelihood"
    assert [each["file"] for each in content["fitted"]["on"]] == ["noisy0.npz", "noisy1.npz", "noisy2.npz"]
    assert len(content["fitted"]["held out"]) == 1
    smoother = presets.stack_of(str(offline)).temporal
    for name, value in content["set"].items():
        _, field, bound = name.split(".")
        assert float(getattr(getattr(smoother, field), bound)) == pytest.approx(value)
        assert content["set"][f"temporal.{field}.lowest"] == content["set"][f"temporal.{field}.highest"]
    assert offline.with_suffix(".png").stat().st_size > 5000
    assert main(["enhance", noisy(clips)[0], "-o", str(tmp_path / "a.npz"), "--preset", str(offline)]) == 0
    assert len(load_track(tmp_path / "a.npz")) == 48


def test_live_stays_within_its_lag_and_gains_on_the_truth(clips, tmp_path, capsys):
    out = tmp_path / "live.yaml"
    true = [str(path) for path in sorted(clips.glob("true*.npz"))]
    words = ["tune", *noisy(clips), "--truth", *true, "--lag", "0.7", "--folds", "3"]
    assert main([*words, "-o", str(out), "--steps", "20", "--no-plot"]) == 0
    rows = {line.split()[0]: line.split()[1:] for line in capsys.readouterr().out.splitlines() if line.strip()}
    loss, error, _, lag = map(float, rows["fitted"])
    assert lag <= 1.0 and error < 1.0
    assert loss <= 1.05 * float(rows["shipped"][0])
    content = yaml.safe_load(out.read_text())
    assert content["preset"] == "live" and len(content["fitted"]["cross-validated loss"]) == 3
    low, high = content["fitted"]["95 % interval"]["jaw.cutoff"]
    assert 0 < low <= high
    fitted = presets.stack_of(str(out)).temporal
    assert float(fitted.jaw.cutoff) == pytest.approx(content["set"]["temporal.jaw.cutoff"])


def test_pictures_can_be_the_measure(tmp_path):
    paths = []
    for seed in range(2):
        short = driver(16, seed=seed, controls=flame.CONTROLS)
        paths.append(str(tmp_path / f"{seed}.npz"))
        save_track(short, paths[-1])
    out = tmp_path / "image.yaml"
    assert main(["tune", *paths, "-o", str(out), "--loss", "image", "--lag", "1", "--steps", "2", "--no-plot"]) == 0
    assert yaml.safe_load(out.read_text())["fitted"]["loss"] == "image"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["-o", "a.txt"], "NAME.yaml"),
        (["-o", "a.yaml", "--lag", "9"], "--lag"),
        (["-o", "a.yaml", "--lag", "0.5", "--loss", "likelihood"], "--loss"),
        (["-o", "a.yaml", "--truth", "b.npz"], "--truth"),
        (["-o", "a.yaml", "--folds", "9"], "--folds"),
        (["-o", "a.yaml", "--noise", "0"], "--noise"),
    ],
)
def test_wrong_options_are_named(clips, tmp_path, monkeypatch, capsys, words, said):
    monkeypatch.chdir(tmp_path)
    assert main(["tune", *noisy(clips), *words]) == 2
    assert said in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_wrong_tracks_are_named(clips, offline, tmp_path, capsys):
    still = driver(48, seed=0)
    flat = dataclasses.replace(
        still,
        **{name: np.zeros_like(getattr(still, name)) for name in ("expression", "jaw", "eyes")},
        transform=np.tile(np.eye(3, 4, dtype=np.float32), (48, 1, 1)),
        neck=None,
    )
    short = driver(6, seed=0)
    for name, track in (("flat", flat), ("short", short)):
        save_track(track, tmp_path / f"{name}.npz")
    for words, said in (
        ([str(tmp_path / "flat.npz")] * 2, "nothing that moves"),
        ([str(tmp_path / "short.npz")] * 2, "6 frames"),
        ([noisy(clips)[0]], "80 frames"),
    ):
        assert main(["tune", *words, "-o", str(tmp_path / "x.yaml")]) == 2
        assert said in capsys.readouterr().err
    before = offline.read_bytes()
    assert main(["tune", *noisy(clips), "-o", str(offline)]) == 2
    assert "exists already" in capsys.readouterr().err and offline.read_bytes() == before
