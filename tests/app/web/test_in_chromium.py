"""`gagjax app` as a user has it: the command is started, files are dropped, buttons pressed, results downloaded.

Skipped where there is no Chromium, gradio or face networks. The screenshot goes to tests/app/artefacts/app.png.
"""

from __future__ import annotations

import base64
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from gagjax import avatars
from gagjax.io import images, video
from gagjax.io.tracks import load_track, save_track
from gagjax.simulate import driver
from gagjax.tracking import models

playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright")
pytest.importorskip("gradio", reason="needs gradio: pip install 'gagjax[app]'")
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome") or shutil.which("chromium-browser")
ROOT = Path(__file__).resolve().parents[3]
ARTEFACTS = ROOT / "tests" / "app" / "artefacts"
OPTIONS = [
    "--no-sandbox",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
pytestmark = [pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium"), pytest.mark.slow]
FRAMES = 10
# Python reads this at its start, in the page's process and in every command that it runs.
WATCH = """
import os, socket
_connect = socket.socket.connect
def connect(self, address):
    if self.family in (socket.AF_INET, socket.AF_INET6) and address[0] not in ("127.0.0.1", "::1", "localhost"):
        with open(os.environ["CONNECTIONS"], "a") as file:
            file.write(repr(address) + chr(10))
        raise OSError("no network in this test")
    return _connect(self, address)
socket.socket.connect = connect
_resolve = socket.getaddrinfo
def resolve(host, *rest, **more):
    if host not in (None, "127.0.0.1", "::1", "localhost", b"localhost", ""):
        with open(os.environ["CONNECTIONS"], "a") as file:
            file.write(repr(host) + chr(10))
        raise OSError("no network in this test")
    return _resolve(host, *rest, **more)
socket.getaddrinfo = resolve
"""


@pytest.fixture(scope="module")
def dropped(tmp_path_factory):
    """A photo, a film of somebody else, and a track."""
    if not models.complete():
        pytest.skip("needs the face networks: run `gagjax models` (make test does)")
    folder = tmp_path_factory.mktemp("dropped")
    photo, film, track = folder / "me.png", folder / "film.mp4", folder / "talk.npz"
    images.write(photo, np.clip(avatars.render(avatars.builtin(3), driver(1, seed=3), size=256)[0], 0, 1))
    frames = np.clip(np.asarray(avatars.render(avatars.builtin(5), driver(FRAMES, seed=5), size=256)), 0, 1)
    video.write(film, [(frame * 255).astype(np.uint8) for frame in frames], 25)
    save_track(driver(FRAMES + 2, seed=1), track)
    return photo, film, track


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """The running command: its address, its folder of results, and the file in which connections are noted."""
    folder = tmp_path_factory.mktemp("app")
    (folder / "watch").mkdir()
    (folder / "watch" / "sitecustomize.py").write_text(WATCH)
    connections = folder / "connections.txt"
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(folder / "watch"), str(ROOT)]),
        "CONNECTIONS": str(connections),
        "PYTHONUNBUFFERED": "1",
    }
    words = [sys.executable, "-m", "gagjax", "app", "-o", str(folder / "out"), "--port", "7931"]
    process = subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, text=True)
    lines = []
    for line in process.stdout:
        lines.append(line)
        if "http://" in line:
            break
    try:
        assert process.poll() is None, lines
        yield re.search(r"http://\S+", lines[-1])[0], folder / "out", connections
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(180)
    assert process.returncode == 0


@pytest.fixture(scope="module")
def page(served):
    with playwright.sync_playwright() as started:
        chromium = started.chromium.launch(executable_path=CHROMIUM, args=OPTIONS)
        opened = chromium.new_page(viewport={"width": 1440, "height": 1000}, accept_downloads=True)
        opened.asked, opened.complaints = [], []
        opened.on("request", lambda request: opened.asked.append(request.url))
        opened.on("websocket", lambda socket: opened.asked.append(socket.url))
        opened.on("pageerror", lambda error: opened.complaints.append(str(error)))
        opened.goto(served[0])
        opened.locator("#run").wait_for(timeout=60_000)
        yield opened
        chromium.close()


