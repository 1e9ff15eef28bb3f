"""Latency statistics in constant memory."""

from __future__ import annotations

import numpy as np

EDGES = np.geomspace(1e-5, 100.0, 701)  # seconds; adjacent edges are 2.3 % apart


class Latency:
    """A histogram of durations."""

    def __init__(self) -> None:
        self.counts = np.zeros(len(EDGES) + 1, np.int64)
        self.longest = 0.0

    def add(self, seconds: float) -> None:
        """Add one duration."""
        self.counts[np.searchsorted(EDGES, seconds)] += 1
        self.longest = max(self.longest, seconds)

    def quantile(self, share: float) -> float:
        """The given quantile of the durations, in seconds; 0 if there are none."""
        total = self.counts.sum()
        if not total:
            return 0.0
        place = int(np.searchsorted(np.cumsum(self.counts), share * total))
        return float(min(EDGES[min(place, len(EDGES) - 1)], self.longest))

    def __str__(self) -> str:
        parts = [f"{1e3 * self.quantile(share):.2f} ms {name}" for share, name in ((0.5, "median"), (0.99, "99 %"))]
        return f"{', '.join(parts)}, {1e3 * self.longest:.2f} ms at most"
