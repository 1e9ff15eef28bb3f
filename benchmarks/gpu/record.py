"""What a part found: rows that survive the part's end, whatever ends it."""

from __future__ import annotations

import dataclasses
import json
import math
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, TypeVar

T = TypeVar("T")
Verdict = Literal["", "holds", "fails", "not run"]


@dataclasses.dataclass
class Row:
    """One line of the table.

    Args:
        what: What was measured or checked.
        value: The figure, as text.
        note: Size of the problem, compile time, comparison.
        verdict: "holds" or "fails" where something is demanded; "not run" with the reason in the note.
    """

    what: str
    value: str = ""
    note: str = ""
    verdict: Verdict = ""


class Record:
    """The rows of one part. Every row is printed at once and, with a path, appended to a file at once.

    Args:
        part: Name of the part, for progress lines.
        seconds: Its time budget.
        path: File of JSON lines, or None.
    """

    def __init__(self, part: str, seconds: float = math.inf, path: Path | None = None) -> None:
        self.part, self.path = part, path
        self.rows: list[Row] = []
        self._end = time.monotonic() + seconds
        self._start = time.monotonic()

    def left(self) -> float:
        """Seconds left of the budget."""
        return self._end - time.monotonic()

    def progress(self, text: str) -> None:
        """A line for whoever waits."""
        print(f"[{self.part} {time.monotonic() - self._start:5.1f} s] {text}", flush=True)

    def figure(self, what: str, value: str, note: str = "") -> None:
        """A measured figure of which nothing is demanded."""
        self._add(Row(what, value, note))

    def check(self, what: str, good: bool, value: str = "", note: str = "") -> None:
        """Something that must hold, with the figure that decides it."""
        self._add(Row(what, value, note, "holds" if good else "fails"))

    def not_run(self, what: str, reason: str) -> None:
        """Something left out, and why."""
        self._add(Row(what, "", reason, "not run"))

    def attempt(self, what: str, call: Callable[..., T], *arguments: Any, needs: float = 0.0) -> T | None:
        """One step of a part: its error becomes a row, and the part goes on with its next step.

        Args:
            what: What the step does.
            call: The step.
            arguments: Its arguments.
            needs: Seconds it will take about; where fewer are left it is not begun.

        Returns:
            What the step returned; None where it failed or was not begun.
        """
        if self.left() <= needs:
            self.not_run(what, f"{max(self.left(), 0):.0f} s of the budget were left, about {needs:.0f} s are needed")
            return None
        self.progress(what)
        try:
            return call(*arguments)
        except Exception as error:
            traceback.print_exc()
            self._add(Row(what, "error", one_line(error), "fails"))
            return None

    def _add(self, row: Row) -> None:
        self.rows.append(row)
        mark = f" [{row.verdict}]" if row.verdict else ""
        self.progress(f"  {row.what}: {row.value}{mark} {row.note}".rstrip())
        if self.path is not None:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(dataclasses.asdict(row)) + "\n")


def read(path: Path) -> list[Row]:
    """The rows that a part left behind, also where it was stopped in the middle of a line."""
    rows = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else []:
        try:
            rows.append(Row(**json.loads(line)))
        except ValueError:
            break
    return rows


def one_line(error: BaseException, most: int = 300) -> str:
    """An error as the cell of a table."""
    text = " ".join(f"{type(error).__name__}: {error}".split()).replace("|", "/")
    return text if len(text) <= most else text[: most - 3] + "..."


def shown(value: Any) -> str:
    """A number with three significant digits."""
    return f"{value:.3g}"
