"""`gagjax edit`: settings as people type them, tracks and meshes out."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import gagjax as gj
from gagjax import InputError, flame, simulate
from gagjax.app.cli import main
from gagjax.app.workflows.motion.settings import parsed
from gagjax.expression import RegionEditor, neutral
from tests.io.meshes.decode import Player


def run(*words):
    return main([str(word) for word in words])


@pytest.fixture(scope="module")
def track(tmp_path_factory):
    path = tmp_path_factory.mktemp("edit") / "clip.npz"
    gj.save_track(simulate.driver(100, seed=3), path)
    return path


def test_the_example_of_the_help(track, tmp_path, capsys):
    words = ("--set", "mouth=.6", "--set", "left_eye_yaw=4deg", "--between", "1s", "3s", "--ease", ".3")
    assert run("edit", track, "-o", tmp_path / "a.npz", *words) == 0
    said = capsys.readouterr().out
    assert "mm at most" in said and "changed" in said
    before, after = gj.load_track(track), gj.load_track(tmp_path / "a.npz")
    for name in ("expression", "eyes"):
        old, new = (np.asarray(getattr(each, name)) for each in (before, after))
        np.testing.assert_array_equal(old[:26], new[:26])
        np.testing.assert_array_equal(old[75:], new[75:])
        assert not np.array_equal(old[50], new[50])
    np.testing.assert_array_equal(before.transform, after.transform)
    np.testing.assert_array_equal(np.asarray(before.eyes)[:, 3:], np.asarray(after.eyes)[:, 3:])
    assert run("edit", track, "-o", tmp_path / "a.npz", *words) == 2


def test_meshes_hold_a_region_exactly(track, tmp_path):
    """At gain 0 the mouth's core does not move, and what lies outside its border moves as before; on every vertex."""
    assert run("export", track, "-o", tmp_path / "a.glb", "--head-still") == 0
    assert run("edit", track, "-o", tmp_path / "b.glb", "--set", "mouth=0") == 0
    head, given = flame.builtin(), gj.load_track(track)
    weight = np.asarray(RegionEditor.for_model(head).weights)[RegionEditor.for_model(head).names.index("mouth")]
    before, after = Player(tmp_path / "a.glb"), Player(tmp_path / "b.glb")
    rest = np.asarray(neutral(given.expression, given.valid))
    for t in (30, 60):
        placement = after.matrices(t)[0]
        edited = (after.vertices(t) - placement[:3, 3]) @ placement[:3, :3]
        plain = before.vertices(t)
        np.testing.assert_allclose(edited[weight == 0], plain[weight == 0], atol=5e-6)
        pose = np.concatenate([np.zeros(3, np.float32), given.jaw[t]])
        still = flame.vertices(head, np.zeros(300), rest, pose, given.eyes[t])
        np.testing.assert_allclose(edited[weight == 1], np.asarray(still)[weight == 1], atol=5e-6)
        assert np.abs(plain[weight == 1] - np.asarray(still)[weight == 1]).max() > 5e-4
    assert run("edit", track, "-o", tmp_path / "meshes", "--meshes", "--set", "mouth=0@0:1s") == 0
    assert len(list((tmp_path / "meshes").iterdir())) == 100


def test_spans_of_their_own_and_blinks(track, tmp_path, capsys):
    words = ("--set", "smile=.4@1s:2s", "--set", "brow_up=50%@50f:", "--repair-blinks")
    assert run("edit", track, "-o", tmp_path / "a.npz", *words) == 0
    assert "blinks:" in capsys.readouterr().out
    change = np.asarray(gj.load_track(tmp_path / "a.npz").expression) - np.asarray(gj.load_track(track).expression)
    smile, brow = (change[:, flame.CONTROLS[name]] for name in ("smile", "brow_up"))
    np.testing.assert_allclose(smile, 0.4 * ((np.arange(100) >= 25) & (np.arange(100) <= 50)), atol=1e-6)
    np.testing.assert_allclose(brow, 0.5 * (np.arange(100) >= 50), atol=1e-6)


def test_settings_are_read():
    made = parsed(
        ["mouth=60%", "left_eye_yaw=4deg", "eyes_pitch=-.1rad", "smile=+.5@1500ms:50f"], ("0", "3s"), 0.2, 25.0
    )
    assert [each.name for each in made] == ["mouth", "left_eye_yaw", "eyes_pitch", "smile"]
    np.testing.assert_allclose([each.value for each in made], [0.6, math.radians(4), -0.1, 0.5])
    assert (made[0].start, made[0].stop, made[0].ease) == (0.0, 3.0, 0.2) and (made[3].start, made[3].stop) == (
        1.5,
        2.0,
    )


@pytest.mark.parametrize(
    "word",
    [
        "mouth",
        "=1",
        "mouth=",
        "mouth=x",
        "mouth=1e999",
        "mouth=4deg",
        "left_eye_yaw=50%",
        "jaw_open=100deg",
        "a=1@2",
        "a=1@x:3",
    ],
)
def test_settings_that_are_none_are_refused(word):
    with pytest.raises(InputError):
        parsed([word])


@given(st.text(max_size=30))
def test_any_text_is_a_setting_or_one_error(text):
    try:
        (made,) = parsed([text])
    except InputError:
        return
    assert math.isfinite(made.value)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "--set"),
        (["--set", "grin=1"], "blink_left"),
        (["--set", "mouth=1.2", "--ease", "-1"], "--ease"),
        (["--set", "mouth=1.2", "--between", "9s", "10s"], "in a clip of"),
        (["--set", "mouth=1.2", "--meshes"], "folder"),
    ],
)
def test_wrong_options_are_refused(track, tmp_path, capsys, words, message):
    assert run("edit", track, "-o", tmp_path / "a.npz", *words) == 2
    assert message in capsys.readouterr().err and not list(tmp_path.iterdir())


def test_a_track_keeps_its_format_and_contents(tmp_path):
    from tests.io import make

    np.savez(tmp_path / "flame_param.npz", **make.parameters(12))
    assert run("edit", tmp_path / "flame_param.npz", "-o", tmp_path / "b.npz", "--set", "jaw_open=3deg") == 0
    old, new = (dict(np.load(tmp_path / name)) for name in ("flame_param.npz", "b.npz"))
    assert list(old) == list(new)
    for name in old:
        if name != "jaw_pose":
            np.testing.assert_array_equal(old[name], new[name])
