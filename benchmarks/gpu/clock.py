"""Timing on a device that works asynchronously: first call apart, warm-up, medians, both frameworks waited for."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax

WARM_UP = 3
LEAST = 0.01  # seconds of one sample: shorter calls are repeated inside it, as the host runs ahead of the device


class Timing(NamedTuple):
    """Seconds of a call.

    Attributes:
        first: Of the very first call: compilation, allocation, tuning.
        median: Median sample, per call.
        low: Fastest sample.
        high: Slowest sample.
    """

    first: float
    median: float
    low: float
    high: float

    @property
    def milliseconds(self) -> float:
        """The median, ms."""
        return 1e3 * self.median


def wait(result: Any = None) -> None:
    """Until everything that was queued is done: JAX's results, and torch's device."""
    jax.block_until_ready(result)
    import torch

    if torch.cuda.is_available() and torch.cuda.is_initialized():
        torch.cuda.synchronize()


def timed(call: Callable[[], Any], *, repeats: int = 7, least: float = LEAST, most: float = 20.0) -> Timing:
    """Time a call.

    Args:
        call: What to time; its result (JAX arrays, tensors, any pytree) is waited for.
        repeats: Samples.
        least: Seconds that a sample takes at least, by calling several times.
        most: Seconds for all samples together; long calls get fewer, one at least.
    """
    wait()
    first = _seconds(call, 1)
    if first < most / 4:
        for _ in range(WARM_UP):
            _seconds(call, 1)
    once = _seconds(call, 1)
    inner = max(1, round(least / max(once, 1e-7)))
    samples = max(1, min(repeats, int(most / max(once * inner, 1e-7))))
    times = [_seconds(call, inner) / inner for _ in range(samples)]
    return Timing(first, statistics.median(times), min(times), max(times))


def _seconds(call: Callable[[], Any], count: int) -> float:
    start = time.perf_counter()
    result = None
    for _ in range(count):
        result = call()
    wait(result)
    return time.perf_counter() - start


def copy_bandwidth(cuda: bool, size: int) -> float:
    """Bytes per second of a plain copy on the device, read and written bytes counted: the bound of streaming code.

    Args:
        cuda: On the card, or on the host.
        size: Bytes of the array.
    """
    import torch

    source = torch.ones(size // 4, device="cuda" if cuda else "cpu")
    target = torch.empty_like(source)
    return 2 * size / timed(lambda: target.copy_(source), repeats=9).median
