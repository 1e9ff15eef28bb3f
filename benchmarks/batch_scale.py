"""`gagjax batch` over many clips: workers, engines, and kills.

    python -m benchmarks.batch_scale [--clips 500] [--quick]

The same clips with one process, two processes and Ray, and each with three kills: every file must be identical.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.common import write_table


def make(folder: Path, clips: int) -> None:
    """Write tracks of 60 to 300 frames."""
    from gagjax.io.tracks import save_track
    from gagjax.simulate import driver, observe

    rng = np.random.default_rng(0)
    long = observe(driver(2000, seed=0), seed=0)
    for i in range(clips):
        frames = int(rng.integers(60, 301))
        start = int(rng.integers(0, 2000 - frames))
        save_track(long[start : start + frames], folder / f"clip{i:04d}.npz")


def batch(source: Path, out: Path, cache: Path, *words: str, kills: int = 0) -> float:
    """Run the batch, killed `kills` times; return the total seconds of all runs."""
    command = [sys.executable, "-m", "gagjax", "batch", str(source), "-o", str(out), *words]
    environment = {**os.environ, "GAGJAX_CACHE": str(cache)}
    total = len(list(source.glob("*.npz")))
    begun = time.perf_counter()
    for number in range(kills + 1):
        process = subprocess.Popen(
            command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        if number < kills:
            while len(list(out.glob("clip*"))) < total * (number + 1) // (kills + 1) and process.poll() is None:
                time.sleep(0.01)
            assert process.poll() is None, "it ended before it was killed"
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        else:
            assert process.wait() == 0
    return time.perf_counter() - begun


def digest(out: Path) -> str:
    """Digest of all results, in name order."""
    whole = hashlib.sha256()
    for path in sorted(out.glob("clip*.npz")):
        whole.update(path.name.encode() + path.read_bytes())
    return whole.hexdigest()[:16]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=500)
    parser.add_argument("--quick", action="store_true", help="12 clips; writes no table")
    options = parser.parse_args()
    clips = 12 if options.quick else options.clips
    rows = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        (folder / "clips").mkdir()
        make(folder / "clips", clips)
        cache = folder / "cache"
        batch(folder / "clips", folder / "warm", cache)
        programs = len(list(cache.rglob("*-cache")))
        runs: list[tuple[str, tuple[str, ...], int]] = [
            ("local, 1 worker", (), 0),
            ("local, 2 workers", ("--workers", "2"), 0),
            ("local, 2 workers, killed 3 times", ("--workers", "2"), 3),
        ]
        if importlib.util.find_spec("ray"):
            runs += [
                ("Ray, 2 actors", ("--workers", "2", "--engine", "ray"), 0),
                ("Ray, 2 actors, killed 3 times", ("--workers", "2", "--engine", "ray"), 3),
            ]
        wanted, first = digest(folder / "warm"), None
        for number, (name, words, kills) in enumerate(runs):
            out = folder / f"out{number}"
            seconds = batch(folder / "clips", out, cache, *words, kills=kills)
            first = first or seconds
            same = digest(out) == wanted
            entries = [json.loads(line) for line in (out / "manifest.jsonl").read_text().splitlines()[1:]]
            done = sum(entry["status"] == "done" for entry in entries)
            rows.append(
                [name, f"{seconds:.1f}", f"{first / seconds:.2f}", str(done), "the same" if same else "DIFFERENT"]
            )
            print(*rows[-1], sep="\t", flush=True)
            assert same
    if not options.quick:
        write_table(
            "batch_scale",
            [f"{clips} clips of 60 to 300 frames", "seconds", "times as fast", "entries", "results"],
            rows,
            command=f"python -m benchmarks.batch_scale --clips {clips}",
            notes=[
                f"{programs} programs were compiled for {clips} clips of 241 lengths (`gagjax.shape_bucketing`), before these runs.",
                "Times include the start of Python, JAX and Ray, and of every run that was killed.",
            ],
        )


if __name__ == "__main__":
    main()
