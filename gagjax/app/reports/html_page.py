"""A report as one self-contained HTML file, with images, video and style embedded."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from gagjax.metrics.report import Measure, best_of, shown
from gagjax.text.printable import escaped

_STYLE = """
:root { color-scheme: light dark; --paper: #fbfbfd; --ink: #1f2430; --soft: #626a7a; --line: #dfe3ea; --best: #e4f2e7; }
@media (prefers-color-scheme: dark) {
  :root { --paper: #14161a; --ink: #e9ebf0; --soft: #9aa3b4; --line: #2c313a; --best: #1e3a28; }
  img.plot { filter: invert(0.92) hue-rotate(180deg); } }
body { background: var(--paper); color: var(--ink); font: 16px/1.55 system-ui, sans-serif; max-width: 1400px;
  margin: 2.5rem auto; padding: 0 1.2rem; }
h1 { font-size: 1.7rem; margin-bottom: .2rem; } h2 { font-size: 1.15rem; margin-top: 2.4rem; }
p, li { max-width: 46rem; } .soft { color: var(--soft); } figure { margin: 1rem 0; }
figcaption { color: var(--soft); font-size: .88rem; margin-top: .3rem; }
img, video { max-width: 100%; border-radius: 6px; display: block; }
.scroll { overflow-x: auto; } table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .32rem .8rem; border-bottom: 1px solid var(--line); text-align: right; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; } td.best { background: var(--best); font-weight: 600; }
td.text { white-space: normal; text-align: left; color: var(--soft); font-size: .86rem; min-width: 16rem; }
code { font-size: .92em; background: var(--line); padding: .1em .35em; border-radius: 4px; }
"""


def page(title: str, parts: Sequence[str]) -> str:
    """The complete HTML document.

    Args:
        title: Heading and document title.
        parts: HTML fragments, in order.
    """
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><title>{_text(title)}</title>'
        f"<style>{_STYLE}</style></head><body><h1>{_text(title)}</h1>{''.join(parts)}</body></html>\n"
    )


def heading(text: str) -> str:
    """A section heading."""
    return f"<h2>{_text(text)}</h2>"


def paragraph(text: str, soft: bool = False) -> str:
    """A paragraph of plain text."""
    return f"<p{' class=soft' if soft else ''}>{_text(text)}</p>"


def bullets(items: Sequence[str]) -> str:
    """A bulleted list of plain text."""
    return "<ul>" + "".join(f"<li>{_text(item)}</li>" for item in items) + "</ul>"


def table(measures: Mapping[str, Measure], columns: Mapping[str, Mapping[str, float]]) -> str:
    """A row per measure with its definition, a column per name, the best values marked."""
    head = "".join(f"<th>{_text(name)}</th>" for name in columns)
    rows = []
    for key, each in measures.items():
        values = {name: column.get(key) for name, column in columns.items()}
        if all(value is None for value in values.values()):
            continue
        best = best_of(each, values)
        cells = "".join(
            f"<td{' class=best' if name in best else ''}>{'' if value is None else shown(value, each)}</td>"
            for name, value in values.items()
        )
        unit = f" <span class=soft>{_text(each.unit)}</span>" if each.unit else ""
        rows.append(f"<tr><td>{_text(each.label)}{unit}</td>{cells}<td class=text>{_text(each.text)}</td></tr>")
    return f"<div class=scroll><table><tr><th></th>{head}<th></th></tr>{''.join(rows)}</table></div>"


def picture(image: np.ndarray | bytes, caption: str, *, plot: bool = False) -> str:
    """An embedded image: the bytes of a PNG or JPEG file, or an array, which is stored as JPEG."""
    if isinstance(image, np.ndarray):
        from PIL import Image

        buffer = io.BytesIO()
        Image.fromarray(image).save(buffer, "JPEG", quality=90, subsampling=0)
        image = buffer.getvalue()
    kind = "png" if image.startswith(b"\x89PNG") else "jpeg"
    name = " class=plot" if plot else ""
    return (
        f'<figure><img{name} alt="{_text(caption)}" src="data:image/{kind};base64,{_coded(image)}">'
        f"<figcaption>{_text(caption)}</figcaption></figure>"
    )


def video(path: Path, caption: str) -> str:
    """An embedded video."""
    return (
        f'<figure><video controls loop muted playsinline src="data:video/mp4;base64,{_coded(path.read_bytes())}"></video>'
        f"<figcaption>{_text(caption)}</figcaption></figure>"
    )


def _text(text: object) -> str:
    """Escape text for HTML."""
    return html.escape(escaped(text, keep="\n"), quote=True)


def _coded(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
