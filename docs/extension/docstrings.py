"""Docstrings are plain text with names in single backticks; Sphinx wants reStructuredText."""

from __future__ import annotations

import inspect
import re
from functools import cache
from typing import Any

from extension.public_names import modules, names_of

_CODE = re.compile(r"(`+)(.+?)\1(?!`)")
_DOTTED = re.compile(r"[A-Za-z_][\w.]*")
_MARKED = re.compile(r"(?<=\S)\*|\*(?=\S)|\|")
_TRAILING = re.compile(r"(?<=\w)_(?=\W|$)")


@cache
def targets() -> dict[str, str]:
    """What a name in backticks can mean: full paths, paths without `gagjax.`, and last parts that are unique."""
    found: dict[str, str] = {}
    last: dict[str, set[str]] = {}
    seen: dict[int, str] = {}
    for module in modules().values():
        for path, value in names_of(module):
            path = seen.setdefault(id(value), path)
            found[path] = path
            found[path.removeprefix("gagjax.")] = path
            last.setdefault(path.rpartition(".")[2], set()).add(path)
    for name, paths in last.items():
        # A word such as `scan` or `track` is more often an argument than the public name.
        if len(paths) == 1 and name[0].isupper():
            found.setdefault(name, next(iter(paths)))
    return found


def line_to_rst(line: str) -> str:
    """One line: code in backticks as literals or links, characters that mean something in RST escaped."""
    bullet = re.match(r"\s*(\* |\*$)?", line)
    assert bullet is not None
    parts, end = [line[: bullet.end()]], bullet.end()
    for match in _CODE.finditer(line, end):
        parts.append(_escaped(line[end : match.start()]))
        text = match[2]
        target = targets().get(text.removesuffix("()")) if _DOTTED.fullmatch(text.removesuffix("()")) else None
        if target is None:
            parts.append(f"``{text}``")
        else:
            parts.append(f":py:obj:`{text} <{target}>`")
        end = match.end()
        if end < len(line) and (line[end].isalnum() or line[end] == "_"):
            parts.append("\\ ")
    parts.append(_escaped(line[end:]))
    return "".join(parts)


def to_rst(app: Any, what: str, name: str, value: Any, options: Any, lines: list[str]) -> None:
    """Sphinx's hook: the lines of a docstring, changed in place; of plain data, not those of its type."""
    if what == "data" and "\n".join(lines).strip() == inspect.cleandoc(type(value).__doc__ or ""):
        lines.clear()
    example = False
    for k, line in enumerate(lines):
        if line.lstrip().startswith(">>>"):
            example = True
        elif not line.strip():
            example = False
        if not example:
            lines[k] = line_to_rst(line)


def plain_types(
    app: Any, what: str, name: str, value: Any, options: Any, signature: str | None, returns: str | None
) -> tuple[str | None, str | None]:
    """Sphinx's hook: arrays under the names that they are imported by."""
    return _plain(signature), _plain(returns)


def _plain(text: str | None) -> str | None:
    return text and re.sub(r"\bjaxlib\.\w+\.Array\b|\bjax\.Array\b", "Array", text).replace("numpy.ndarray", "ndarray")


def _escaped(text: str) -> str:
    return _TRAILING.sub(r"\\_", _MARKED.sub(lambda match: f"\\{match[0]}", text))
