"""Throughput of `gagjax video` from file to file, frames per second, decoding and encoding included.

python -m benchmarks.video_speed [--quick] [--size 512]
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks.common import write_table

COMMAND = "python -m benchmarks.video_speed"


def pan(count: int, size: int) -> Iterator[np.ndarray]:
    """A real image seen by a slowly panning camera, with slight noise."""
    from benchmarks.pictures import real

    picture = next(iter(real(size + 64).values()))
    rng = np.random.default_rng(0)
    for k in range(count):
        x, y = (round(32 + 31 * f(2 * np.pi * k / 100)) for f in (np.sin, np.cos))
        frame = picture[y : y + size, x : x + size] + rng.normal(0, 1 / 255, (size, size, 3))
        yield np.round(np.clip(frame, 0, 1) * 255).astype(np.uint8)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--size", type=int, default=512)
    arguments = parser.parse_args()
    count = 48 if arguments.quick else 200

    from gagjax.app.commands.video import Video
    from gagjax.io import video

    rows = []
    with tempfile.TemporaryDirectory() as folder:
        source, out = Path(folder) / "in.mp4", Path(folder) / "out.mp4"
        video.write(source, pan(count, arguments.size), 25, crf=18.0)

        def run(preset: str) -> float:
            start = time.perf_counter()
            assert Video(source, out, preset=preset, force=True).run() == 0
            return time.perf_counter() - start

        start = time.perf_counter()
        frames, _ = video.read(source)
        with frames:
            plain = video.write(out, frames, 25, force=True)
        rows.append(["decode and encode alone", plain / (time.perf_counter() - start), float("nan")])
        for preset in ("default", "reference"):
            first = run(preset)
            rows.append([f"gagjax video, preset {preset}", count / min(run(preset) for _ in range(2)), first])
    write_table(
        "video_speed",
        ["what", "frames/s", "first run s"],
        rows,
        command=COMMAND,
        notes=[
            f"{count} frames of {arguments.size} x {arguments.size} pixels, H.264 in and out, the better of two runs; the",
            "first run compiles. Asked for: at least 12 frames/s for the default preset on 2 cores.",
        ],
    )


if __name__ == "__main__":
    main()
