"""Code in README and docs: Python compiles, commands parse, and what is quick runs."""

from __future__ import annotations

import contextlib
import io
import os
from pathlib import Path

import numpy as np
import pytest

import gagjax as gj
from gagjax import simulate
from gagjax.app import cli, presets
from tests.docs import pages

PAGES = pages.written()
PYTHON = [(page, k) for page in PAGES for k, block in enumerate(pages.blocks(page)) if block.language == "python"]
SHELL = ("", "sh", "bash", "console")
COMMANDS = [
    pytest.param(
        words,
        id=f"{page}: {' '.join(words)}"[:90],
        marks=pytest.mark.xfail(strict=True, reason="is yet to come") if words and words[0] in pages.NOT_YET else (),
    )
    for page in PAGES
    for words in (
        *(words for block in pages.blocks(page) if block.language in SHELL for words in pages.commands(block.text)),
        *pages.inline_commands(page),
    )
    if not pages.is_placeholder(words)
]
#: Pages whose Python runs, block after block in one namespace; the others' needs a GPU or weights.
RUN = [
    page
    for page in PAGES
    if (page.startswith("docs/") or page == "README.md")
    and any(block.language == "python" and "no-run" not in block.words for block in pages.blocks(page))
]
RUN_SHELL = [page for page in PAGES if any("run" in block.words for block in pages.blocks(page))]


@pytest.mark.parametrize(("page", "number"), PYTHON)
def test_python_compiles(page, number):
    block = pages.blocks(page)[number]
    compile("\n" * block.line + block.text, page, "exec")


@pytest.mark.parametrize(
    ("page", "number"),
    [(page, k) for page in PAGES for k, block in enumerate(pages.blocks(page)) if block.language == "yaml"],
)
def test_presets_are_presets(page, number):
    assert presets.stack_of("page.yaml", text=pages.blocks(page)[number].text) is not None


@pytest.mark.parametrize("words", COMMANDS)
def test_commands_parse(words):
    name, *options = words
    assert name in cli.COMMANDS, f"there is no gagjax {name}"
    if not options:  # a command that is only named
        return
    said = io.StringIO()
    try:
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            cli.parse(name, options)
    except SystemExit as stopped:
        assert stopped.code in (0, None), said.getvalue()


@pytest.mark.parametrize("words", [["enhance", "clip/", "--no-such-option"], ["enhence", "clip/"]])
def test_a_wrong_command_is_found(words):
    with pytest.raises(AssertionError):
        test_commands_parse(words)


@pytest.fixture(scope="module")
def bench(tmp_path_factory) -> Path:
    """A folder with the files that the pages speak of."""
    folder = tmp_path_factory.mktemp("docs")
    seen = simulate.observe(simulate.driver(30, seed=1), seed=2)
    gj.save_track(seen, folder / "clip")
    return folder


@contextlib.contextmanager
def inside(folder: Path):
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


@pytest.mark.parametrize("page", RUN)
def test_python_runs(page, bench, tmp_path):
    (tmp_path / "clip").symlink_to(bench / "clip")
    # README names its input `xs` without making it.
    space = {"xs": np.zeros((8, 2), np.float32)}
    with inside(tmp_path):
        for block in pages.blocks(page):
            if block.language == "python" and "no-run" not in block.words:
                exec(compile("\n" * block.line + block.text, page, "exec"), space)


@pytest.mark.parametrize("page", RUN_SHELL)
def test_marked_commands_run(page, bench, tmp_path, capsys):
    (tmp_path / "clip").symlink_to(bench / "clip")
    with inside(tmp_path):
        for block in pages.blocks(page):
            if "run" in block.words:
                for words in pages.commands(block.text):
                    assert cli.main(words) == 0, f"gagjax {' '.join(words)}: {capsys.readouterr().err}"


def test_a_page_is_built_once_its_commands_are_there():
    for page in pages.UNBUILT:
        named = {words[0] for block in pages.blocks(page) for words in pages.commands(block.text)}
        assert not named <= set(cli.COMMANDS), f"build {page}: the comment at its top says how"
