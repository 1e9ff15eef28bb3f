"""Metrics with exact definitions: `image` for frames, `motion` for tracks, `report` for comparisons with a truth,
`quality` for what the enhancements' document names, `flow` for the motion between frames.
"""

from typing import TYPE_CHECKING

from gagjax.process import deferred

if TYPE_CHECKING:
    from gagjax.metrics import flow, image, motion, quality, report
else:
    __getattr__, __dir__ = deferred.names(__name__, dict.fromkeys(("flow", "image", "motion", "quality", "report"), ()))

__all__ = ["flow", "image", "motion", "quality", "report"]
