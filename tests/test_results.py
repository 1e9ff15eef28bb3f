"""The one table of results: every figure is found in the table that it is said to stand in."""

from __future__ import annotations

import pytest

from benchmarks.run_all import HEADLINES, RESULTS, cell, headlines


@pytest.mark.parametrize("headline", HEADLINES, ids=lambda each: each[0])
def test_every_figure_is_there(headline):
    _what, table, row, column = headline
    assert (RESULTS / f"{table}.md").is_file()
    assert cell(table, row, column)


def test_the_summary_quotes_them():
    text = (RESULTS / "summary.md").read_text(encoding="utf-8")
    for line in headlines():
        assert line in text, "run python -m benchmarks.run_all --tables"
