"""`python -m benchmarks.gpu`: the parts one after the other, each in a process of its own, and the table."""

from __future__ import annotations

import argparse
import importlib.metadata
import platform
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.common import RESULTS
from benchmarks.gpu import parts, table
from benchmarks.gpu.parts import BUDGET, PARTS
from benchmarks.gpu.record import Record, Row
from benchmarks.gpu.settings import Settings, card, find_shared

OUT = RESULTS / "gpu.md"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the suite.

    Returns:
        0 where every check that ran held, else 1.
    """
    options = _options(arguments)
    if options.child:
        settings = Settings(options.device, options.tiny, options.shared)
        parts.run_here(options.child, settings, Record(options.child, options.seconds, options.rows))
        return 0
    found_card = None if options.device == "cpu" else card()
    if options.device == "cuda" and found_card is None:
        print("no CUDA device is visible to both torch and JAX", file=sys.stderr)
        return 2
    device = "cuda" if found_card else "cpu"
    settings = Settings(device, options.tiny or found_card is None, find_shared(options.shared))
    print(f"card: {found_card.name if found_card else 'none; CPU twins at toy sizes'}", flush=True)
    seconds = options.seconds if settings.cuda else 4 * BUDGET  # a busy two-core machine may take its time
    found = run(settings, options.part, seconds, found_card.capability if found_card else None)
    page = (
        table.measured(found, _machine(found_card.text))
        if found_card and not settings.tiny
        else table.twins(found, _machine(platform.machine()))
    )
    whole = set(options.part) == set(PARTS)
    out = options.out or (OUT if whole and (options.device == "auto" or found_card) else None)
    print("\n" + page)
    if out is not None:
        print(out if table.write(out, page) else f"{out} holds figures of a card and was left as it is")
    return 1 if any(row.verdict == "fails" for rows in found.values() for row in rows) else 0


def run(settings: Settings, names: Sequence[str], seconds: float, capability: str | None) -> dict[str, list[Row]]:
    """The parts in order; rows by part.

    Args:
        settings: Of the suite.
        names: Which parts.
        seconds: For all of them together.
        capability: Of the card, or None where there is none.
    """
    end = time.monotonic() + seconds
    found: dict[str, list[Row]] = {}
    with tempfile.TemporaryDirectory(prefix="gagjax-gpu-") as folder:
        build = None
        if capability and any(PARTS[name].gsplat for name in names):
            build = parts.Build(capability, Path(folder) / "build.log")
        for name in (each for each in PARTS if each in names):
            first: list[Row] = []
            if PARTS[name].gsplat and build is not None:
                print("waiting for gsplat's extension", flush=True)
                first, build = [build.wait(min(240.0, end - time.monotonic() - 60))], None
            left = end - time.monotonic()
            budget = min(PARTS[name].seconds, left) if settings.cuda else left
            print(f"\n== {PARTS[name].title} ({budget:.0f} s)", flush=True)
            if left < 10:
                found[name] = [*first, Row("the part as a whole", "", "no time was left", "not run")]
                continue
            found[name] = first + parts.run_apart(name, settings, budget, Path(folder) / f"{name}.jsonl")
    return found


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__)
    parser.add_argument(
        "--device", choices=("auto", "cuda", "cpu"), default="auto", help="auto: a card where there is one"
    )
    parser.add_argument("--tiny", action="store_true", help="toy sizes; always so on a CPU")
    parser.add_argument(
        "--part", nargs="+", choices=tuple(PARTS), default=list(PARTS), metavar="PART", help=", ".join(PARTS)
    )
    parser.add_argument("--shared", type=Path, help="folder with upstream/golden_v1.npz")
    parser.add_argument("--seconds", type=float, default=BUDGET, help="for the whole command on a card")
    parser.add_argument("--out", type=Path, help=f"where the table goes; {OUT.name} where all parts have run")
    parser.add_argument("--child", choices=tuple(PARTS), help=argparse.SUPPRESS)
    parser.add_argument("--rows", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


def _machine(device: str) -> str:
    versions = []
    for package in ("jax", "torch", "gsplat", "numba", "numpy"):
        try:
            versions.append(f"{package} {importlib.metadata.version(package)}")
        except importlib.metadata.PackageNotFoundError:
            versions.append(f"no {package}")
    return f"{device}; Python {platform.python_version()}, {', '.join(versions)}"


if __name__ == "__main__":
    raise SystemExit(main())
