"""Run every benchmark and join the tables: `make bench`, or `python -m benchmarks.run_all [--only NAME]`.

Each benchmark runs in its own process and writes its own table; a failing one is reported and does not stop the rest.
The tables are then joined in benchmarks/results/summary.md.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.common import RESULTS, machine

#: In this order, with each one's extra options. Training the networks is not a measurement: it is run by hand.
BENCHMARKS: dict[str, tuple[str, ...]] = {
    "smoothing_quality": (),
    "smoothing_speed": (),
    "tuning_speed": (),
    "tuning_quality": (),
    "flame_speed": (),
    "expression_gaze": (),
    "own_jobs": (),
    "detail_quality": (),
    "detail_speed": (),
    "video_speed": (),
    "kill_loop": (),
    "rasterize_speed": (),
    "avatar_sheet": (),
    "enhancement_memory": (),
    "tracking_quality": (),
    "likeness": ("speed",),
    "tracking_speed": (),
    "fit_quality": (),
    "fit_ablation": (),
    "fit_speed": (),
    "bridge_overhead": (),
    "reenact_speed": (),
    "long_streams": (),
    "batch_scale": (),
}

#: The rows of the summary table: description, source table, start of the row, column.
HEADLINES = (
    (
        "offline smoothing, held out: error over the noisy track's",
        "smoothing_quality",
        "ours offline, held out",
        "error / raw",
    ),
    (
        "offline smoothing, held out: share of a blink kept",
        "smoothing_quality",
        "ours offline, held out",
        "kept blink depth",
    ),
    (
        "live smoothing, held out: error over the noisy track's",
        "smoothing_quality",
        "ours live, held out",
        "error / raw",
    ),
    ("live smoothing, held out: lag in frames", "smoothing_quality", "ours live, held out", "lag, frames"),
    (
        "original smoothing as one program, against its PyTorch loop",
        "smoothing_speed",
        "reference formulas",
        "compared",
    ),
    ("Kalman filter, against scipy.signal.lfilter", "smoothing_speed", "Kalman", "compared"),
    ("FLAME, 1,000 frames: times of smplx frame by frame", "flame_speed", "smplx, frame by frame", "times gagjax's"),
    ("detail, default, times as fast as the PyTorch original", "detail_speed", "detail | default", "times faster"),
    ("detail, original networks, times as fast", "detail_speed", "detail | reference", "times faster"),
    ("eyes, default, times as fast as the PyTorch original", "detail_speed", "eyes | default crops", "times faster"),
    ("`gagjax video`, 512 x 512, frames a second", "video_speed", "gagjax video, preset default", "frames/s"),
    ("rasterizer, 180,255 Gaussians, against a PyTorch compositor", "rasterize_speed", "heavy", "ratio"),
    ("torch to JAX, 64 MB", "bridge_overhead", "64 MB", "torch to JAX"),
    ("JAX to torch, 64 MB", "bridge_overhead", "64 MB", "JAX to torch"),
    (
        "personal avatar from a noisy track: held-out PSNR with the true motion, dB",
        "fit_quality",
        "full",
        "PSNR true motion dB",
    ),
    ("personal avatar: vertex error of the track lower by, %", "fit_quality", "full", "lower by %"),
    ("personal avatar at 128 pixels: seconds", "fit_quality", "full", "seconds"),
    ("tuning, 100 steps on 32 clips", "tuning_speed", "likelihood", "100 steps"),
    ("`gagjax batch`, two workers against one", "batch_scale", "local, 2 workers", "times as fast"),
    ("a million frames streamed: memory moved by, MB", "long_streams", "1,000,000 frames", "difference"),
)


def headlines() -> list[str]:
    """The summary table; figures whose benchmark has not been run are omitted."""
    rows = ["| what | figure | from |", "|---|---:|---|"]
    for what, table, row, column in HEADLINES:
        found = cell(table, row, column)
        if found is not None:
            rows.append(f"| {what} | {found} | {table} |")
    return rows


def cell(table: str, row: str, column: str) -> str | None:
    """The cell of a result's table in the first row that starts with `row`."""
    path = Path(RESULTS) / f"{table}.md"
    if not path.is_file():
        return None
    header: list[str] | None = None
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.startswith("|"):
            continue
        cells = [each.strip() for each in line.strip("|").split("|")]
        if header is None:
            header = cells
        elif line.strip("| ").startswith(row):
            return cells[header.index(column)]
    return None


def tables() -> str:
    """The tables of all available results, each below its name and command."""
    parts = []
    for path in sorted(RESULTS.glob("*.md")):
        if path.name == "summary.md":
            continue
        lines = path.read_text(encoding="utf-8").splitlines()
        # Name and command as written, then everything from the first table on; the machine is named once, at the top.
        start = next((k for k, line in enumerate(lines) if line.startswith("|")), len(lines))
        command = next((line for line in lines if line.startswith("`")), "")
        parts += [f"## {path.stem}", "", command, "", *lines[start:], ""]
    return "\n".join(parts)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=BENCHMARKS, default=list(BENCHMARKS), metavar="NAME")
    parser.add_argument("--tables", action="store_true", help="run nothing: join the tables that there are")
    options = parser.parse_args()
    chosen = [] if options.tables else options.only
    rows = ["| benchmark | minutes | ended |", "|---|---:|---|"]
    failed = []
    for name in chosen:
        print(f"\n== {name}", flush=True)
        started = time.monotonic()
        status = subprocess.run([sys.executable, "-m", f"benchmarks.{name}", *BENCHMARKS[name]]).returncode
        if status:
            failed.append(name)
        rows.append(
            f"| {name} | {(time.monotonic() - started) / 60:.1f} | {'well' if not status else f'with {status}'} |"
        )
    ran = [*rows, ""] if chosen else []
    text = [
        "# All benchmarks",
        "",
        "`python -m benchmarks.run_all`",
        "",
        machine(),
        "",
        *headlines(),
        "",
        *ran,
        tables(),
    ]
    path = Path(RESULTS) / "summary.md"
    path.write_text("\n".join(text).rstrip() + "\n", encoding="utf-8")
    print(f"\n{path}" + (f"; failed: {', '.join(failed)}" if failed else ""))
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
