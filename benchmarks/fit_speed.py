"""Start of `gagjax fit` and of a first picture: programs compiled and loaded, and seconds, with a cold and a warm cache.

    python -m benchmarks.fit_speed [--quick]

Each row is a new process on a clip of 16 frames. "Callbacks" draws through callbacks of Python, which JAX never keeps in
its cache; "by name" is what ships.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

HEADER = ("job", "drawing", "cache", "programs", "compiled", "loaded", "CPU seconds", "seconds")


def child(job: str, drawing: str, folder: Path) -> None:
    """Run one job and print what it took as JSON."""
    start = time.perf_counter()
    from gagjax.app.cli import main
    from gagjax.app.compilation_cache import keep_compiled

    keep_compiled()
    import jax

    from gagjax.splatting import host_calls

    events: list[str] = []
    jax.monitoring.register_event_listener(lambda name, **_: events.append(name))
    spans: list[str] = []
    jax.monitoring.register_event_duration_secs_listener(lambda name, *_, **__: spans.append(name))
    if drawing == "callbacks":
        host_calls.register = lambda *_: False
    if job == "fit --steps 1":
        out = folder / "avatar"
        code = main(["fit", str(folder / "clip"), "-o", str(out), "--steps", "1", "--force"])
        assert code == 0
    else:
        from gagjax import avatars
        from gagjax.simulate import driver

        next(iter(avatars.frames(avatars.builtin(0), driver(1))))
    seconds = time.perf_counter() - start
    used = resource.getrusage(resource.RUSAGE_SELF)
    programs = spans.count("/jax/core/compile/backend_compile_duration")
    loaded = events.count("/jax/compilation_cache/cache_hits")
    row = [programs, programs - loaded, loaded, used.ru_utime + used.ru_stime, seconds]
    print("RESULT " + json.dumps(row))


def clip(folder: Path, frames: int, size: int) -> None:
    """Write a clip of the built-in avatar."""
    from gagjax import avatars, flame
    from gagjax.io import images
    from gagjax.io.tracks import save_track
    from gagjax.io.video import to_uint8
    from gagjax.simulate import driver, observe

    truth = driver(frames, controls=flame.CONTROLS, seed=2)
    for i, frame in enumerate(avatars.frames(avatars.builtin(0), truth, size=size)):
        images.write(folder / "frames" / f"{i:03}.png", to_uint8(frame))
    save_track(observe(truth, seed=1, outliers=0, dropped=0.2), folder / "track.npz")


def run(job: str, drawing: str, folder: Path, cache: Path) -> list[Any]:
    """One job in a new process."""
    variables = {key: value for key, value in os.environ.items() if not key.startswith(("JAX_COMP", "JAX_PERS"))}
    command = [sys.executable, "-m", "benchmarks.fit_speed", "--child", job, drawing, str(folder)]
    done = subprocess.run(command, env={**variables, "GAGJAX_CACHE": str(cache)}, capture_output=True, text=True)
    for line in done.stdout.splitlines():
        if line.startswith("RESULT "):
            return list(json.loads(line.removeprefix("RESULT ")))
    raise RuntimeError(done.stdout + done.stderr)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="only what ships, only the first picture")
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        job, drawing, folder = options.child
        child(job, drawing, Path(folder))
        return
    from benchmarks.common import write_table

    jobs = ["first picture"] if options.quick else ["first picture", "fit --steps 1"]
    drawings = ["by name"] if options.quick else ["callbacks", "by name"]
    rows = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        if not options.quick:
            clip(folder / "clip", 16, 128)
        for job in jobs:
            caches = {drawing: folder / f"{job}-{drawing}" for drawing in drawings}
            for state in ("cold", "warm"):
                for drawing in drawings:
                    rows.append([job, drawing, state, *run(job, drawing, folder, caches[drawing])])
                    print(rows[-1], flush=True)
    write_table(
        "fit_speed",
        HEADER,
        rows,
        command="python -m benchmarks.fit_speed",
        notes=["Targets, warm: fit --steps 1 in 12 s (47 before), a first picture in 0.7 s after the import of JAX."],
    )


if __name__ == "__main__":
    main()