def drop(page, where, *paths):
    """Drop files on a part of the page, as a file manager does."""
    files = [[path.name, base64.b64encode(path.read_bytes()).decode()] for path in paths]
    data = page.evaluate_handle(
        """all => { const data = new DataTransfer();
        for (const [name, text] of all)
            data.items.add(new File([Uint8Array.from(atob(text), c => c.charCodeAt(0))], name,
                {type: name.endsWith('png') ? 'image/png' : name.endsWith('mp4') ? 'video/mp4' : ''}));
        return data; }""",
        files,
    )
    target = page.locator(f"{where} button").first
    for event in ("dragenter", "dragover", "drop"):
        target.dispatch_event(event, {"dataTransfer": data})


def state(page):
    return page.locator("#state").inner_text()


def wait_for(page, text, seconds):
    page.wait_for_function(
        "text => document.querySelector('#state').innerText.includes(text)", arg=text, timeout=1000 * seconds
    )


@pytest.mark.timeout(600)
def test_from_dropped_files_to_downloads(page, served, dropped, tmp_path):
    photo, film, track = dropped
    drop(page, "#photo", photo)
    page.locator("#photo img").wait_for(timeout=30_000)
    drop(page, "#drivers", film, track)
    page.locator("#drivers").get_by_text("talk").wait_for(timeout=30_000)
    page.locator("#preset input").click()
    page.get_by_role("option", name="quality").click()
    page.wait_for_function("document.querySelectorAll('#enable input:checked').length == 4")  # it switches gaze on
    page.locator("#size input").click()
    page.get_by_role("option", name="256").click()
    page.locator("#run").click()
    page.wait_for_function("document.querySelector('#state progress') !== null", timeout=30_000)
    page.wait_for_function("/done: everything|error/.test(document.querySelector('#state').innerText)", timeout=540_000)
    assert "done" in state(page), state(page)
    page.wait_for_function(
        "(document.querySelector('#shown video') || {}).readyState >= 2", timeout=60_000
    )  # the browser has decoded a frame of before | after
    width, length = page.eval_on_selector("#shown video", "v => [v.videoWidth, v.duration]")
    assert width > 2 * 256 and length > 0.3
    assert page.locator("#which").is_visible()  # two drivers to choose from
    kept = {}
    links = page.locator("#files a[download]")
    for k in range(links.count()):
        with page.expect_download(timeout=60_000) as waiting:
            links.nth(k).click()
        got = tmp_path / waiting.value.suggested_filename
        waiting.value.save_as(got)
        kept[got.name] = got
    ARTEFACTS.mkdir(exist_ok=True)
    page.evaluate("scrollTo(0, 0)")
    page.screenshot(path=ARTEFACTS / "app.png")
    assert {"film.mp4", "film_compared.mp4", "film.npz", "talk.mp4", "talk.npz", "preset.yaml"} <= set(kept)
    assert video.info(kept["film.mp4"]).frames == FRAMES and video.info(kept["talk.mp4"]).frames == FRAMES + 2
    assert len(load_track(kept["film.npz"])) == FRAMES
    given, enhanced = load_track(track), load_track(kept["talk.npz"])
    assert np.abs(np.asarray(given.eyes) - np.asarray(enhanced.eyes)).max() > 1e-3
    assert kept["film.mp4"].read_bytes() == (served[1] / "001" / "film.mp4").read_bytes()
    assert not page.complaints


@pytest.mark.timeout(300)
def test_cancel_and_run_again(page, served, dropped):
    page.locator("#run").click()
    page.wait_for_function("/^1 of|avatar/.test(document.querySelector('#state').innerText)", timeout=60_000)
    page.locator("#cancel:not([disabled])").click()
    wait_for(page, "cancelled", 60)
    page.locator("#run:not([disabled])").wait_for(timeout=30_000)
    left = served[1] / "002"
    assert sorted(each.name for each in left.iterdir()) == ["drivers", "preset.yaml"]


@pytest.mark.timeout(60)
def test_nothing_left_the_machine(page, served):
    own = served[0].partition("?")[0]
    assert len(page.asked) > 20
    assert [url for url in page.asked if not url.startswith((own, "data:", "blob:"))] == []
    assert not served[2].exists(), served[2].read_text()
