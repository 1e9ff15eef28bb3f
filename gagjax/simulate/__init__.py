"""A simulated performance with known ground truth, and a simulated tracker that observes it with errors.

`driver` generates natural head, face and eye motion; `observe` returns it as a monocular head tracker would: with
noise, outliers and lost frames. Both are determined by their seed.
"""

from gagjax.simulate.driving import blink_times, driver
from gagjax.simulate.tracker import TrackerNoise, observe

__all__ = ["TrackerNoise", "blink_times", "driver", "observe"]
