"""Links of README and docs lead to files that exist and headings that are there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.docs import pages

#: Made when the docs are built; tests/docs/test_site.py follows the links to them.
GENERATED = "docs/generated/"


def slugs(page: str) -> set[str]:
    """The anchors of a page's headings, as GitHub and MyST make them."""
    found = set()
    tokens = pages.tokens(page)
    for k, token in enumerate(tokens):
        if token.type == "heading_open":
            text = re.sub(r"[`*]|\[([^]]*)\]\([^)]*\)", r"\1", tokens[k + 1].content).lower()
            found.add(re.sub(r"[^\w\- ]", "", text).replace(" ", "-"))
    return found


def broken(page: str) -> list[str]:
    """The links of a page that lead nowhere."""
    targets = [str(token.attrs["href"]) for token in pages.inline(page, "link_open")]
    targets += [str(token.attrs["src"]) for token in pages.inline(page, "image")]
    for block in pages.blocks(page):
        if block.language == "{image}":
            targets += block.words
    found = []
    for target in targets:
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        path = (pages.ROOT / page).parent / name if name else pages.ROOT / page
        relative = Path(path).resolve().relative_to(pages.ROOT).as_posix()
        if relative.startswith(GENERATED):
            continue
        if not path.exists() or (anchor and path.suffix == ".md" and anchor not in slugs(relative)):
            found.append(target)
    return found


@pytest.mark.parametrize("page", pages.written())
def test_links_lead_somewhere(page):
    assert not broken(page)


def test_every_page_is_in_a_table_of_contents():
    listed = set()
    for page in pages.written():
        for block in pages.blocks(page):
            if block.language == "{toctree}":
                names = [line for line in block.text.splitlines() if line and not line.startswith(":")]
                listed |= {((pages.ROOT / page).parent / f"{name}.md").resolve() for name in names}
    docs = [pages.ROOT / page for page in pages.written() if page.startswith("docs/") and page != "docs/index.md"]
    assert {path.resolve() for path in docs} <= listed
