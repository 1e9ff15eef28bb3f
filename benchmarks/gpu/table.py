"""The table of results: figures where a card measured them, and nothing but the word of the twins where none did."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.gpu.parts import PARTS
from benchmarks.gpu.record import Row

COMMAND = "python -m benchmarks.gpu"
NO_CARD = "No card was at hand"


def measured(found: Mapping[str, Sequence[Row]], machine: str) -> str:
    """The page of a run on a card: every row of every part.

    Args:
        found: Rows by part, in order.
        machine: Card, driver and versions, one line.
    """
    lines = ["# gpu", "", f"`{COMMAND}`", "", machine, "", _summary(found), ""]
    for name, rows in found.items():
        lines += [f"## {PARTS[name].title if name in PARTS else name}", ""]
        lines += ["| what | figure | verdict | note |", "|---|---|---|---|"]
        lines += [f"| {row.what} | {row.value} | {row.verdict} | {row.note} |" for row in rows]
        lines.append("")
    return "\n".join(lines)


def twins(found: Mapping[str, Sequence[Row]], machine: str) -> str:
    """The page of a run without a card: which checks of the twins held, and no figure.

    Args:
        found: Rows by part, in order.
        machine: Processor and versions, one line.
    """
    failed = [f"{name}: {row.what} ({row.note or row.value})" for name, row in _with(found, "fails")]
    word = "CPU twins passed" if not failed else "CPU twins FAILED"
    lines = [
        "# gpu",
        "",
        f"`{COMMAND}`",
        "",
        machine,
        "",
        f"{NO_CARD}; {word}. Nothing here was measured on a GPU: the twins run the same code at toy sizes on a CPU, with a "
        "stand-in for gsplat, and show that it runs and that its checks hold there.",
        "",
        "| part | checks that held | that failed | not run |",
        "|---|---:|---:|---:|",
    ]
    for name, rows in found.items():
        counts = [sum(row.verdict == verdict for row in rows) for verdict in ("holds", "fails", "not run")]
        lines.append(f"| {PARTS[name].title} | " + " | ".join(map(str, counts)) + " |")
    lines += ["", *(f"- {line}" for line in failed)]
    return "\n".join(lines).rstrip() + "\n"


def _summary(found: Mapping[str, Sequence[Row]]) -> str:
    held, failed, left = (_with(found, verdict) for verdict in ("holds", "fails", "not run"))
    text = f"{len(held)} checks held, {len(failed)} failed, {len(left)} were not run."
    return text + "".join(f"\n- failed: {row.what} ({row.note or row.value})" for _, row in failed)


def _with(found: Mapping[str, Sequence[Row]], verdict: str) -> list[tuple[str, Row]]:
    return [(name, row) for name, rows in found.items() for row in rows if row.verdict == verdict]


def write(path: Path, text: str) -> bool:
    """Write the page; one without figures never replaces one with them.

    Returns:
        Whether it was written.
    """
    if NO_CARD in text and path.is_file() and NO_CARD not in path.read_text(encoding="utf-8"):
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text.rstrip() + "\n", encoding="utf-8")
    return True
