"""Tracking time per frame by part: landmarks, the offline fit, and a live frame; decoding excluded.

Run: `python -m benchmarks.tracking_speed`.
"""

from __future__ import annotations

import time
from fractions import Fraction
from pathlib import Path

import numpy as np

from benchmarks import tracking_truth as truth
from benchmarks.common import write_table
from gagjax import flame
from gagjax.tracking.clip import track_clip
from gagjax.tracking.faces.following import Follower
from gagjax.tracking.fit.shot import subject
from gagjax.tracking.live import LiveTracker
from gagjax.tracking.sources import Source

FRAMES = 120


def main() -> None:
    case = truth.CASES[0]
    pictures = list(truth.film(case, FRAMES))
    source = Source(Path("film.mp4"), "film", truth.SIZE, truth.SIZE, FRAMES, Fraction(25))
    head = subject(flame.builtin())
    rows = []

    def clocked(name: str, target: str, call) -> None:
        call()
        wall, processor = time.perf_counter(), time.process_time()
        call()
        wall, processor = (
            1e3 * (t - s) / FRAMES for t, s in ((time.perf_counter(), wall), (time.process_time(), processor))
        )
        rows.append([name, wall, processor, target])

    marks: list[np.ndarray] = []

    def follow() -> None:
        follower = Follower()
        marks[:] = [follower(picture).points for picture in pictures]

    clocked("landmarks", "12", follow)
    clocked("offline fit", "60", lambda: track_clip(head, np.stack(marks), np.zeros(FRAMES, bool), source))
    live = LiveTracker(head)

    def stream() -> None:
        for picture in pictures:
            live(picture)

    clocked("live: landmarks, two steps, gaze", "25", stream)
    write_table(
        "tracking_speed",
        ["part, 512 px", "ms a frame", "processor ms a frame", "target"],
        rows,
        command="python -m benchmarks.tracking_speed",
        notes=["Second call: compiled programs are there. On a busy machine the processor's time says more."],
    )


if __name__ == "__main__":
    main()
