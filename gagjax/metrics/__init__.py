"""Metrics with exact definitions: `image` for frames, `motion` for tracks, `report` for comparisons with a truth."""

from gagjax.metrics import image, motion, report

__all__ = ["image", "motion", "report"]
