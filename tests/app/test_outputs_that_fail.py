"""Standard output closed, full or without a reader: one line and a status, no traceback, no second complaint at the end."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from gagjax.app.cli import main
from gagjax.io.tracks import save_track
from tests.io import make

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs a POSIX shell")
needs_full = pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")


def shell(line, tmp_path, **more):
    """A line of a shell in which $g is the command."""
    command = f'g() {{ "{sys.executable}" -m gagjax "$@"; }}; {line}'
    environment = {**os.environ, "GAGJAX_CACHE": "off", "PYTHONPATH": str(Path(__file__).resolve().parents[2])}
    return subprocess.run(
        ["bash", "-c", command], capture_output=True, text=True, cwd=tmp_path, env=environment, timeout=300, **more
    )


@pytest.fixture
def track(tmp_path):
    save_track(make.track(3), tmp_path / "a.npz")
    line = {
        "expression": [0.0] * 100,
        "jaw": [0.0] * 3,
        "eyes": [0.0] * 6,
        "transform": [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 9]],
    }
    (tmp_path / "a.jsonl").write_text(json.dumps(line) + "\n")


@needs_full
@pytest.mark.parametrize("words", ["info a.npz", "--help", "info --help"])
def test_a_full_output(track, tmp_path, words):
    ended = shell(f"g {words} > /dev/full", tmp_path)
    assert ended.returncode == 2, ended.stderr
    assert "No space left" in ended.stderr
    assert "Traceback" not in ended.stderr and "Exception ignored" not in ended.stderr


@pytest.mark.parametrize("words", ["info a.npz", "--help"])
def test_a_closed_output(track, tmp_path, words):
    ended = shell(f"g {words} >&-", tmp_path)
    assert ended.returncode in (0, 2), ended.stderr
    assert "Traceback" not in ended.stderr and "Exception ignored" not in ended.stderr


@needs_full
@pytest.mark.slow
@pytest.mark.parametrize("to", ["> /dev/full", ">&-"])
def test_a_stream_of_lines_without_an_output(track, tmp_path, to):
    ended = shell(f"g live a.jsonl {to}", tmp_path)
    assert ended.returncode == (2 if "full" in to else 0), ended.stderr
    assert "Traceback" not in ended.stderr and "Exception ignored" not in ended.stderr


def test_closed_errors(track, tmp_path):
    assert shell("g info a.npz 2>&-", tmp_path).returncode == 0
    assert shell("g info none.npz 2>&-", tmp_path).returncode == 2


def test_no_reader(track, tmp_path):
    ended = shell("g info a.npz | true; exit ${PIPESTATUS[0]}", tmp_path)
    assert ended.returncode in (0, 1)  # 0 if the text was gone before the reader was
    assert "Traceback" not in ended.stderr and "Exception ignored" not in ended.stderr


def test_paths_that_the_system_does_not_take(capsys):
    for path in ("a" * 5000, "/".join(["a" * 200] * 40), "a" * 300 + ".npz"):
        for words in (["info", path], ["convert", path, "b.npz"], ["info", path + ".mp4"], ["live", path + ".jsonl"]):
            assert main(words) == 2
            assert len(capsys.readouterr().err.strip().splitlines()) == 1
