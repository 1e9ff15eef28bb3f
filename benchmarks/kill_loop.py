"""`gagjax video` killed at random moments until it finishes: the file must equal that of an uninterrupted run.

python -m benchmarks.kill_loop [--kills 30] [--quick]
"""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.common import write_table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=30, help="how many at least")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="3 kills; writes no table")
    options = parser.parse_args()
    kills = 3 if options.quick else options.kills
    random = np.random.default_rng(options.seed)
    with tempfile.TemporaryDirectory() as temporary:
        from gagjax.io import video

        folder = Path(temporary)
        source = folder / "in.mp4"
        picture = np.kron(random.integers(0, 255, (30, 40, 3)), np.ones((8, 8, 1))).astype(np.uint8)
        video.write(source, (np.roll(picture, i, 1) for i in range(1200 if options.quick else 6000)), 25)

        def command(out: str) -> list[str]:
            return [sys.executable, "-m", "gagjax", "video", str(source), "-o", str(folder / out)]

        begun = time.perf_counter()
        subprocess.run(command("clean.mp4"), check=True, capture_output=True)
        clean = time.perf_counter() - begun
        done, runs, same, begun = 0, 0, True, time.perf_counter()
        while done < kills:
            (folder / "out.mp4").unlink(missing_ok=True)
            done += disturbed(command("out.mp4"), random, 0.25 * clean + 3)
            runs += 1
            same &= (folder / "out.mp4").read_bytes() == (folder / "clean.mp4").read_bytes()
        total = time.perf_counter() - begun
        left = sorted(path.name for path in folder.iterdir())
    print(
        f"{done} kills, {total:.1f} s instead of {clean:.1f} s; {'the same file' if same else 'ANOTHER FILE'}; left: {left}"
    )
    assert same and left == ["clean.mp4", "in.mp4", "out.mp4"]
    if not options.quick:
        write_table(
            "kill_loop",
            ["what", "files made", "kills", "seconds", "undisturbed, each", "result"],
            [
                [
                    "gagjax video, 6,000 frames at 320x240",
                    str(runs),
                    str(done),
                    f"{total:.1f}",
                    f"{clean:.1f}",
                    "the same bytes",
                ]
            ],
            command=f"python -m benchmarks.kill_loop --kills {kills} --seed {options.seed}",
            notes=["SIGKILL at uniformly random moments of a run; after each the same command was given again."],
        )


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
            continue
        # If the kill came after the rename, the next run reports that the output exists.
        assert status in (0, 2), status
        return kills


if __name__ == "__main__":
    main()
