"""Memory of each enhancement: XLA's allocation for the compiled program, therefore identical on every run.

`python -m benchmarks.enhancement_memory`
"""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from benchmarks.common import write_table
from gagjax.stack import Stack, _run_frames, init_frames, run_stages, track_stages
from gagjax.track import Track

FRAMES, SIZE = 250, 512


def megabytes(program: Any, *inputs: Any) -> tuple[float, float, float]:
    """Input, output and temporary memory of a jitted function, MB."""
    sizes = program.lower(*inputs).compile().memory_analysis()
    return sizes.argument_size_in_bytes / 1e6, sizes.output_size_in_bytes / 1e6, sizes.temp_size_in_bytes / 1e6


def of_track(stack: Stack, track: Track) -> tuple[float, float, float]:
    """Memory of the track stages, MB."""
    stages = track_stages(stack, track)
    whole = np.ones(len(track), bool)
    program = jax.jit(lambda channels, valid: run_stages(stages, channels, valid, whole, np.float32(0.04)))
    return megabytes(program, jax.tree.map(np.asarray, track.channels), whole)


def of_frames(stack: Stack, frames: np.ndarray, centres: np.ndarray) -> tuple[float, float, float]:
    """Memory of the frame stages, MB."""
    return megabytes(_run_frames, stack, frames, centres, init_frames(stack, frames))


def main() -> None:
    """Measure and write the table."""
    rng = np.random.default_rng(0)
    camera = np.tile(np.eye(3, 4, dtype=np.float32), (FRAMES, 1, 1))
    track = Track(*(rng.normal(size=(FRAMES, n)).astype(np.float32) * 0.1 for n in (100, 3, 6)), camera)
    frames = np.zeros((1, SIZE, SIZE, 3), np.float32)
    centres = np.tile(np.float32([[0.4, 0.5], [0.6, 0.5]]), (1, 1, 1))
    whole, picture = f"{FRAMES} frames of a track", f"a frame of {SIZE} x {SIZE}"
    rows = []
    for name in ("temporal", "expression", "gaze"):
        rows.append((name, whole, *of_track(Stack.default(enable=(name,)), track)))
    rows.append(("temporal, live", whole, *of_track(Stack.live(enable=("temporal",)), track)))
    for name in ("detail", "eyes"):
        rows.append((name, picture, *of_frames(Stack.default(enable=(name,)), frames, centres)))
    write_table(
        "enhancement_memory",
        ["enhancement", "on", "input MB", "output MB", "working MB"],
        [[name, on, *(f"{value:.1f}" for value in values)] for name, on, *values in rows],
        command="python -m benchmarks.enhancement_memory",
        notes=[
            "Sizes that XLA reports for the compiled program on a CPU; long_streams.md has the memory of whole processes."
        ],
    )


if __name__ == "__main__":
    main()
