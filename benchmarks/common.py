"""Shared by all benchmarks: median timing, machine description, and table output."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).resolve().parent / "results"


def timed(call: Callable[[], Any], repeats: int = 7, warmup: int = 1) -> float:
    """Median wall-clock seconds of a call, waiting for JAX results.

    Args:
        call: What to time.
        repeats: Number of timed calls.
        warmup: Number of untimed calls before them (compilation, caches).
    """
    import jax

    for _ in range(warmup):
        jax.block_until_ready(call())
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        jax.block_until_ready(call())
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def machine() -> str:
    """Processor, usable cores, accelerator if any, and relevant versions, on one line."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [
            line.split(":", 1)[1].strip() for line in cpuinfo.read_text().splitlines() if line.startswith("model name")
        ]
        model = names[0] if names else model
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    versions = []
    for package in ("jax", "numpy", "numba", "torch"):
        try:
            versions.append(f"{package} {importlib.metadata.version(package)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    import jax

    devices = [d.device_kind for d in jax.devices() if d.platform != "cpu"]
    accelerator = f", {devices[0]}" if devices else ""
    return f"{model}, {cores} cores{accelerator}; Python {platform.python_version()}, {', '.join(versions)}"


def write_table(
    name: str,
    header: Sequence[str],
    rows: Sequence[Sequence[Any]],
    *,
    command: str,
    notes: Sequence[str] = (),
) -> Path:
    """Print a table and write it to benchmarks/results/NAME.md, with command, machine and notes.

    Args:
        name: Name of the benchmark.
        header: Column titles.
        rows: Cells; numbers are formatted with four significant digits.
        command: The command that produces this table.
        notes: Lines below the table, such as targets and column definitions.

    Returns:
        Path of the written file.
    """

    def cell(value: Any) -> str:
        return f"{value:.4g}" if isinstance(value, float) else str(value)

    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    lines += ["| " + " | ".join(cell(value) for value in row) + " |" for row in rows]
    text = "\n".join(
        [f"# {name}", "", f"`{command}`", "", f"{machine()}", "", *lines, "", *(f"- {note}" for note in notes)]
    )
    print("\n".join([*lines, *(f"- {note}" for note in notes)]))
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.md"
    path.write_text(text.rstrip() + "\n")
    return path
