"""The site builds without a warning, covers every public name, and its pages load nothing from elsewhere."""

from __future__ import annotations

import ast
import importlib
import re
import shutil
import subprocess
import sys
import types
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from tests.docs.pages import ROOT, blocks, written

sphinx = pytest.importorskip("sphinx", reason="needs the extra docs: pip install 'gagjax[docs]'")

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome") or shutil.which("chromium-browser")
ARTEFACTS = ROOT / "tests" / "artefacts"
#: Pages whose pictures are kept, to be looked at.
SHOWN = {
    "docs-index": "index.html",
    "docs-files": "guide/files.html",
    "docs-conventions": "guide/conventions.html",
    "docs-temporal": "guide/enhancements/temporal.html",
    "docs-api": "generated/api/gagjax.filters.html",
    "docs-notebook": "generated/repository/notebooks/1_tour.html",
}
#: Attributes that make a browser load something by itself.
LOADS = {
    "script": "src",
    "link": "href",
    "img": "src",
    "iframe": "src",
    "source": "src",
    "video": "src",
    "audio": "src",
}


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """The built pages, as `make docs` makes them."""
    out = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "-b", "html", "-W", "--keep-going", "-q", "-d", str(out / "doctrees")]
    done = subprocess.run(
        [*command, str(ROOT / "docs"), str(out / "html")], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return out / "html"


def names_module() -> types.ModuleType:
    """docs/extension/public_names.py, which is no part of an installed package."""
    sys.path.insert(0, str(ROOT / "docs"))
    try:
        return importlib.import_module("extension.public_names")
    finally:
        sys.path.remove(str(ROOT / "docs"))


def test_pages_import_only_what_is_documented():
    documented = set(names_module().modules())
    for page in written():
        for block in blocks(page):
            if block.language != "python":
                continue
            for name in imports(block.text):
                parent = name.rpartition(".")[0]
                assert name in documented or parent in documented, f"{page}: {name}"


def imports(text: str) -> set[str]:
    """The dotted names of gagjax and bridge that a block imports."""
    found = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {name for name in found if name.split(".")[0] in ("gagjax", "bridge")}


class Page(HTMLParser):
    """What a page loads, links to and is linked by."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.links: list[str] = []
        self.anchors: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if values.get("id"):
            self.anchors.add(str(values["id"]))
        if tag == "a" and values.get("href"):
            self.links.append(str(values["href"]))
        if tag in LOADS and values.get(LOADS[tag]):
            self.loads.append(str(values[LOADS[tag]]))


def is_outside(target: str) -> bool:
    return target.startswith("//") or urlsplit(target).scheme in ("http", "https")


def outside(text: str) -> list[str]:
    """What a page would load from elsewhere."""
    styles = re.findall(r"(?:url\(|@import\s+)[\"']?((?:https?:)?//[^\"')\s]+)", text)
    return [target for target in Page(text).loads if is_outside(target)] + styles


@pytest.mark.slow
def test_nothing_is_loaded_from_elsewhere(site):
    found = {}
    for path in [*site.rglob("*.html"), *site.rglob("*.css")]:
        text = path.read_text(encoding="utf-8")
        if each := outside(text if path.suffix == ".html" else f"<style>{text}</style>"):
            found[str(path.relative_to(site))] = each
    assert not found


def test_a_font_from_elsewhere_is_found():
    assert outside('<link rel="stylesheet" href="https://fonts.example/css">')
    assert outside("<style>@font-face { src: url('//fonts.example/a.woff') }</style>")
    assert outside('<script src="https://cdn.example/a.js"></script>')
    assert not outside('<a href="https://example.org">a link is no load</a>')


@pytest.mark.slow
def test_every_public_name_is_covered(site):
    from sphinx.util.inventory import InventoryFile

    public_names = names_module()
    with (site / "objects.inv").open("rb") as file:
        inventory = InventoryFile.load(file, "", lambda base, name: name)
    covered = {name for kind, entries in inventory.items() if kind.startswith("py:") for name in entries}
    wanted = set()
    for name, module in public_names.modules().items():
        wanted.add(name)
        wanted |= {each.path for each in public_names.names_of(module) if not isinstance(each.value, types.ModuleType)}
    assert len(wanted) > 200
    assert not wanted - covered


@pytest.mark.slow
def test_links_between_pages(site):
    pages = {path: Page(path.read_text(encoding="utf-8")) for path in site.rglob("*.html")}
    broken = []
    for path, page in pages.items():
        for target in page.links:
            parts = urlsplit(target)
            if parts.scheme or parts.netloc:
                continue
            file = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if not file.exists() or (
                parts.fragment and file in pages and unquote(parts.fragment) not in pages[file].anchors
            ):
                broken.append(f"{path.relative_to(site)}: {target}")
    assert not broken, "\n".join(broken[:40])


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
def test_pages_in_a_browser(site):
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    ARTEFACTS.mkdir(exist_ok=True)
    with playwright.sync_playwright() as started:
        chromium = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        page = chromium.new_page(viewport={"width": 1200, "height": 900})
        asked: list[str] = []
        wrong: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.on("pageerror", lambda error: wrong.append(str(error)))
        for name, where in SHOWN.items():
            page.goto((site / where).as_uri())
            page.wait_for_load_state("networkidle")
            assert page.locator("h1").first.is_visible()
            missing = page.evaluate("[...document.images].filter(i => !i.complete || !i.naturalWidth).map(i => i.src)")
            assert not missing
            page.screenshot(path=ARTEFACTS / f"{name}.png")
        chromium.close()
    assert not wrong
    assert {urlsplit(url).scheme for url in asked} <= {"file", "data"}
