"""`gagjax eval --flow --landmarks --identity` on videos whose difference is known."""

from __future__ import annotations

import csv

import numpy as np
import pytest
from scipy import ndimage

from gagjax.app.cli import main
from gagjax.errors import InputError
from gagjax.io import images, video


def figures(path):
    with path.open() as file:
        return {row["name"]: float(row["value"]) for row in csv.DictReader(file)}


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    folder = tmp_path_factory.mktemp("films")
    rng = np.random.default_rng(0)
    base = ndimage.gaussian_filter(rng.random((96, 128, 3)), (1.5, 1.5, 0))
    base = 60 + 120 * (base - base.min()) / np.ptp(base)
    true = [ndimage.shift(base, (0, 0.8 * t, 0), order=1, mode="nearest") for t in range(6)]
    flicker = [frame * (1.0 if t % 2 else 0.9) for t, frame in enumerate(true)]
    for name, frames in (("true", true), ("flicker", flicker)):
        video.write(folder / f"{name}.mkv", iter([frame.astype(np.uint8) for frame in frames]), 25, crf=0)
    return folder


def test_flicker_is_seen_by_flow_and_by_stability(films, tmp_path):
    words = [
        "eval",
        str(films / "flicker.mkv"),
        "--truth",
        str(films / "true.mkv"),
        "--flow",
        "--csv",
        str(tmp_path / "a.csv"),
    ]
    assert main(words) == 0
    found = figures(tmp_path / "a.csv")
    # A tenth of a grey value of about 110.
    assert 7 < found["warping error"] < 15 and found["warping error of the truth"] < 0.5 * found["warping error"]
    assert found["temporal stability"] < 0.6 * found["temporal stability of the truth"]
    assert found["detail fidelity"] > 0.95


def test_embeddings_give_csim_and_weights_are_refused(films, tmp_path, capsys):
    rows = np.random.default_rng(0).normal(size=(6, 16))
    np.savez(tmp_path / "e.npz", result=rows, truth=2 * rows)
    words = ["eval", str(films / "true.mkv"), "--truth", str(films / "true.mkv"), "--identity"]
    assert main([*words, str(tmp_path / "e.npz"), "--csv", str(tmp_path / "a.csv")]) == 0
    assert figures(tmp_path / "a.csv")["CSIM"] == pytest.approx(1)
    assert main([*words, "arcface.pth"]) == 2
    assert "np.savez" in capsys.readouterr().err
    np.savez(tmp_path / "bad.npz", result=rows)
    assert main([*words, str(tmp_path / "bad.npz")]) == 2


def test_keypoints_of_a_shifted_face(shared, tmp_path):
    from gagjax.tracking import models

    try:
        models.path_of("face_mesh")
    except InputError:
        pytest.skip("needs the networks of `gagjax models`")
    picture = images.read(shared / "video" / "monroe.jpg")
    blurred = ndimage.gaussian_filter(np.roll(picture, 6, 1).astype(float), (1.5, 1.5, 0)).astype(np.uint8)
    for name, frame in (("true", picture), ("moved", blurred)):
        video.write(tmp_path / f"{name}.mkv", iter([frame] * 3), 25, crf=0)
    words = ["eval", str(tmp_path / "moved.mkv"), "--truth", str(tmp_path / "true.mkv"), "--landmarks"]
    assert main([*words, "--csv", str(tmp_path / "a.csv")]) == 0
    found = figures(tmp_path / "a.csv")
    assert found["AKD"] == pytest.approx(6, abs=2) and found["frames with a face in both"] == 100
    assert found["eye sharpness over the truth's"] < 0.9


def test_tracks_have_no_pictures(tmp_path, capsys):
    from gagjax.io.tracks import save_track
    from gagjax.simulate import driver

    save_track(driver(8), tmp_path / "a.npz")
    assert main(["eval", str(tmp_path / "a.npz"), "--flow"]) == 2
    assert "--flow" in capsys.readouterr().err
