"""Measures with exact definitions: `image` for frames, `motion` for tracks, `report` for a track against its truth."""

from gagjax.metrics import image, motion, report

__all__ = ["image", "motion", "report"]
