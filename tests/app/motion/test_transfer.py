"""`gagjax transfer`: whose expression, whose face, whose pose."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

import gagjax as gj
from gagjax import flame, simulate
from gagjax.app.cli import main
from gagjax.expression.closure import apertures
from gagjax.flame.subset import at_landmarks
from tests.io.meshes.decode import Player


def run(*words):
    return main([str(word) for word in words])


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """An actor whose tracker leaves an offset at rest, a clip and a picture of somebody else."""
    folder = tmp_path_factory.mktemp("transfer")
    rng = np.random.default_rng(0)
    shapes = rng.normal(size=(2, 300)).astype(np.float32)
    offset = np.zeros(100, np.float32)
    offset[40:60] = 0.3 * rng.normal(size=20)
    actor = simulate.driver(60, seed=3, shape=shapes[0])
    actor = dataclasses.replace(actor, expression=np.asarray(actor.expression) + offset)
    other = simulate.driver(40, seed=8, shape=shapes[1])
    still = dataclasses.replace(other[:1], expression=np.zeros((1, 100), np.float32))
    for name, track in (("actor", actor), ("other", other), ("still", still)):
        gj.save_track(track, folder / f"{name}.npz")
    return folder, offset, shapes


def test_a_picture_acts_relative_to_the_actors_neutral(files, tmp_path, capsys):
    folder, offset, shapes = files
    words = (folder / "actor.npz", folder / "still.npz", "-o", tmp_path / "a.npz", "--no-closure")
    assert run("transfer", *words) == 0
    said = capsys.readouterr().out
    assert "relative to its own neutral" in said and "relative to FLAME's neutral" in said
    made, actor = gj.load_track(tmp_path / "a.npz"), gj.load_track(folder / "actor.npz")
    np.testing.assert_allclose(made.shape, shapes[1], atol=1e-6)
    # The actor's offset at rest is gone, its motion is kept.
    np.testing.assert_allclose(
        np.asarray(made.expression)[:, 40:60], np.asarray(actor.expression - offset)[:, 40:60], atol=0.12
    )
    np.testing.assert_allclose(np.diff(made.expression, axis=0), np.diff(actor.expression, axis=0), atol=1e-5)
    for name in ("jaw", "eyes", "transform"):
        np.testing.assert_array_equal(getattr(made, name), getattr(actor, name))


def test_absolute_copies_and_gain_scales(files, tmp_path):
    folder, _, _ = files
    both = (folder / "actor.npz", folder / "still.npz")
    assert run("transfer", *both, "-o", tmp_path / "a.npz", "--no-closure", "--absolute") == 0
    assert run("transfer", *both, "-o", tmp_path / "b.npz", "--no-closure", "--absolute", "--gain", "0.5") == 0
    actor, whole, half = (gj.load_track(p).expression for p in (both[0], tmp_path / "a.npz", tmp_path / "b.npz"))
    np.testing.assert_allclose(whole, actor, atol=1e-6)
    np.testing.assert_allclose(half, 0.5 * np.asarray(actor), atol=1e-6)


def test_pose_and_eyes_of_the_target(files, tmp_path):
    folder, _, _ = files
    words = (
        folder / "actor.npz",
        folder / "other.npz",
        "-o",
        tmp_path / "a.npz",
        "--pose",
        "target",
        "--eyes",
        "target",
    )
    assert run("transfer", *words) == 0
    made, other = gj.load_track(tmp_path / "a.npz"), gj.load_track(folder / "other.npz")
    assert len(made) == 60
    np.testing.assert_allclose(made.transform[:40], other.transform, atol=1e-6)
    np.testing.assert_allclose(made.transform[40:], np.tile(other.transform[-1:], (20, 1, 1)), atol=1e-6)
    np.testing.assert_allclose(made.eyes[:40], other.eyes, atol=1e-6)


def test_lids_close_when_the_actors_do(files, tmp_path):
    folder, _, shapes = files
    both = (folder / "actor.npz", folder / "still.npz")
    assert run("transfer", *both, "-o", tmp_path / "a.npz") == 0
    assert run("transfer", *both, "-o", tmp_path / "b.npz", "--no-closure") == 0
    small, actor = at_landmarks(flame.builtin()), gj.load_track(both[0])
    shut = np.asarray(apertures(small, shapes[0], actor.expression, actor.jaw))[:, :2].min(1) < 0.06
    assert shut.any()
    lids = []
    for name in ("a.npz", "b.npz"):
        made = gj.load_track(tmp_path / name)
        lids.append(np.asarray(apertures(small, shapes[1], made.expression, made.jaw))[:, :2])
    want = np.asarray(apertures(small, shapes[0], actor.expression, actor.jaw))[:, :2]
    errors = [np.abs(each - want)[shut].mean() for each in lids]
    assert errors[0] < 0.02 and errors[0] < errors[1] + 0.005


def test_meshes_are_the_targets(files, tmp_path):
    folder, _, shapes = files
    both = (folder / "actor.npz", folder / "still.npz")
    assert run("transfer", *both, "-o", tmp_path / "a.glb", "--no-closure") == 0
    player = Player(tmp_path / "a.glb")
    primitive = player.document["meshes"][0]["primitives"][0]
    rest = flame.vertices(flame.builtin(), shapes[1], np.zeros(100), np.zeros(6), np.zeros(6))
    np.testing.assert_allclose(player.array(primitive["attributes"]["POSITION"]), rest, atol=2e-6)
    assert run("transfer", *both, "-o", tmp_path / "meshes", "--meshes", "--no-closure") == 0
    assert len(list((tmp_path / "meshes").iterdir())) == 60


@pytest.mark.parametrize(
    ("words", "message"),
    [(["-o", "a.npz", "--gain", "9"], "--gain"), (["-o", "a.npz", "--meshes"], "folder"), (["-o", "a.xyz"], "suffix")],
)
def test_wrong_options_are_refused(files, tmp_path, capsys, monkeypatch, words, message):
    folder, _, _ = files
    monkeypatch.chdir(tmp_path)
    assert run("transfer", folder / "actor.npz", folder / "still.npz", *words) == 2
    assert message in capsys.readouterr().err or message == "suffix"
    assert not list(tmp_path.iterdir())


def test_two_photos_of_one_name_are_refused(tmp_path, capsys):
    for name in "ab":
        (tmp_path / name).mkdir()
        (tmp_path / name / "face.png").write_bytes(b"")
    assert run("transfer", tmp_path / "a" / "face.png", tmp_path / "b" / "face.png", "-o", tmp_path / "x.npz") == 2
    assert "named like the source" in capsys.readouterr().err


@pytest.mark.slow
def test_photos_on_both_sides(shared, tmp_path):
    """Two photos from the command line, tracked on the way; skips where the networks are not installed."""
    from gagjax.tracking import models

    try:
        models.path_of("face_mesh")
    except gj.InputError:
        pytest.skip("needs the networks of `gagjax models`")
    photo = shared / "video" / "monroe.jpg"
    assert run("transfer", photo, photo, "-o", tmp_path / "a.npz", "--absolute") == 0
    made, seen = gj.load_track(tmp_path / "a.npz"), gj.load_track(tmp_path / "monroe_tracked.pt")
    np.testing.assert_allclose(made.expression, seen.expression, atol=1e-5)
    np.testing.assert_allclose(np.asarray(made.shape), np.asarray(seen.shape).reshape(-1), atol=1e-6)
