"""`gagjax export`: what it writes is read back by other libraries, and holds the head of the track."""

from __future__ import annotations

import numpy as np
import pytest

import gagjax as gj
from gagjax import avatars, flame, simulate
from gagjax.app.cli import main
from gagjax.avatars import ply
from tests.avatars.test_avatars import gaussian_avatars_file
from tests.io.meshes.decode import Player


def run(*words):
    return main([str(word) for word in words])


@pytest.fixture(scope="module")
def track(tmp_path_factory):
    path = tmp_path_factory.mktemp("export") / "clip.npz"
    gj.save_track(simulate.driver(40, seed=3)[10:14], path)
    return path


@pytest.fixture
def trimesh():
    return pytest.importorskip("trimesh", reason="needs trimesh: pip install 'gagjax[test]'")


def test_glb_and_obj_hold_the_same_meshes(track, tmp_path, trimesh, capsys):
    assert run("export", track, "-o", tmp_path / "a.glb") == 0
    assert run("export", track, "-o", tmp_path / "meshes", "--format", "obj") == 0
    assert "built-in head" in capsys.readouterr().out
    player = Player(tmp_path / "a.glb")
    files = sorted((tmp_path / "meshes").iterdir())
    assert [file.name for file in files] == [f"frame_{t:04d}.obj" for t in range(4)]
    for t, file in enumerate(files):
        mesh = trimesh.load(file, process=False)
        np.testing.assert_allclose(mesh.vertices, player.vertices(t), atol=5e-6)
        np.testing.assert_array_equal(mesh.faces, flame.builtin().faces)
    assert run("export", track, "-o", tmp_path / "meshes", "--format", "obj") == 2


def test_a_still_head_and_one_frame(track, tmp_path, trimesh):
    assert run("export", track, "-o", tmp_path / "one.obj", "--frame", "2", "--head-still") == 0
    given, head = gj.load_track(track), flame.builtin()
    pose = np.concatenate([np.zeros(3, np.float32), given.jaw[2]])
    want = flame.vertices(head, np.zeros(300), given.expression[2], pose, given.eyes[2])
    np.testing.assert_allclose(trimesh.load(tmp_path / "one.obj", process=False).vertices, want, atol=1e-6)


def test_every_second_frame_halves_the_rate(track, tmp_path):
    assert run("export", track, "-o", tmp_path / "a.glb", "--every", "2") == 0
    player = Player(tmp_path / "a.glb")
    times = player.array(player.document["animations"][0]["samplers"][0]["input"])
    np.testing.assert_allclose(times, [0, 0.08], atol=1e-7)


def test_gaussians_of_every_frame_are_read_by_another_library(track, tmp_path, trimesh):
    assert run("export", track, "-o", tmp_path / "splats", "--format", "ply", "--head-still") == 0
    files = sorted((tmp_path / "splats").iterdir())
    assert [file.name for file in files] == [f"frame_{t:04d}.ply" for t in range(4)]
    avatar, given = avatars.builtin(), gj.load_track(track)
    for t in (0, 3):
        points = trimesh.load(files[t])
        raw = points.metadata["_ply_raw"]["vertex"]
        pose = np.concatenate([np.zeros(3, np.float32), given.jaw[t]])
        vertices = flame.vertices(avatar.model, np.zeros(300), given.expression[t], pose, given.eyes[t])
        want = np.asarray(avatar.gaussians(vertices).means) / avatars.UNITS
        np.testing.assert_allclose(points.vertices, want, atol=1e-5)
        assert len(raw["data"]) == len(avatar) and {"opacity", "rot_3", "scale_2", "f_dc_0"} <= set(raw["properties"])


