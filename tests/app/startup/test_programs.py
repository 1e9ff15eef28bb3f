"""Programs kept between processes: counted, and refused where they are not what they say."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from gagjax import Stack, enhance_track
from gagjax.app import programs
from gagjax.simulate import driver
from gagjax.stack import enhance_track_by, run_stages, track_stages

ROOT = Path(__file__).resolve().parents[3]
COUNTED = """
import json, sys
import jax
events = []
jax.monitoring.register_event_duration_secs_listener(lambda name, seconds, **more: events.append(name))
from gagjax.app.cli import main
status = main(sys.argv[1:])
compiled = [name for name in events if name.endswith("backend_compile_duration")]
print(json.dumps([status, len(compiled), len([n for n in events if "jaxpr_trace" in n])]), file=sys.stderr)
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    path = tmp_path / programs.FOLDER
    path.mkdir(mode=0o700)
    monkeypatch.setattr(programs, "place", lambda: path)
    monkeypatch.setattr(programs, "_loaded", {})
    return path


def _kept(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.program"))


LIGHT = Stack.live(enable=("expression",))


def test_a_kept_program_gives_the_same_bytes(folder, monkeypatch):
    track = driver(20)
    wanted = enhance_track(LIGHT, track).expression
    first = enhance_track_by(programs.run, LIGHT, track).expression
    assert len(_kept(folder)) == 1
    monkeypatch.setattr(programs, "_loaded", {})
    monkeypatch.setattr(programs, "keep", None)  # compiling again would fail
    again = enhance_track_by(programs.run, LIGHT, track).expression
    np.testing.assert_array_equal(first, wanted)
    np.testing.assert_array_equal(again, wanted)


@pytest.mark.parametrize("harm", ["code", "key", "cut", "open to others"])
def test_what_is_not_as_it_was_written_is_not_loaded(harm, folder):
    file = folder / f"{programs.hashlib.sha256(b'k').hexdigest()}.program"
    code = b"\x80\x04no program"
    header = {"key": "k", "sha256": programs.hashlib.sha256(code).hexdigest(), "results": 1}
    if harm == "key":
        header["key"] = "another"
    content = json.dumps(header).encode() + b"\n" + code
    content = content[:-1] + b"!" if harm == "code" else content[:20] if harm == "cut" else content
    file.write_bytes(content)
    file.chmod(0o666 if harm == "open to others" else 0o600)
    reached = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(programs, "deserialize_and_load", lambda *given, **named: reached.append(given))
        assert programs.load(folder, "k", 1, 1) is None
    assert not reached


def test_the_key_names_shapes_structure_and_flags(monkeypatch):
    leaves = [np.zeros((3, 2), np.float32)]
    key = programs.key_of("f", "tree", leaves)
    assert key != programs.key_of("f", "tree", [np.zeros((4, 2), np.float32)])
    assert key != programs.key_of("f", "other", leaves)
    assert f"jaxlib {programs._version('jaxlib')}" in key and jax.devices()[0].platform in key
    monkeypatch.setenv("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false")
    programs._surroundings.cache_clear()
    assert key != programs.key_of("f", "tree", leaves)
    programs._surroundings.cache_clear()


def test_one_program_gives_what_stage_by_stage_gives():
    track = driver(64)
    stack = Stack.live(enable=("expression", "gaze"))
    stages = track_stages(stack, track)
    real = np.ones(64, bool)
    stepwise = run_stages(stages, jax.tree.map(jax.numpy.asarray, track.channels), real, real, np.float32(0.04))
    whole = enhance_track(stack, track).channels
    for a, b in zip(jax.tree.leaves(stepwise), jax.tree.leaves(whole), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_second_run_compiles_nothing_and_the_first_one_program(tmp_path):
    clip = tmp_path / "clip.npz"
    from gagjax.io.tracks import save_track

    save_track(driver(30), clip)
    environment = {k: v for k, v in os.environ.items() if k != "JAX_COMPILATION_CACHE_DIR"}
    environment |= {"PYTHONPATH": str(ROOT), "JAX_COMPILATION_CACHE_DIR": str(tmp_path / "cache")}
    found, files = [], []
    for number in range(2):
        out = tmp_path / f"{number}.npz"
        words = ["enhance", str(clip), "-o", str(out), "--preset", "live", "--enable", "expression"]
        done = subprocess.run([sys.executable, "-c", COUNTED, *words], capture_output=True, text=True, env=environment)
        found.append(json.loads(done.stderr.splitlines()[-1]))
        files.append(out.read_bytes())
    assert found[0][0] == 0 and found[0][1] <= 3
    assert found[1] == [0, 0, 0] or found[1][1] == 0
    assert files[0] == files[1]


def test_a_kept_program_finds_lapack_in_a_process_that_lowered_nothing(tmp_path):
    code = """
import sys, numpy as np, jax
from pathlib import Path
from gagjax.app import programs
folder, matrix = Path(sys.argv[1]), np.diag(np.arange(1, 4, dtype=np.float32))
call = programs.load(folder, "k", 1, 1)
if sys.argv[2] == "first":
    assert call is None
    call = programs.keep(folder, "k", lambda x: [jax.numpy.linalg.eigh(x)[0]], [matrix])
print(np.asarray(call([matrix])[0]).tolist())
"""
    tmp_path.chmod(0o700)
    for turn in ("first", "second"):
        words = [sys.executable, "-c", code, str(tmp_path), turn]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        done = subprocess.run(words, capture_output=True, text=True, env=environment)
        assert done.stdout.strip() == "[1.0, 2.0, 3.0]", done.stderr[-2000:]
