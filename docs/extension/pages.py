"""Pages that are not written by hand: the API, the commands, and files that live elsewhere in the repository."""

from __future__ import annotations

import contextlib
import inspect
import io
import os
import re
import shutil
import types
from pathlib import Path, PurePosixPath
from typing import Any

from extension.public_names import Name, kind_of, modules, names_of
from extension.tables import notebook

DOCS = Path(__file__).resolve().parents[1]
ROOT = DOCS.parent
GENERATED = DOCS / "generated"
#: Files of the repository that become pages, at generated/repository/ under their own path.
MIRRORED = ("notebooks/*.ipynb", "benchmarks/results/*.md", "bridge/README.md", "CONTRIBUTING.md", "SECURITY.md")
_LINK = re.compile(r"(\]\()([^)\s#]+)(#[^)\s]*)?(\))")


def write(app: Any = None) -> None:
    """Write `docs/generated/` anew. A page that stays the same keeps its time, so that Sphinx need not read it again."""
    wanted: dict[Path, bytes] = {}
    for pattern in MIRRORED:
        for path in sorted(ROOT.glob(pattern)):
            wanted[Path("repository") / path.relative_to(ROOT)] = path.read_bytes()
    for path in sorted(ROOT.glob("notebooks/*.ipynb")):
        picture = notebook(path)[2]
        if picture is not None:
            wanted[Path("gallery") / f"{path.stem}.png"] = picture
    wanted |= {Path("api") / name: text.encode() for name, text in api_pages().items()}
    wanted[Path("commands.md")] = command_page().encode()
    wanted[Path("results.md")] = results_page().encode()
    if GENERATED.is_dir():
        for path in sorted(GENERATED.rglob("*"), reverse=True):
            if path.is_file() and path.relative_to(GENERATED) not in wanted:
                path.unlink()
    for name, content in wanted.items():
        path = GENERATED / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.is_file() or path.read_bytes() != content:
            path.write_bytes(content)


def point_into_pages(app: Any, document: str, source: list[str]) -> None:
    """Links of a Markdown file to files outside of `docs/`, made to lead to the pages of those files."""
    file = DOCS / f"{document}.md"
    if not file.is_file():
        return
    folder = PurePosixPath("docs") / PurePosixPath(document).parent
    mirror = PurePosixPath("docs/generated/repository")
    home = folder.relative_to(mirror) if folder.is_relative_to(mirror) else folder

    def moved(match: re.Match[str]) -> str:
        target = match[2]
        if "://" in target or target.startswith(("/", "mailto:")):
            return match[0]
        place = PurePosixPath(os.path.normpath(home / target))
        if place.is_relative_to("docs"):
            new = place
        elif (ROOT / place).is_dir():
            new = PurePosixPath("docs/gallery.md" if str(place) == "notebooks" else "docs/index.md")
        elif (GENERATED / "repository" / place).is_file():
            new = mirror / place
        else:
            return match[0]
        return f"{match[1]}{os.path.relpath(new, folder)}{match[3] or ''}{match[4]}"

    source[0] = _LINK.sub(moved, source[0])


def api_pages() -> dict[str, str]:
    """A page for each public module, and an index of them, by file name."""
    pages, seen = {}, {}
    found = modules()
    for module in found.values():
        lines = _title(module.__name__) + [f".. automodule:: {module.__name__}", "   :no-members:", ""]
        inner = [name for name in names_of(module) if isinstance(name.value, types.ModuleType)]
        own = [name for name in names_of(module) if not isinstance(name.value, types.ModuleType)]
        if inner:
            lines += ["Modules:", ""]
            lines += [f"* :doc:`{path} <{value.__name__}>`: {_first_line(value)}" for path, value in inner] + [""]
        for name in own:
            lines += _entry(name, module.__name__, seen)
        pages[f"{module.__name__}.rst"] = "\n".join(lines) + "\n"
    lines = _title("API reference") + [
        "Every public name, by the module that it is imported from. ``import gagjax as gj`` and ``import bridge`` load",
        "their parts when they are first used.",
        "",
        ".. toctree::",
        "   :maxdepth: 1",
        "",
        *(f"   {name}" for name in found),
    ]
    pages["index.rst"] = "\n".join(lines) + "\n"
    return pages


def command_page() -> str:
    """What `gagjax COMMAND --help` prints, for every command."""
    from gagjax.app.cli import COMMANDS, parse

    lines = ["# Commands", "", "What `gagjax COMMAND --help` prints.", ""]
    width = os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = "90"
    try:
        for name in sorted(COMMANDS):
            text = io.StringIO()
            with contextlib.redirect_stdout(text), contextlib.suppress(SystemExit):
                parse(name, ["--help"])
            plain = re.sub(r"\x1b\[[0-9;]*m", "", text.getvalue()).rstrip()
            lines += [f"## gagjax {name}", "", "```text", plain, "```", ""]
    finally:
        if width is None:
            os.environ.pop("COLUMNS", None)
        else:
            os.environ["COLUMNS"] = width
    return "\n".join(lines)


def results_page() -> str:
    """The index of all measurements."""
    names = sorted(path.stem for path in (ROOT / "benchmarks" / "results").glob("*.md"))
    lines = [
        "# Measurements",
        "",
        "Every figure in these pages stands in one of these tables, with the command that made it and the machine that",
        "it was made on. `make bench` makes all of them anew.",
        "",
        "```{toctree}",
        ":maxdepth: 1",
        "",
        *(f"repository/benchmarks/results/{name}" for name in names),
        "```",
    ]
    return "\n".join(lines) + "\n"


def clean() -> None:
    """Remove what `write` has written."""
    shutil.rmtree(GENERATED, ignore_errors=True)


def _entry(name: Name, module: str, seen: dict[int, str]) -> list[str]:
    """The documentation of one name; of a second name for the same thing, a line that leads to the first."""
    kind = kind_of(name.value)
    first = seen.setdefault(id(name.value), name.path) if kind != "data" else name.path
    if first != name.path:
        short = name.path.removeprefix(f"{module}.")  # Sphinx puts the module of the page before it
        return [f".. py:data:: {short}", "", f"   The same as :py:obj:`{first}`.", ""]
    lines = [f".. auto{kind}:: {name.path}"]
    if kind == "class":
        lines += ["   :members:"] + (["   :show-inheritance:"] if name.value.__bases__ != (object,) else [])
    if kind == "data":
        lines += ["   :no-value:"]
    return [*lines, ""]


def _title(text: str) -> list[str]:
    return [text, "=" * len(text), ""]


def _first_line(value: Any) -> str:
    from extension.docstrings import line_to_rst

    return line_to_rst((inspect.getdoc(value) or "").split("\n\n")[0].replace("\n", " "))
