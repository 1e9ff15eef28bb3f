"""How the GPU suite keeps its parts apart, counts copies and writes its table."""

from __future__ import annotations

import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

from benchmarks.gpu import __main__ as command
from benchmarks.gpu import clock, parts, rasterizer, table
from benchmarks.gpu.handover import copy_kinds
from benchmarks.gpu.record import Record, Row
from benchmarks.gpu.settings import Settings, find_shared


def test_a_failing_step_is_a_row_and_the_next_goes_on() -> None:
    record = Record("some")

    def fails() -> None:
        raise ValueError("broken | in\ntwo lines")

    assert record.attempt("first", fails) is None
    assert record.attempt("second", lambda: 3) == 3
    assert [(row.what, row.verdict) for row in record.rows] == [("first", "fails")]
    assert record.rows[0].note == "ValueError: broken / in two lines"


def test_a_step_that_needs_more_time_than_is_left_is_not_begun() -> None:
    record = Record("some", seconds=5)
    assert record.attempt("long", lambda: 1, needs=10.0) is None
    assert [(row.what, row.verdict) for row in record.rows] == [("long", "not run")]
    assert record.attempt("short", lambda: 1, needs=1.0) == 1


@pytest.fixture
def suite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stand-in for the package: `python -m benchmarks.gpu` runs what the test writes to its __main__."""
    package = tmp_path / "benchmarks" / "gpu"
    package.mkdir(parents=True)
    for folder in (package, package.parent):
        (folder / "__init__.py").touch()
    monkeypatch.setattr(parts, "REPOSITORY", tmp_path)
    monkeypatch.setattr(parts, "GRACE", 0.5)
    return package / "__main__.py"


def program(text: str) -> str:
    head = """
        import sys, json, time, os
        rows = sys.argv[sys.argv.index("--rows") + 1]
        open(rows, "a").write(json.dumps({"what": "begun", "value": "", "note": "", "verdict": "holds"}) + "\\n")
    """
    return textwrap.dedent(head) + textwrap.dedent(text)


def test_a_part_that_dies_is_reported_with_what_it_had_found(suite: Path, tmp_path: Path) -> None:
    suite.write_text(program("os.kill(os.getpid(), 11)"))
    rows = parts.run_apart("handover", Settings("cpu", True), 30, tmp_path / "rows")
    assert [(row.what, row.verdict) for row in rows] == [("begun", "holds"), ("the part as a whole", "fails")]
    assert "-11" in rows[1].note


def test_a_part_that_overruns_is_ended_with_what_it_had_started(suite: Path, tmp_path: Path) -> None:
    mark = tmp_path / "still there"
    late = f"import time; time.sleep(4); open({str(mark)!r}, 'w')"
    suite.write_text(program(f"import subprocess\nsubprocess.Popen([sys.executable, '-c', {late!r}])\ntime.sleep(600)"))
    rows = parts.run_apart("handover", Settings("cpu", True), 1, tmp_path / "rows")
    assert [row.verdict for row in rows] == ["holds", "fails"]
    assert "budget of 1 s" in rows[1].note
    time.sleep(4)
    assert not mark.exists()


def test_the_others_go_on_after_a_part_that_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def run_apart(name: str, settings: Settings, seconds: float, rows: Path) -> list[Row]:
        asked.append((name, seconds <= 60))
        return [Row(name, verdict="fails" if name == "handover" else "holds")]

    monkeypatch.setattr(parts, "run_apart", run_apart)
    found = command.run(Settings("cuda"), tuple(parts.PARTS), 60, None)
    assert list(found) == list(parts.PARTS)
    assert asked == [(name, True) for name in parts.PARTS]


def test_the_budgets_end_within_eight_minutes() -> None:
    assert sum(part.seconds for part in parts.PARTS.values()) <= parts.BUDGET + 10
    assert parts.BUDGET + parts.GRACE < 480


def test_a_build_that_fails_says_why(tmp_path: Path) -> None:
    row = parts.Build("9.0", tmp_path / "log").wait(60)
    assert row.verdict == "fails"
    assert "gsplat" in row.note


ROWS = {
    "handover": [Row("a", "1 ms", "n", "holds"), Row("b", "2 ms", "", "")],
    "avatars": [Row("c", "", "no", "fails")],
}


def test_the_page_without_a_card_shows_no_figure_and_names_what_failed() -> None:
    page = table.twins(ROWS, "some machine")
    assert "No card was at hand; CPU twins FAILED" in page
    assert " ms" not in page
    assert "- avatars: c (no)" in page
    held = table.twins({"handover": ROWS["handover"]}, "some machine")
    assert "No card was at hand; CPU twins passed" in held
    assert "| Hand-over between torch and JAX | 1 | 0 | 0 |" in held


def test_the_page_of_a_card_shows_every_row() -> None:
    page = table.measured(ROWS, "a card")
    assert "| a | 1 ms | holds | n |" in page
    assert "1 checks held, 1 failed, 0 were not run." in page
    assert table.NO_CARD not in page


def test_figures_of_a_card_are_never_replaced_by_the_word_that_there_was_none(tmp_path: Path) -> None:
    path = tmp_path / "gpu.md"
    assert table.write(path, table.twins(ROWS, "m"))
    assert table.write(path, table.measured(ROWS, "card"))
    assert not table.write(path, table.twins(ROWS, "m"))
    assert "| a | 1 ms |" in path.read_text()


def test_the_committed_page_claims_nothing_that_was_not_measured() -> None:
    text = command.OUT.read_text(encoding="utf-8")
    if table.NO_CARD in text:
        assert " ms" not in text
        assert "frames/s" not in text
        assert "CPU twins passed" in text
    else:
        assert "CUDA" in text


def test_copies_are_counted_by_direction() -> None:
    names = ["aten::copy_", "Memcpy DtoH (Device -> Pinned)", "Memcpy DtoD (Device -> Device)", "Memcpy HtoD (x)"]
    names += ["Memcpy DtoH (Device -> Pageable)", "cudaMemcpyAsync", "void kernel<Memcpy>(int)", "Memcpy PtoP"]
    assert copy_kinds(names) == {"device to host": 2, "device to device": 1, "host to device": 1, "other": 1}


def test_differences_of_pictures_and_gradients_are_seen() -> None:
    picture, cover = np.zeros((4, 5, 3), np.float32), np.zeros((4, 5), np.float32)
    other = picture.copy()
    other[1, 2, 0] = 0.1
    worst, share = rasterizer.pictures_apart((other, cover), (picture, cover))
    assert (round(worst, 6), share) == (0.1, 1 / 20)
    apart = rasterizer.gradients_apart({"a": np.array([1.0, np.nan])}, {"a": np.ones(2)})
    assert apart["a"] == np.inf
    assert rasterizer.gradients_apart({"a": np.array([0.0, 1.1])}, {"a": np.array([0.0, 1.0])})["a"] == pytest.approx(
        0.1
    )


def test_timing_keeps_the_first_call_apart_and_counts_what_is_inside() -> None:
    calls = []

    def call() -> None:
        calls.append(1)
        if len(calls) == 1:
            time.sleep(0.2)

    found = clock.timed(call, repeats=3, least=0.0)
    assert found.first >= 0.2 > found.high
    assert len(calls) == 1 + clock.WARM_UP + 1 + 3
    calls.clear()
    clock.timed(lambda: call() or time.sleep(0.02), repeats=9, most=0.001)
    assert len(calls) == 3, "a long call is timed once after the first and one more"


def test_the_golden_numbers_are_found_only_where_they_are(tmp_path: Path) -> None:
    assert find_shared(tmp_path) is None
    (tmp_path / "upstream").mkdir()
    (tmp_path / "upstream" / "golden_v1.npz").touch()
    assert find_shared(tmp_path) == tmp_path


def test_a_card_that_is_asked_for_and_not_there_is_an_error(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "card", lambda: None)
    assert command.main(["--device", "cuda"]) == 2
    assert "no CUDA device" in capsys.readouterr().err
    assert sys.modules["benchmarks.gpu.parts"] is parts
