"""The GPU suite: its CPU twins, what it needs to be installed, and, where there is a card, the suite itself."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.gpu import record, table
from benchmarks.gpu.parts import PARTS

torch = pytest.importorskip("torch")

ROOT = Path(__file__).resolve().parents[2]
LAZY = ("av", "lmdb", "tyro", "matplotlib", "viser", "platformdirs", "beartype", "kornia", "cv2", "smplx", "tqdm")

BLOCKER = """
from importlib.machinery import PathFinder

found = PathFinder.find_spec
PathFinder.find_spec = lambda name, *more: None if name.split(".")[0] in {blocked!r} else found(name, *more)
"""


def child(part: str, folder: Path, *more: str, blocked: tuple[str, ...] = ()) -> tuple[list[record.Row], str]:
    """One part in a process in which some packages cannot be imported: its rows, and what it printed."""
    (folder / "sitecustomize.py").write_text(BLOCKER.format(blocked=set(blocked)))
    environment = os.environ | {"PYTHONPATH": f"{folder}{os.pathsep}{ROOT}"}
    rows = folder / "rows.jsonl"
    command = [sys.executable, "-m", "benchmarks.gpu", "--child", part, "--rows", str(rows), *more]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return record.read(rows), done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("part", PARTS)
def test_the_twin_of_each_part_runs_and_every_check_holds(part: str, tmp_path: Path) -> None:
    rows, said = child(part, tmp_path, "--device", "cpu", "--tiny", "--seconds", "500", blocked=LAZY)
    assert [(row.what, row.note) for row in rows if row.verdict in ("fails", "not run")] == [], said[-4000:]
    assert sum(row.verdict == "holds" for row in rows) >= 5
    assert len({row.what for row in rows}) == len(rows), "every row has a name of its own"


def test_what_the_suite_imports_is_blocked_by_the_blocker(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(BLOCKER.format(blocked={"benchmarks"}))
    environment = os.environ | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"}
    done = subprocess.run(
        [sys.executable, "-c", "import benchmarks"], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert "No module named 'benchmarks'" in done.stderr


def test_a_part_that_needs_a_card_says_so_and_does_not_run_on_the_host(tmp_path: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a card")
    rows, _ = child("handover", tmp_path, "--device", "cuda", "--seconds", "60")
    assert [row.verdict for row in rows] == ["fails"]
    assert "CUDA" in rows[0].note or "cuda" in rows[0].note


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_the_suite_on_a_card() -> None:
    done = subprocess.run([sys.executable, "-m", "benchmarks.gpu", "--device", "cuda"], cwd=ROOT)
    text = (ROOT / "benchmarks" / "results" / "gpu.md").read_text(encoding="utf-8")
    assert done.returncode == 0, text
    assert table.NO_CARD not in text


def test_rows_survive_a_part_that_is_stopped_in_the_middle_of_a_line(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    kept = record.Record("some", path=path)
    kept.figure("a", "1 ms")
    kept.check("b", False, "2")
    with path.open("a") as file:
        file.write(json.dumps({"what": "c"})[:-3])
    assert [(row.what, row.verdict) for row in record.read(path)] == [("a", ""), ("b", "fails")]
    assert record.read(tmp_path / "none") == []
