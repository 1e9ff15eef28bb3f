"""Tables in the pages are those of benchmarks/results: what is not there stops the build."""

from __future__ import annotations

import importlib
import sys

import pytest

from tests.docs.pages import ROOT


@pytest.fixture(scope="module")
def tables():
    pytest.importorskip("sphinx", reason="needs the extra docs: pip install 'gagjax[docs]'")
    sys.path.insert(0, str(ROOT / "docs"))
    try:
        return importlib.import_module("extension.tables")
    finally:
        sys.path.remove(str(ROOT / "docs"))


def test_rows_and_columns(tables):
    command, rows = tables.chosen("avatar", ["512"], ["frames/s", "picture"])
    assert command == "python -m benchmarks.avatar_sheet"
    assert rows[0] == ["frames/s", "picture"]
    assert [row[1] for row in rows[1:]] == ["512 x 512"]


def test_a_table_of_text(tables):
    _, rows = tables.chosen("ablation", ["^time"], ["measure", "temporal"])
    assert rows[0] == ["measure", "temporal"]
    assert len(rows) == 2 and float(rows[1][1].rstrip("*")) > 0


@pytest.mark.parametrize(("rows", "columns"), [(["no such row"], []), ([], ["no such column"])])
def test_what_is_missing_is_an_error(tables, rows, columns):
    with pytest.raises(ValueError, match="no such"):
        tables.chosen("avatar", rows, columns)


def test_every_result_names_its_command(tables):
    for path in tables.RESULTS.glob("*.md"):
        if path.stem != "summary":
            assert tables.result(path.stem)[0], path.name
