"""The written pages of README and docs, and what stands in them: code, links, headings."""

from __future__ import annotations

import re
import shlex
from functools import cache
from pathlib import Path
from typing import NamedTuple

from markdown_it import MarkdownIt
from markdown_it.token import Token

from gagjax.app.cli import COMMANDS

ROOT = Path(__file__).resolve().parents[2]
#: Pages of commands that do not exist yet; not built, so not tested.
UNBUILT: tuple[str, ...] = ()
#: Commands that pages name already and that are yet to come; take a name out when its command is there.
NOT_YET: tuple[str, ...] = ()
READMES = ("README.md", "README.zh-CN.md", "bridge/README.md", "CONTRIBUTING.md", "SECURITY.md")


def written() -> list[str]:
    """Every page that people wrote, by its path in the repository."""
    pages = [str(path.relative_to(ROOT)) for path in sorted((ROOT / "docs").rglob("*.md"))]
    built = ("docs/generated/", "docs/_build/")
    return [*READMES, *(page for page in pages if not page.startswith(built) and page not in UNBUILT)]


class Block(NamedTuple):
    """A block of code: its language, the words after that, its text and line."""

    language: str
    words: tuple[str, ...]
    text: str
    line: int


@cache
def tokens(page: str) -> list[Token]:
    """A page, parsed."""
    return MarkdownIt("commonmark").enable("table").parse((ROOT / page).read_text(encoding="utf-8"))


def blocks(page: str) -> list[Block]:
    """The blocks of code of a page; indented ones have no language."""
    found = []
    for token in tokens(page):
        if token.type in ("fence", "code_block"):
            language, *words = token.info.split() or [""]
            found.append(Block(language, tuple(words), token.content, token.map[0] + 1 if token.map else 0))
    return found


def inline(page: str, kind: str) -> list[Token]:
    """The inline tokens of one kind, such as code_inline or link_open."""
    return [child for token in tokens(page) for child in token.children or () if child.type == kind]


def lines_of(text: str) -> list[str]:
    """The lines of a shell block, continued lines joined, without comments."""
    joined = re.sub(r"\\\n\s*", "", text)
    return [stripped for line in joined.splitlines() if (stripped := re.sub(r"(^|\s)#.*", "", line).strip())]


def commands(text: str) -> list[list[str]]:
    """The words of every `gagjax` command in a text of shell lines, pipes and chains taken apart."""
    found = []
    for line in lines_of(text):
        for part in re.split(r"\s*(?:&&|\|\||\||;)\s*", line):
            words = re.sub(r"^(?:[A-Z_]+=\S+\s+)*", "", part)
            if re.match(r"(?:\S*/)?gagjax(\s|$)", words):
                found.append(shlex.split(words)[1:])
    return found


def inline_commands(page: str) -> list[list[str]]:
    """The `gagjax COMMAND ...` of running text."""
    spans = [token.content for token in inline(page, "code_inline")]
    return [words for span in spans for words in commands(span)]


def is_placeholder(words: list[str]) -> bool:
    """Whether a command only names a place to fill in, as `gagjax COMMAND --help` does."""
    return not words or (words[0] not in COMMANDS and words[0].isupper())
