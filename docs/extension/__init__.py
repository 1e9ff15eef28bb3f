"""What builds these pages beyond Sphinx: the API's pages, files of the repository as pages, tables from data."""

from __future__ import annotations

from typing import Any

from extension import docstrings, pages, tables


def setup(app: Any) -> dict[str, Any]:
    """Called by Sphinx."""
    app.connect("builder-inited", pages.write)
    app.connect("source-read", pages.point_into_pages)
    app.connect("autodoc-process-docstring", docstrings.to_rst, priority=400)  # before napoleon, which is at 500
    app.connect("autodoc-process-signature", docstrings.plain_types)
    app.add_directive("benchmark", tables.Benchmark)
    app.add_directive("formats", tables.Formats)
    app.add_directive("gallery", tables.Gallery)
    app.add_directive("presets", tables.Presets)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
