"""The Chinese start page says the same commands as the English one."""

from __future__ import annotations

import re

from tests.docs import pages

ENGLISH, CHINESE = "README.md", "README.zh-CN.md"
RUNS = re.compile(r"(gagjax|make|pip|python)\s")


def code(page: str) -> list[tuple[str, list[str]]]:
    """The blocks of code, comments and empty lines left out."""
    return [(b.language, pages.lines_of(b.text)) for b in pages.blocks(page) if b.language in ("sh", "python")]


def spans(page: str) -> set[str]:
    """The commands of running text and tables."""
    return {token.content for token in pages.inline(page, "code_inline") if RUNS.match(token.content)}


def test_blocks_are_the_same():
    assert code(CHINESE) == code(ENGLISH)


def test_commands_in_the_text_are_the_same():
    assert spans(CHINESE) == spans(ENGLISH)


def test_each_leads_to_the_other():
    for page, other in ((ENGLISH, CHINESE), (CHINESE, ENGLISH)):
        assert other in {token.attrs["href"] for token in pages.inline(page, "link_open")}
