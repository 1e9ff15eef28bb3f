"""Commands killed at random moments until they finish: the output must equal that of an uninterrupted run.

python -m benchmarks.kill_loop [--kills 30] [--jobs video enhance fit] [--quick]
"""

from __future__ import annotations

import argparse
import hashlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks.common import write_table


class Job(NamedTuple):
    """A command to kill.

    Attributes:
        name: For the table.
        arguments: Of `gagjax`, without the output.
        out: Name of the output.
        compared: Files of the output to compare, relative to it; empty if the output is a file.
    """

    name: str
    arguments: list[str]
    out: str
    compared: tuple[str, ...] = ()


def video_job(folder: Path, random: np.random.Generator, quick: bool) -> Job:
    """`gagjax video` on a synthetic film."""
    from gagjax.io import video

    frames = 1200 if quick else 6000
    picture = np.kron(random.integers(0, 255, (30, 40, 3)), np.ones((8, 8, 1))).astype(np.uint8)
    video.write(folder / "in.mp4", (np.roll(picture, i, 1) for i in range(frames)), 25)
    return Job(f"gagjax video, {frames:,} frames at 320x240", ["video", str(folder / "in.mp4")], "out.mp4")


def enhance_job(folder: Path, random: np.random.Generator, quick: bool) -> Job:
    """`gagjax enhance` on a long track."""
    from gagjax.io.tracks import save_track
    from gagjax.simulate import driver

    frames = 500 if quick else 5000
    save_track(driver(frames, seed=int(random.integers(100))), folder / "in.npz")
    return Job(f"gagjax enhance, {frames:,} frames", ["enhance", str(folder / "in.npz")], "out.npz")


def fit_job(folder: Path, random: np.random.Generator, quick: bool) -> Job:
    """`gagjax fit` on a rendered clip."""
    from gagjax import avatars, flame
    from gagjax.io import images
    from gagjax.io.tracks import save_track
    from gagjax.io.video import to_uint8
    from gagjax.simulate import driver, observe

    steps = 20 if quick else 300  # a checkpoint at 250
    truth = driver(4, controls=flame.CONTROLS, seed=int(random.integers(100)))
    for i, frame in enumerate(avatars.frames(avatars.builtin(0), truth, size=32)):
        images.write(folder / "clip" / "frames" / f"{i:03}.png", to_uint8(frame))
    save_track(observe(truth, seed=1), folder / "clip" / "track.npz")
    options = ["--size", "32", "--gaussians", "150", "--steps", str(steps), "--pictures", "0", "--hold-out", "0"]
    return Job(
        f"gagjax fit, {steps} steps at 32 px",
        ["fit", str(folder / "clip"), *options],
        "out",
        ("avatar.safetensors", "track.npz"),
    )


JOBS: dict[str, Callable[[Path, np.random.Generator, bool], Job]] = {
    "video": video_job,
    "enhance": enhance_job,
    "fit": fit_job,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=30, help="how many at least")
    parser.add_argument("--jobs", nargs="+", choices=[*JOBS], default=[*JOBS])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="3 kills; writes no table")
    options = parser.parse_args()
    rows = [
        measured(JOBS[job], 3 if options.quick else options.kills, options.seed, options.quick) for job in options.jobs
    ]
    if not options.quick:
        write_table(
            "kill_loop",
            ["what", "outputs made", "kills", "seconds", "undisturbed, each", "result"],
            rows,
            command=f"python -m benchmarks.kill_loop --kills {options.kills} --seed {options.seed}",
            notes=["SIGKILL at uniformly random moments of a run; after each the same command was given again."],
        )


def measured(made: Callable[[Path, np.random.Generator, bool], Job], kills: int, seed: int, quick: bool) -> list[str]:
    """One job's row."""
    random = np.random.default_rng(seed)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        job = made(folder, random, quick)
        inputs = {path.name for path in folder.iterdir()}

        def command(out: Path) -> list[str]:
            return [sys.executable, "-m", "gagjax", *job.arguments, "-o", str(out)]

        clean, out = folder / f"clean{Path(job.out).suffix}", folder / job.out
        subprocess.run(command(clean), check=True, capture_output=True)  # compiles
        removed(clean)
        begun = time.perf_counter()
        subprocess.run(command(clean), check=True, capture_output=True)
        alone = time.perf_counter() - begun
        expected = digests(clean, job)
        done, runs, begun = 0, 0, time.perf_counter()
        while done < kills:
            removed(out)
            done += disturbed(command(out), random, (0.9 if "fit" in job.name else 0.25) * alone + 3)
            runs += 1
            assert digests(out, job) == expected, f"{job.name}: another output after {done} kills"
        total = time.perf_counter() - begun
        left = {path.name for path in folder.iterdir()} - inputs - {clean.name, out.name}
        assert not left, f"{job.name}: leftovers {sorted(left)}"
    print(
        f"{job.name}: {done} kills in {runs} runs, {total:.1f} s; undisturbed {alone:.1f} s; the same bytes", flush=True
    )
    return [job.name, str(runs), str(done), f"{total:.1f}", f"{alone:.1f}", "the same bytes"]


def digests(out: Path, job: Job) -> list[str]:
    """SHA-256 of what is compared."""
    files = [out / name for name in job.compared] or [out]
    return [hashlib.sha256(file.read_bytes()).hexdigest() for file in files]


def removed(out: Path) -> None:
    """Delete an output, file or folder."""
    if out.is_dir():
        shutil.rmtree(out)
    else:
        out.unlink(missing_ok=True)


def disturbed(command: list[str], random: np.random.Generator, longest: float) -> int:
    """Run a command to completion, killing it at random moments; return the number of kills."""
    kills = 0
    while True:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            # Occasionally before the work starts, or after it ends.
            status = process.wait(random.uniform(0.5, longest))
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
            kills += 1
            longest *= 1.05  # a command that cannot resume must end at last
            continue
        # If the kill came after the rename, the next run reports that the output exists.
        assert status in (0, 2), status
        return kills


if __name__ == "__main__":
    main()
