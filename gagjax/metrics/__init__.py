"""Metrics with exact definitions: `image` for frames, `motion` for tracks, `report` for comparisons with a truth,
`quality` for what the enhancements' document names, `flow` for the motion between frames.
"""

from gagjax.metrics import flow, image, motion, quality, report

__all__ = ["flow", "image", "motion", "quality", "report"]
