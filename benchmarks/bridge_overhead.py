"""Cost of a hand-over by size, torch to JAX and back, and of a torch function called from JAX.

Run: python -m benchmarks.bridge_overhead [--quick]
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
import torch

import bridge
from benchmarks.common import write_table


def microseconds(call: Callable[[], object], repeats: int) -> float:
    """Median time of a call in microseconds, each call timed separately, after a warm-up."""
    for _ in range(20):
        call()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return statistics.median(times) * 1e6


def main() -> None:
    quick = "--quick" in sys.argv
    repeats = 200 if quick else 2000
    rows = []
    for megabytes in (0.001, 1, 64) if quick else (0.001, 1, 64, 1024):
        tensor = torch.zeros(int(megabytes * (1 << 18)))
        array = jnp.zeros(tensor.numel()).block_until_ready()
        there = microseconds(lambda t=tensor: bridge.to_jax(t), repeats)
        back = microseconds(lambda a=array: bridge.to_torch(a), repeats)
        rows.append([f"{megabytes:g} MB", f"{there:.1f} µs", f"{back:.1f} µs"])
        del tensor, array
    x = jnp.zeros(1024)
    inside = jax.jit(bridge.torch_function(torch.sin))
    plain = jax.jit(jnp.sin)
    call = microseconds(lambda: inside(x).block_until_ready(), repeats)
    base = microseconds(lambda: plain(x).block_until_ready(), repeats)
    write_table(
        "bridge_overhead",
        ["memory", "torch to JAX", "JAX to torch"],
        rows,
        command="python -m benchmarks.bridge_overhead",
        notes=[
            "Targets: at most 50 µs torch to JAX, 15 µs back, no growth with size.",
            f"A jitted call of a torch function on 1,024 numbers takes {call:.0f} µs; the same in JAX alone {base:.0f} µs.",
        ],
    )


if __name__ == "__main__":
    main()
