"""Memory over long streams: it must not grow with stream length.

    python -m benchmarks.long_streams [--quick]

A million frames of a track through the live stack in chunks; lines through `gagjax live`; a video through
`gagjax video`, with the slope of its memory over time.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import psutil

from benchmarks.common import write_table

MEGABYTE = 1 << 20


class Watch:
    """Samples the resident memory of a process until it ends."""

    def __init__(self, process: psutil.Process, every: float = 0.1) -> None:
        self.samples: list[tuple[float, float]] = []
        self._process, self._every = process, every
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self.samples.append((time.perf_counter(), self._process.memory_info().rss / MEGABYTE))
            except psutil.Error:
                return
            self._stop.wait(self._every)

    def end(self, warm: float) -> tuple[float, float, float]:
        """Minimum and maximum after the warm-up fraction of the time, MB, and the slope in MB per second."""
        self._stop.set()
        self._thread.join()
        late = np.array(self.samples[int(len(self.samples) * warm) :])
        slope = np.polyfit(late[:, 0] - late[0, 0], late[:, 1], 1)[0] if len(late) > 2 else float("nan")
        return late[:, 1].min(), late[:, 1].max(), float(slope)


def track_stream(frames: int) -> list[str]:
    """Run frames in chunks of 1000 through the live stack, in this process."""
    import jax

    from gagjax.filters import chain, stream
    from gagjax.simulate import driver, observe
    from gagjax.stack import Stack

    chunk = 1000
    track = observe(driver(chunk, seed=0), seed=0)
    stages = [s for s in (Stack.live().temporal, Stack.live().expression, Stack.live().gaze) if s is not None]
    filters = chain(*(s.for_track(track) if hasattr(s, "for_track") else s for s in stages))
    channels, valid = jax.tree.map(np.asarray, track.channels), np.asarray(track.valid)
    for _ in stream(filters, [(channels, valid)] * 3):
        pass  # compile
    watch = Watch(psutil.Process())
    begun = time.perf_counter()
    total = 0.0
    for ys, _ in stream(filters, ((channels, valid) for _ in range(frames // chunk))):
        total += float(ys.jaw[-1, 0])
    seconds = time.perf_counter() - begun
    low, high, _ = watch.end(0.1)
    assert np.isfinite(total)
    return [
        f"{frames:,} frames of a track, filters.stream",
        f"{frames / seconds:,.0f}",
        f"{low:.0f}",
        f"{high:.0f}",
        f"{high - low:.1f}",
    ]


def live_lines(frames: int) -> list[str]:
    """Run lines through `gagjax live`."""
    import jax

    from gagjax.io.formats import json_lines
    from gagjax.simulate import driver

    track = driver(500, seed=0)
    texts = []
    for i in range(500):
        frame = jax.tree.map(lambda x, i=i: np.asarray(x)[i], track.channels)
        texts.append(json_lines.dump(frame, json_lines.Line(frame, None, {}), valid=True).encode())
    process = subprocess.Popen(
        [sys.executable, "-m", "gagjax", "live", "-"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdin is not None and process.stdout is not None
    process.stdin.write(texts[0])
    process.stdin.flush()
    process.stdout.readline()
    reader = threading.Thread(target=lambda: sum(1 for _ in process.stdout))  # type: ignore[union-attr]
    reader.start()
    watch = Watch(psutil.Process(process.pid))
    begun = time.perf_counter()
    for i in range(frames):
        process.stdin.write(texts[i % 500])
    process.stdin.close()
    reader.join()
    seconds = time.perf_counter() - begun
    low, high, slope = watch.end(0.3)
    said = process.stderr.read().decode().splitlines()[-1] if process.stderr else ""
    process.wait()
    row = [
        f"{frames:,} lines, gagjax live",
        f"{frames / seconds:,.0f}",
        f"{low:.0f}",
        f"{high:.0f}",
        f"{high - low:.1f}",
    ]
    print(json.dumps(said))
    return [*row, f"{said.partition('answer: ')[2]}; slope {1000 * slope:+.1f} kB a second of work"]


def many_clips(count: int) -> list[str]:
    """Enhance clips of different lengths one after the other in this process, as a batch worker does."""
    from gagjax.simulate import driver, observe
    from gagjax.stack import Stack, enhance_track

    stack = Stack.default()
    track = observe(driver(130, seed=0), seed=0)
    lengths = [20 + 7 * i % 110 for i in range(count)]
    for frames in sorted(set(lengths)):
        enhance_track(stack, track[:frames])  # compile
    watch = Watch(psutil.Process())
    begun = time.perf_counter()
    for frames in lengths:
        assert np.isfinite(np.asarray(enhance_track(stack, track[:frames]).jaw)).all()
    seconds = time.perf_counter() - begun
    low, high, slope = watch.end(0.3)
    return [
        f"{count:,} clips of 20 to 129 frames, enhance_track",
        f"{sum(lengths) / seconds:,.0f}",
        f"{low:.0f}",
        f"{high:.0f}",
        f"{high - low:.1f}",
        f"slope {1000 * slope * seconds / count:+.1f} kB a clip",
    ]


def long_video(seconds: int) -> list[str]:
    """Run a synthetic video through `gagjax video`."""
    from gagjax.io import video

    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "in.mp4"
        rng = np.random.default_rng(0)
        picture = np.kron(rng.integers(0, 255, (32, 32, 3)), np.ones((8, 8, 1))).astype(np.uint8)
        video.write(source, (np.roll(picture, i, 1) for i in range(25 * seconds)), 25)
        process = subprocess.Popen(
            [sys.executable, "-m", "gagjax", "video", str(source), "-o", str(Path(folder) / "out.mp4")],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        watch = Watch(psutil.Process(process.pid))
        begun = time.perf_counter()
        assert process.wait() == 0
        taken = time.perf_counter() - begun
        low, high, slope = watch.end(0.3)
    growth = slope * taken / seconds * 1800
    return [
        f"{seconds} s of video at 256x256, gagjax video",
        f"{25 * seconds / taken:,.0f}",
        f"{low:.0f}",
        f"{high:.0f}",
        f"{high - low:.1f}",
        f"slope {1000 * slope:.1f} kB a second of work: {growth:+.0f} MB over 30 minutes of video",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a hundredth of everything; writes no table")
    parser.add_argument("--lines", type=int, default=720_000, help="of `gagjax live`: 8 hours at 25 frames/s")
    options = parser.parse_args()
    quick = options.quick
    rows = [
        track_stream(20_000 if quick else 1_000_000),
        live_lines(1_000 if quick else options.lines),
        many_clips(20 if quick else 1_000),
        long_video(8 if quick else 240),
    ]
    rows = [[*row, ""][:6] for row in rows]
    if quick:
        print(*rows, sep="\n")
        return
    write_table(
        "long_streams",
        ["what", "frames/s", "least MB", "most MB", "difference", ""],
        rows,
        command="python -m benchmarks.long_streams",
        notes=["Resident memory after warm-up: a tenth of the run; three tenths for lines and video."],
    )


if __name__ == "__main__":
    main()