def test_gaussians_before_the_camera_lie_on_the_mesh(track, tmp_path):
    """Means, turned with the head: those of the mesh's own frame, which the glTF test holds against FLAME."""
    assert run("export", track, "-o", tmp_path / "a.ply", "--frame", "1") == 0
    assert run("export", track, "-o", tmp_path / "b.ply", "--frame", "1", "--head-still") == 0
    assert run("export", track, "-o", tmp_path / "a.glb", "--frame", "1") == 0
    turned, still = (ply.read(tmp_path / name) for name in ("a.ply", "b.ply"))
    player = Player(tmp_path / "a.glb")
    placement = player.matrices(0)[
        next(i for i, n in enumerate(player.document["nodes"]) if n["name"] == "head placement")
    ]
    means = [np.stack([c[k] for k in "xyz"], -1).astype(float) for c in (turned, still)]
    np.testing.assert_allclose(means[0], means[1] @ placement[:3, :3].T + placement[:3, 3], atol=1e-5)
    axes = [_roots(c) for c in (turned, still)]
    np.testing.assert_allclose(axes[0], placement[:3, :3] @ axes[1] @ placement[:3, :3].T, atol=1e-8)
    for name in ("opacity", "f_dc_0"):
        np.testing.assert_array_equal(turned[name], still[name])


def _roots(columns):
    from scipy.spatial.transform import Rotation

    w, x, y, z = (columns[f"rot_{k}"].astype(float) for k in range(4))
    turn = Rotation.from_quat(np.stack([x, y, z, w], -1)).as_matrix()
    scale = np.exp(np.stack([columns[f"scale_{k}"] for k in range(3)], -1).astype(float))
    return (turn * scale[:, None] ** 2) @ turn.transpose(0, 2, 1)


def test_avatars_at_rest(tmp_path, trimesh):
    avatars.save(avatars.builtin(2), tmp_path / "me.ply")
    assert run("export", tmp_path / "me.ply", "-o", tmp_path / "still.ply") == 0
    before, after = ply.read(tmp_path / "me.ply"), ply.read(tmp_path / "still.ply")
    np.testing.assert_allclose(after["x"], before["x"], atol=1e-6)
    assert run("export", tmp_path / "me.ply", "-o", tmp_path / "rig.glb") == 0
    names = Player(tmp_path / "rig.glb").document["meshes"][0]["extras"]["targetNames"]
    assert names[:2] == ["blink_left", "blink_right"] and len(names) == 100
    assert run("export", tmp_path / "me.ply", "-o", tmp_path / "rest.obj") == 0
    mesh = trimesh.load(tmp_path / "rest.obj", process=False)
    np.testing.assert_allclose(mesh.vertices, flame.builtin(2).v_template, atol=1e-6)


def test_a_gaussian_avatars_file_is_driven(track, tmp_path, capsys):
    """GaussianAvatars' binding from the command line: Gaussians of each frame, and a film."""
    head = flame.builtin()
    flame.save(head, tmp_path / "flame.pkl")
    gaussian_avatars_file(tmp_path, head)
    file = tmp_path / "point_cloud.ply"
    common = ("--avatar", file, "--flame", tmp_path / "flame.pkl")
    assert run("export", track, *common, "-o", tmp_path / "splats", "--format", "ply") == 0
    assert len(ply.read(tmp_path / "splats" / "frame_0000.ply")["x"]) == 28
    assert run("reenact", "-d", track, *common, "-o", tmp_path / "a.mp4", "--size", "64") == 0
    said = capsys.readouterr().out
    assert "point_cloud.ply" in said and "4 frames" in said
    assert run("reenact", "-d", track, "--avatar", file, "-o", tmp_path / "b.mp4") == 2
    assert "--flame" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["-o", "a.stl"], "no kind"),
        (["-o", "a"], "--format"),
        (["-o", "a.obj", "--format", "ply"], "--format"),
        (["-o", "a.glb", "--every", "0"], "--every"),
        (["-o", "a.obj", "--frame", "4"], "the last is 3"),
        (["-o", "a.obj", "--frame", "-1"], "--frame"),
    ],
)
def test_wrong_options_are_refused(track, tmp_path, capsys, monkeypatch, words, message):
    monkeypatch.chdir(tmp_path)
    assert run("export", track, *words) == 2
    assert message in capsys.readouterr().err and not list(tmp_path.iterdir())


def test_a_template_is_refused(shared, tmp_path, capsys):
    assert run("export", shared / "tracks" / "d1.pkl", "-o", tmp_path / "a.glb") == 2
    assert "LivePortrait" in capsys.readouterr().err
