"""In a real browser: the viewer's slider moves the curve, and reports need no network.

Skipped where there is no Chromium; Debian's package is `chromium`. Screenshots go to tests/artefacts/.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from gagjax import flame, simulate
from gagjax.app.cli import main
from gagjax.app.viewer.session import ViewerSession, curve
from gagjax.stack import Stack

playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright")
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome") or shutil.which("chromium-browser")
ARTEFACTS = Path(__file__).resolve().parents[1] / "artefacts"
OPTIONS = [
    "--no-sandbox",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
]
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as started:
        chromium = started.chromium.launch(executable_path=CHROMIUM, args=OPTIONS)
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser):
    opened = browser.new_page(viewport={"width": 1280, "height": 900})
    opened.asked = []
    opened.on("request", lambda request: opened.asked.append(request.url))
    yield opened
    opened.close()


def kept(page, name):
    ARTEFACTS.mkdir(exist_ok=True)
    return page.screenshot(path=ARTEFACTS / name)


@pytest.mark.timeout(180)
def test_a_slider_moves_the_curve(page):
    pytest.importorskip("viser", reason="needs viser")
    from gagjax.app.viewer.page import Viewer

    track = simulate.observe(simulate.driver(60, seed=1), seed=1)
    session = ViewerSession(track, Stack.default(), flame.builtin())
    viewer = Viewer(session, port=8931)
    try:
        page.goto(viewer.address)
        page.get_by_text("jaw opening (deg)").wait_for(timeout=60_000)
        page.wait_for_function("document.querySelectorAll('canvas').length >= 2", timeout=60_000)
        page.wait_for_timeout(1500)  # WebGL in software
        before, seen = curve(session.after, "jaw opening"), kept(page, "view-before.png")
        plot = page.locator(".uplot canvas").first
        drawn = plot.screenshot()
        field = page.get_by_text("jaw, lowest Hz", exact=True).locator("xpath=ancestor::*[.//input][1]//input").last
        field.fill("0.5")
        field.press("Enter")
        page.wait_for_timeout(1500)
        after, later = curve(session.after, "jaw opening"), kept(page, "view-after.png")
        assert session.values["temporal.jaw.lowest"] == 0.5
        assert np.abs(np.diff(after, 2)).mean() < 0.7 * np.abs(np.diff(before, 2)).mean()
        assert plot.screenshot() != drawn and later != seen
        assert all(url.startswith(("http://localhost", "ws://localhost", "data:", "blob:")) for url in page.asked)
    finally:
        viewer.close()


@pytest.mark.timeout(240)
def test_a_film_is_shown_with_the_mesh_over_it_and_films_side_by_side(page, tmp_path):
    pytest.importorskip("viser", reason="needs viser")
    from gagjax import avatars
    from gagjax.app.viewer.film import Film
    from gagjax.app.viewer.page import FilmViewer, Viewer
    from gagjax.io import video

    avatar, track = avatars.builtin(), simulate.driver(8, seed=2, controls=flame.CONTROLS)
    frames = [(255 * np.clip(each, 0, 1)).astype(np.uint8) for each in avatars.render(avatar, track, size=256)]
    video.write(tmp_path / "film.mp4", frames, 25)
    session = ViewerSession(track, Stack.default(enable=("temporal",)), avatar.model)
    film = Film.of(tmp_path / "film.mp4")
    film.wait(whole=True)
    viewer = Viewer(session, port=8933, film=film, over=True)
    try:
        page.goto(viewer.address)
        page.get_by_text("mesh over it").wait_for(timeout=60_000)
        page.wait_for_function("[...document.images].some(i => i.naturalWidth === 256)", timeout=60_000)
        page.wait_for_timeout(1500)  # WebGL in software
        with_mesh = page.locator("img").last.screenshot()
        kept(page, "view-film.png")
        viewer._over.value = "none"
        viewer._show()
        page.wait_for_timeout(1000)
        assert page.locator("img").last.screenshot() != with_mesh
        assert all(url.startswith(("http://localhost", "ws://localhost", "data:", "blob:")) for url in page.asked)
    finally:
        viewer.close()
    both = FilmViewer({name: Film.of(tmp_path / "film.mp4") for name in ("before", "after")}, port=8935)
    try:
        page.goto(both.address)
        page.get_by_text("play").wait_for(timeout=60_000)
        page.wait_for_function("document.querySelectorAll('canvas').length >= 1", timeout=60_000)
        page.wait_for_timeout(3000)
        kept(page, "view-films.png")
        assert all(url.startswith(("http://localhost", "ws://localhost", "data:", "blob:")) for url in page.asked)
    finally:
        both.close()


@pytest.mark.timeout(240)
def test_the_report_opens_without_network(page, tmp_path):
    words = ["--seeds", "1", "--frames", "20", "--size", "64", "-o", str(tmp_path / "ab")]
    assert main(["ablate", "builtin", *words]) == 0
    page.context.set_offline(True)
    page.goto((tmp_path / "ab" / "report.html").as_uri())
    kept(page, "report.png")
    assert page.title() == "gagjax ablate"
    assert page.locator("table tr").count() > 10
    sizes = page.eval_on_selector_all("img", "all => all.map(each => each.naturalWidth)")
    assert len(sizes) >= 8 and min(sizes) > 0  # curves, and strips of the truth and seven stacks
    assert page.eval_on_selector("video", "each => each.src.length") > 1000
    assert [url for url in page.asked if not url.startswith(("file:", "data:"))] == []
