"""A driver whose truth is known, and a tracker that looks at it badly.

`driver` makes natural head, face and eye motion; `observe` returns what a monocular head tracker would have written
down: noise, outliers and lost frames. Both are reproducible from their seed alone.
"""

from gagjax.simulate.driving import blink_times, driver
from gagjax.simulate.tracker import TrackerNoise, observe

__all__ = ["TrackerNoise", "blink_times", "driver", "observe"]
