"""What a command loads: counted, not timed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from gagjax.io import suffixes
from gagjax.io.tracks import save_track
from gagjax.simulate import driver

HEAVY = ("jax", "scipy", "av", "PIL", "matplotlib", "numba", "flax", "optax", "lmdb")
SCRIPT = """
import json, sys
from gagjax.app.cli import main
status = main(sys.argv[1:])
print(json.dumps([status, sorted(sys.modules)]), file=sys.stderr)
"""


def loaded(*words: str, script: str = SCRIPT) -> tuple[int, set[str]]:
    """The exit status of a command, and every module that its process had loaded at the end."""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[3])}
    done = subprocess.run([sys.executable, "-c", script, *words], capture_output=True, text=True, env=environment)
    status, names = json.loads(done.stderr.splitlines()[-1])
    return status, set(names)


@pytest.fixture(scope="module")
def clip(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("clip") / "clip.npz"
    save_track(driver(12), path)
    return path


@pytest.mark.parametrize(
    ("words", "most"),
    [(["--help"], 250), (["--version"], 250), (["info", "CLIP"], 650), (["convert", "CLIP", "OUT", "--force"], 650)],
)
def test_commands_that_compute_nothing_load_no_jax(words, most, clip, tmp_path):
    places = {"CLIP": str(clip), "OUT": str(tmp_path / "out.pkl")}
    status, names = loaded(*(places.get(word, word) for word in words))
    assert status == 0
    assert not names & set(HEAVY)
    assert len(names) <= most


@pytest.mark.parametrize("suffix", [".pt", ".npz", ""])
def test_a_track_is_converted_into_each_format_without_jax(suffix, clip, tmp_path):
    source = tmp_path / "vhap.npz"
    status, names = loaded("convert", str(clip), str(source), "--format", "vhap")
    assert status == 0 and "jax" not in names
    status, names = loaded("convert", str(source), str(tmp_path / f"out{suffix}"))
    assert status == 0 and "jax" not in names


def test_jax_may_be_imported_after_a_track_was_made():
    script = """
import json, sys
import numpy as np
from gagjax.track import Track
track = Track(np.ones((2, 100)), np.zeros((2, 3)), np.zeros((2, 6)), np.tile(np.eye(3, 4), (2, 1, 1)))
assert "jax" not in sys.modules and not isinstance(track.jaw, int)
import jax
from gagjax.typing import Array
doubled = jax.tree.map(lambda x: 2 * x, track)
assert doubled.expression[0, 0] == 2 and isinstance(jax.numpy.zeros(1), Array) and not isinstance(track.jaw, Array)
print(json.dumps([0, []]), file=sys.stderr)
"""
    assert loaded(script=script)[0] == 0


def test_suffixes_that_nobody_is_asked_about_are_neither_films_nor_pictures():
    assert not suffixes.NEITHER & (suffixes.videos() | suffixes.images())


def test_host_poses_are_those_of_jax():
    import dataclasses

    from gagjax import so3
    from gagjax.conventions import head_pose, rotations

    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(40, 3)) * np.linspace(0, 1, 40)[:, None]
    matrices = rotations.matrices(vectors)
    np.testing.assert_allclose(matrices, so3.exp(vectors), atol=1e-6)
    np.testing.assert_allclose(rotations.vectors(matrices), vectors, atol=1e-12)
    six = rng.normal(size=(40, 6))
    six[0], six[1] = 0, np.tile(six[1, :3], 2)
    np.testing.assert_allclose(rotations.from_6d(six), so3.from_6d(six), atol=2e-6)
    track = driver(40)
    held = {"global_rotation": vectors.astype(np.float32), "translation": rng.normal(size=(40, 3)).astype(np.float32)}
    for extra in (held, {"rotation": matrices.astype(np.float32)}, {"translation": held["translation"]}):
        moved = dataclasses.replace(track, extra=extra)
        np.testing.assert_allclose(head_pose.host_folded(moved).transform, head_pose.folded(moved).transform, atol=2e-5)
