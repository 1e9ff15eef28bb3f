"""Tables that are made from data, so that they cannot differ from it."""

from __future__ import annotations

import base64
import json
import re
import warnings
from pathlib import Path
from typing import Any, ClassVar

import yaml
from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.util.docutils import SphinxDirective

DOCS = Path(__file__).resolve().parents[1]
RESULTS = DOCS.parent / "benchmarks" / "results"
NOTEBOOKS = DOCS.parent / "notebooks"
FORMATS = DOCS / "tables" / "formats.yaml"


def result(name: str) -> tuple[str, list[list[list[str]]]]:
    """A benchmark's command, and its tables as lists of rows, the header first.

    Tables are Markdown's, or text in a fence whose columns are two spaces apart; there the first column has no
    heading and is called "measure".
    """
    command, tables, inside, fenced = "", [], False, False
    for line in (RESULTS / f"{name}.md").read_text(encoding="utf-8").splitlines():
        if line.startswith("```"):
            fenced, inside = not fenced, False
            continue
        if line.startswith("`") and not command:
            command = line.strip("`")
        if not (line.startswith("|") or (fenced and line.strip())):
            inside = False
            continue
        if fenced:
            cells = re.split(r"\s{2,}", line.strip())
            cells = cells if inside else ["measure", *cells]
        else:
            cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if all(re.fullmatch(r":?-+:?", cell) for cell in cells):
            continue
        if not inside:
            tables.append([])
        inside = True
        tables[-1].append(cells)
    return command, tables


def chosen(name: str, rows: list[str], columns: list[str]) -> tuple[str, list[list[str]]]:
    """Some rows and columns of a benchmark's table: the first table that has the columns.

    Args:
        name: The file in benchmarks/results.
        rows: Patterns, each to be found in the row's text; none takes all rows.
        columns: Headings; none takes all columns.

    Raises:
        ValueError: If a row or a column is not there.
    """
    command, tables = result(name)
    table = next((each for each in tables if set(columns) <= set(each[0])), None)
    if table is None:
        raise ValueError(f"no table of {name} has the columns {', '.join(columns)}")
    header, body = table[0], table[1:]
    if rows:
        body = []
        for pattern in rows:
            found = [row for row in table[1:] if re.search(pattern, " | ".join(row))]
            if not found:
                raise ValueError(f"no row of {name} matches {pattern!r}")
            body += [row for row in found if row not in body]
    places = [header.index(column) for column in columns] if columns else list(range(len(header)))
    return command, [[row[place] for place in places] for row in [header, *body]]


def _list(text: str | None) -> list[str]:
    return [part.strip() for part in (text or "").split(";") if part.strip()]


class _Table(SphinxDirective):
    def table(self, rows: list[list[str]]) -> list[nodes.Node]:
        """Markdown in, a table out."""
        text = ["| " + " | ".join(rows[0]) + " |", "|" + "---|" * len(rows[0])]
        text += ["| " + " | ".join(cell.replace("\n", " ") for cell in row) + " |" for row in rows[1:]]
        return self.parse_text_to_nodes("\n".join(text))


class Benchmark(_Table):
    """Rows of a table in benchmarks/results, with the command that made it.

    ```{benchmark} detail_speed
    :rows: default; reference
    :columns: step; ours; ms
    ```
    """

    required_arguments = 1
    option_spec: ClassVar = {"rows": directives.unchanged, "columns": directives.unchanged}

    def run(self) -> list[nodes.Node]:
        name = self.arguments[0]
        self.env.note_dependency(str(RESULTS / f"{name}.md"))
        try:
            command, rows = chosen(name, _list(self.options.get("rows")), _list(self.options.get("columns")))
        except (OSError, ValueError) as error:
            raise self.error(str(error)) from error
        up = "../" * self.env.docname.count("/")
        line = f"*`{command}`, [whole table]({up}generated/repository/benchmarks/results/{name}.md)*"
        return [*self.table(rows), *self.parse_text_to_nodes(line)]


def formats() -> dict[str, dict[str, Any]]:
    """What docs/tables/formats.yaml says of each format."""
    return yaml.safe_load(FORMATS.read_text(encoding="utf-8"))


class Formats(_Table):
    """The table of track formats: `files` says who writes what, `fields` what becomes of each."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        self.env.note_dependency(str(FORMATS))
        views = {
            "files": (("format", "title"), ("written by", "writer"), ("files", "files"), ("frame rate", "rate")),
            "fields": (("format", "title"), ("kept", "keeps"), ("lost", "loses"), ("remarks", "note")),
        }
        if self.arguments[0] not in views:
            raise self.error(f"no view {self.arguments[0]!r}; there are {', '.join(views)}")
        columns = views[self.arguments[0]]
        rows = [[heading for heading, _ in columns]]
        for each in formats().values():
            shown = each | {key: ", ".join(each[key]) or "nothing" for key in ("keeps", "loses")}
            if not each["write"]:
                shown |= {"keeps": "read only", "loses": ""}
            rows.append([str(shown[key]) for _, key in columns])
        return self.table(rows)


class Presets(_Table):
    """Which enhancements each preset runs, asked of the presets themselves."""

    def run(self) -> list[nodes.Node]:
        from gagjax.app import presets

        rows = [["preset", *presets.ENHANCEMENTS]]
        for name in (*presets.STACKS, *presets.SCENARIOS):
            rows.append([f"`{name}`", *(("yes" if on else "") for on in touched(name))])
        return self.table(rows)


def touched(preset: str) -> list[bool]:
    """Whether a preset by itself runs each of the enhancements."""
    from gagjax.app import presets

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what the reference preset says of itself
        stack = presets.stack_of(preset)
    return [any(getattr(stack, stage) is not None for stage in stages) for stages in presets.ENHANCEMENTS.values()]


class Gallery(_Table):
    """Every notebook: its title, how it begins, and its first picture."""

    def run(self) -> list[nodes.Node]:
        found: list[nodes.Node] = []
        up = "../" * self.env.docname.count("/")
        for path in sorted(NOTEBOOKS.glob("*.ipynb")):
            self.env.note_dependency(str(path))
            title, text, picture = notebook(path)
            page = f"{up}generated/repository/notebooks/{path.name}"
            lines = [f"**[{title}]({page})**", "", text, ""]
            if picture is not None:
                lines += [
                    f"```{{image}} {up}generated/gallery/{path.stem}.png",
                    f":alt: {title}",
                    ":height: 160px",
                    "```",
                ]
            found += self.parse_text_to_nodes("\n".join(lines))
        return found


def notebook(path: Path) -> tuple[str, str, bytes | None]:
    """A notebook's title, first paragraph, and first stored picture as PNG."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    title, _, rest = "".join(cells[0]["source"]).partition("\n")
    outputs = [output.get("data", {}) for cell in cells for output in cell.get("outputs", [])]
    pictures = ["".join(data["image/png"]) for data in outputs if "image/png" in data]
    text = rest.strip().split("\n\n")[0].replace("\n", " ")
    return title.lstrip("# "), text, base64.b64decode(pictures[0]) if pictures else None
