"""Text out of files reaches a terminal or a page as text: nothing in it steers, hides or runs anything."""

from __future__ import annotations

import html.parser
import os
import pickle
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gagjax.app.cli import main
from gagjax.app.reports import html_page, summary
from gagjax.errors import InputError
from gagjax.io.tracks import load_track, save_track
from gagjax.metrics.report import Measure
from gagjax.text.printable import Escaping, escaped, quoted
from tests.io import make

EVIL = "\x1b[2J\x1b]0;owned\x07\r\x08\u202e\ud800\x9b31m"
CONTROL = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
MARKUP = "</title><script>alert(1)</script>\"'><img src=x onerror=alert(1)>"


def said(capsys):
    captured = capsys.readouterr()
    return captured.out + captured.err


@pytest.mark.parametrize("command", ["info", "convert"])
def test_names_of_frames_channels_and_files_are_escaped(tmp_path, capsys, command):
    folder = tmp_path / "a\x1b[31mb\u202ec"
    folder.mkdir()
    extra = {f"ch{EVIL[:-5]}\nnel": np.random.default_rng(0).normal(size=(4, 2))}
    names = [f"clip\x1b[2J\n_{i}" for i in range(4)]
    path = folder / "in.npz"
    save_track(make.track(4, names=names, extra=extra), path)
    words = {
        "info": [str(path)],
        "convert": [str(path), str(folder / "out.pkl")],
    }[command]
    assert main([command, *words]) == 0
    text = said(capsys)
    assert not CONTROL.search(text), CONTROL.search(text)
    assert "\\x1b[31mb" in text
    track = load_track(path)
    assert not CONTROL.search(summary.table(track, track).replace("\n", "")) and "ch\\x1b" in summary.table(
        track, track
    )


def test_keys_of_foreign_pickles_are_escaped(tmp_path, capsys):
    for content in (
        {EVIL: 1},
        {f"{EVIL}_1": {"expcode": np.zeros(3)}},
        {"a": {"expcode": 1, EVIL: 2}},
        {f"{EVIL}_{i}": record for i, record in enumerate(make.records(2).values())}
        | {"a_1": make.records(1)["clip_0"]},
    ):
        path = tmp_path / "a.pkl"
        path.write_bytes(pickle.dumps(content))
        main(["info", str(path)])
        text = said(capsys)
        assert text and not CONTROL.search(text), text


@pytest.mark.skipif(os.name != "posix", reason="names of files are bytes on POSIX alone")
def test_a_file_whose_name_is_no_text(tmp_path, capsys):
    path = tmp_path / os.fsdecode(b"\xff\xfe.npz")
    save_track(make.track(3), path)
    assert main(["info", str(path)]) == 0
    assert "\\udcff" in said(capsys)
    assert main(["info", f"{path}x"]) == 2


class Tags(html.parser.HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.found, self.attributes = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.found.append(tag)
        self.attributes += [name for name, _ in attrs]


@given(st.one_of(st.just(MARKUP + EVIL), st.text(min_size=1)))
def test_a_report_holds_text_as_text(text):
    def pieces(word):
        measure = Measure(word, word, "low", word, 2)
        picture = np.zeros((2, 2, 3), np.uint8)
        return html_page.page(
            word,
            [
                html_page.heading(word),
                html_page.paragraph(word),
                html_page.bullets([word]),
                html_page.picture(picture, word),
                html_page.table({"a": measure}, {word: {"a": 1.0}}),
            ],
        )

    plain, hostile = Tags(pieces("word")), Tags(pieces(text))
    assert (hostile.found, hostile.attributes) == (plain.found, plain.attributes)
    pieces(text).encode()  # a page can be written


@given(st.text())
def test_what_is_escaped_is_printable_and_one_line(text):
    assert escaped(text).isprintable()
    assert escaped(escaped(text)) == escaped(text)
    message = str(InputError(text, file=text or "a", field=text, fix=text))
    assert message.isprintable() and "\n" not in message
    message.encode()


@given(
    st.recursive(
        st.one_of(st.integers(), st.text(), st.floats(), st.none()),
        lambda s: st.lists(s) | st.dictionaries(st.text(), s),
    )
)
def test_any_value_can_be_quoted(value):
    assert quoted(value).isprintable() and len(quoted(value)) <= 800


def test_absurd_numbers_can_be_quoted():
    assert "bits" in quoted(1 << 100_000) and "list" in quoted([1 << 100_000])


def test_a_stream_that_escapes(capsys):
    import sys

    print("a\x1b\tb\nc", file=Escaping(sys.stdout))
    assert capsys.readouterr().out == "a\\x1b\tb\nc\n"
