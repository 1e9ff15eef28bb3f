"""The head as glTF: it plays back as FLAME computes it, and a validator and another library accept it."""

from __future__ import annotations

import dataclasses
import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from gagjax import flame, simulate
from gagjax.conventions.head_pose import folded
from gagjax.io.meshes import motion_of, write_head
from gagjax.io.meshes.head import FLIP, compressed
from tests.io.meshes.decode import Player

ROOT = Path(__file__).resolve().parents[3]
VALIDATE = """
const fs = require('fs'), path = process.argv[1];
require('gltf-validator').validateBytes(new Uint8Array(fs.readFileSync(path)))
  .then(report => console.log(JSON.stringify(report.issues))).catch(error => { console.error(error); process.exit(3) });
"""


def validated(path):
    """What the Khronos validator says of a file; skips where node or its package is not installed."""
    if shutil.which("node") is None:
        pytest.skip("needs node")
    if subprocess.run(
        ["node", "-e", "require('gltf-validator')"], cwd=ROOT, capture_output=True, check=False
    ).returncode:
        pytest.skip("needs the glTF validator: npm install gltf-validator (NODE_PATH says where, if not here)")
    done = subprocess.run(
        ["node", "-e", VALIDATE, str(path)], cwd=ROOT, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def clip(frames=4):
    """A few frames in which everything moves: neck, the head's own pose, an identity."""
    track = simulate.driver(40, seed=3)[8 : 8 + frames]
    rng = np.random.default_rng(0)
    neck = (0.1 * rng.normal(size=(frames, 3))).astype(np.float32)
    pose = {"global_rotation": 0.2 * rng.normal(size=(frames, 3)), "translation": 0.05 * rng.normal(size=(frames, 3))}
    shape = rng.normal(size=300).astype(np.float32)
    return dataclasses.replace(track, neck=neck, extra=pose, shape=shape)


@pytest.fixture(scope="module")
def head():
    return flame.builtin(1)


@pytest.fixture(scope="module")
def bent(head):
    """The head with every pose corrective at work and five joints on some vertices, as FLAME files may have it."""
    rng = np.random.default_rng(2)
    weights = np.array(head.weights)
    weights[:50] = rng.dirichlet(np.ones(5), 50)
    return dataclasses.replace(
        head, weights=weights, posedirs=(1e-3 * rng.normal(size=(5023, 3, 36))).astype(np.float32)
    )


def expected(track, model, placed=None):
    """FLAME's vertices before the camera, in glTF's axes, metres; the head turns about the root of `placed`."""
    still = folded(track, model if placed is None else placed, track.shape)
    pose = np.concatenate([np.zeros_like(track.jaw), track.jaw], 1)
    points = np.asarray(flame.vertices(model, track.shape, track.expression, pose, track.eyes, track.neck), float)
    camera = np.asarray(still.transform, float)
    return (points @ camera[:, :, :3] + camera[:, None, :, 3] / 5) @ FLIP


@pytest.mark.parametrize("which", ["head", "bent"])
def test_a_player_shows_what_flame_computes(which, request, tmp_path):
    model, track = request.getfixturevalue(which), clip()
    write_head(tmp_path / "a.glb", model, track.shape, motion_of(track, model, track.shape))
    player, want = Player(tmp_path / "a.glb"), expected(track, model)
    for t in range(len(track)):
        np.testing.assert_allclose(player.vertices(t), want[t], atol=3e-6)
    times = player.array(player.document["animations"][0]["samplers"][0]["input"])
    np.testing.assert_allclose(times, np.arange(len(track)) / float(track.fps), rtol=1e-6)


def test_a_moving_camera_sees_the_same(head, tmp_path):
    track = clip(3)
    write_head(tmp_path / "a.glb", head, track.shape, motion_of(track, head, track.shape), head_still=True)
    player, want = Player(tmp_path / "a.glb"), expected(track, head)
    camera = next(i for i, node in enumerate(player.document["nodes"]) if "camera" in node)
    for t in range(3):
        view = np.linalg.inv(player.matrices(t)[camera])
        np.testing.assert_allclose(player.vertices(t) @ view[:3, :3].T + view[:3, 3], want[t], atol=3e-6)


def test_further_offsets_are_played(head, tmp_path):
    track = clip(5)
    rng = np.random.default_rng(1)
    extra = 1e-3 * np.einsum("tk,kvc->tvc", rng.normal(size=(5, 2)), rng.normal(size=(2, 5023, 3)))
    motion = dataclasses.replace(motion_of(track, head, track.shape), extra=extra)
    write_head(tmp_path / "a.glb", head, track.shape, motion)
    player = Player(tmp_path / "a.glb")
    for t in range(5):
        model = dataclasses.replace(head, v_template=np.asarray(head.v_template) + extra[t])
        np.testing.assert_allclose(player.vertices(t), expected(track[t : t + 1], model, head)[0], atol=5e-6)
    assert sum(name.startswith("edit") for name in player.document["meshes"][0]["extras"]["targetNames"]) == 2


def test_compression_keeps_its_tolerance():
    rng = np.random.default_rng(0)
    offsets = 1e-3 * rng.normal(size=(6, 40, 3))
    shapes, amounts = compressed(offsets)
    np.testing.assert_allclose(np.einsum("tk,kvc->tvc", amounts, shapes), offsets, atol=2e-6)
    assert compressed(np.zeros((4, 9, 3)))[0].shape == (0, 9, 3)
    assert len(compressed(1e-3 * np.ones((4, 9, 3)))[0]) == 1


@pytest.mark.parametrize("which", ["head", "bent"])
def test_the_khronos_validator_finds_nothing(which, request, tmp_path):
    model, track = request.getfixturevalue(which), clip()
    write_head(tmp_path / "clip.glb", model, track.shape, motion_of(track, model, track.shape))
    write_head(tmp_path / "rig.glb", model, names=tuple(flame.CONTROLS))
    for name in ("clip.glb", "rig.glb"):
        issues = validated(tmp_path / name)
        assert issues["numErrors"] == 0 and issues["numWarnings"] == 0, issues["messages"][:5]


def test_the_validator_finds_a_broken_file(head, tmp_path):
    write_head(tmp_path / "rig.glb", head)
    content = (tmp_path / "rig.glb").read_bytes()
    (tmp_path / "bad.glb").write_bytes(content.replace(b'"VEC3"', b'"VEC2"', 1))
    assert validated(tmp_path / "bad.glb")["numErrors"] > 0


def test_trimesh_reads_it(head, tmp_path):
    trimesh = pytest.importorskip("trimesh", reason="needs trimesh: pip install 'gagjax[test]'")
    write_head(tmp_path / "rig.glb", head)
    scene = trimesh.load(tmp_path / "rig.glb", process=False)
    mesh = next(iter(scene.geometry.values()))
    np.testing.assert_allclose(mesh.vertices, head.v_template, atol=1e-6)
    np.testing.assert_array_equal(mesh.faces, head.faces)
