"""Every benchmark in turn, and their tables in one file: `make bench`, or `python -m benchmarks.run_all [--only NAME]`.

Each benchmark runs in a process of its own and writes its own table; a failing one is reported and does not stop the
rest. The tables are then joined in benchmarks/results/summary.md.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.common import RESULTS, machine

#: In this order, with the extra options of each. Training the networks is no measurement: it is run by hand.
BENCHMARKS: dict[str, tuple[str, ...]] = {
    "smoothing_quality": (),
    "smoothing_speed": (),
    "tuning_speed": (),
    "tuning_quality": (),
    "flame_speed": (),
    "expression_gaze": (),
    "detail_quality": (),
    "detail_speed": (),
    "video_speed": (),
    "rasterize_speed": (),
    "avatar_sheet": (),
    "bridge_overhead": (),
    "reenact_speed": (),
    "long_streams": (),
    "batch_scale": (),
}


def tables() -> str:
    """The tables of all results there are, each under its name and command."""
    parts = []
    for path in sorted(RESULTS.glob("*.md")):
        if path.name == "summary.md":
            continue
        lines = path.read_text(encoding="utf-8").splitlines()
        # Name and command as written, then everything from the first table on; the machine stands once, at the top.
        start = next((k for k, line in enumerate(lines) if line.startswith("|")), len(lines))
        command = next((line for line in lines if line.startswith("`")), "")
        parts += [f"## {path.stem}", "", command, "", *lines[start:], ""]
    return "\n".join(parts)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=BENCHMARKS, default=list(BENCHMARKS), metavar="NAME")
    chosen = parser.parse_args().only
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
    text = ["# All benchmarks", "", "`python -m benchmarks.run_all`", "", machine(), "", *rows, "", tables()]
    path = Path(RESULTS) / "summary.md"
    path.write_text("\n".join(text).rstrip() + "\n", encoding="utf-8")
    print(f"\n{path}" + (f"; failed: {', '.join(failed)}" if failed else ""))
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
