"""Labelled pictures side by side, the curves, and the page that holds them."""

from __future__ import annotations

import io
from html.parser import HTMLParser

import numpy as np

from gagjax.app.reports import curves, html_page, panels
from gagjax.metrics import report
from gagjax.simulate import driver, observe


def test_panels_keep_the_pixels_and_are_even():
    generator = np.random.default_rng(0)
    frames = [generator.integers(0, 255, (97, 97, 3), np.uint8) for _ in range(3)]
    row = panels.beside(frames, ["a", "b", "c"])
    assert row.shape[0] % 2 == 0 and row.shape[1] % 2 == 0
    top = panels._bar_height(97)
    for k, frame in enumerate(frames):
        np.testing.assert_array_equal(row[top : top + 97, k * 101 : k * 101 + 97], frame)


def test_label_and_note_are_drawn_and_fit():
    blank = np.zeros((96, 96, 3), np.uint8)
    top = panels._bar_height(96)
    without, with_note = (panels.beside([blank], ["noisy"], [note])[:top] for note in ("", "frame lost"))
    assert (without != without[0, 0]).any()
    assert (without != with_note).any()
    long = panels.beside([blank], ["a rather long label"])[:top]
    assert (long[:, -3:] == long[0, -1]).all()


def test_floats_become_bytes_and_are_clipped():
    assert panels.as_bytes(np.array([-0.5, 0.5, 2.0])).tolist() == [0, 128, 255]


def test_resizing_keeps_the_proportions():
    assert panels.resized(np.zeros((100, 50, 3), np.uint8), 60).shape == (60, 30, 3)


def test_head_angles_are_those_of_the_driver():
    track = driver(100, seed=0)
    angles = curves.head_angles(track)
    # The face's forward axis in the camera: left is positive x there, and so is the subject's left.
    forward = np.asarray(track.transform)[:, 2, :3]
    yaw = np.rad2deg(np.arctan2(-forward[:, 0], -forward[:, 2]))
    np.testing.assert_allclose(angles[:, 0], yaw, atol=0.05)


def test_curves_are_drawn():
    truth = driver(40, seed=0)
    noisy = observe(truth)
    out = io.BytesIO()
    curves.draw(out, truth, noisy, truth, truth, {"blink_left": 0, "smile": 2})
    assert out.getvalue().startswith(b"\x89PNG")


class _Outside(HTMLParser):
    """Collects what a page would fetch."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.found += [v for k, v in attrs if k in ("src", "href") and not v.startswith("data:")]


def test_a_page_is_self_contained_and_escapes_text(tmp_path):
    clip = tmp_path / "clip.mp4"
    clip.write_bytes(b"not decoded here")
    parts = [
        html_page.paragraph("1 < 2 & 3"),
        html_page.picture(np.zeros((8, 8, 3), np.uint8), "black"),
        html_page.video(clip, "clip"),
        html_page.table(report.IMAGE, {"a": {"psnr": 30.0}, "b": {"psnr": 20.0}}),
    ]
    text = html_page.page("a title", parts)
    parser = _Outside()
    parser.feed(text)
    assert parser.found == []
    assert "1 &lt; 2 &amp; 3" in text
    assert "<td class=best>30.00</td><td>20.00</td>" in text
    assert "SSIM" not in text  # a row without a figure is left out
