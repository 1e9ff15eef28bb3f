"""Tuning time: 100 optimisation steps on 16 clips x 200 frames x 110 channels, compile time excluded.

Run: python -m benchmarks.tuning_speed [--quick]
"""

from __future__ import annotations

import sys
import time

import numpy as np

from benchmarks.common import write_table
from gagjax import tuning
from gagjax.filters import ConstantVelocity
from gagjax.tuning import losses


def main() -> None:
    quick = "--quick" in sys.argv
    clips, frames, channels, steps = (4, 100, 20, 20) if quick else (16, 200, 110, 100)
    rng = np.random.default_rng(0)
    truth = np.cumsum(0.05 * rng.normal(size=(clips, frames, channels)), axis=1).astype(np.float32)
    seen = truth + 0.1 * rng.normal(size=truth.shape).astype(np.float32)
    batch = tuning.batch(list(seen), list(truth))
    start = ConstantVelocity(np.full(channels, 0.1, np.float32), np.full(channels, 1.0, np.float32), dt=1 / 25)
    rows = []
    for name, loss in {"likelihood": losses.likelihood, "error to truth (smoothed)": losses.truth()}.items():
        times = []
        for count in (20, 20 + steps):  # the difference excludes compilation, which both runs include
            begin = time.perf_counter()
            tuning.fit(start, batch, loss, only=["process_noise", "measurement_noise"], steps=count, patience=10**6)
            times.append(time.perf_counter() - begin)
        rows.append([name, f"{times[1] - times[0]:.2f} s", f"{times[0]:.2f} s"])
    write_table(
        "tuning_speed",
        ["loss", f"{steps} steps", "compilation and first 20 steps"],
        rows,
        command="python -m benchmarks.tuning_speed",
        notes=[f"{clips} clips x {frames} frames x {channels} channels, two noises per channel. Target: under 20 s."],
    )


if __name__ == "__main__":
    main()
