"""The original enhancements, formula for formula, for the `reference` preset; not recommended for use.

Each module holds one enhancement in two variants: `document` follows the published formulas, `code` those of the
original program. They allow old results to be reproduced and improvements measured; `FAULTS` lists the known faults.
"""

from __future__ import annotations

from typing import Literal

__all__ = ["FAULTS", "Variant", "check_variant"]

Variant = Literal["document", "code"]

FAULTS = (
    "an average and a Kalman filter in series lag twice",
    "FLAME expression columns are global modes, so index ranges are no facial regions, and the code variant mutes the "
    "expression",
    "the gaze correction turns the right eye the wrong way, looks down for up, and is added, so it overshoots",
    "the attention and eye networks are untrained, so the eyes get noise",
    "in the code variant the edge scaling couples the frames of a batch and flickers",
)


def check_variant(variant: str) -> None:
    """Raise ValueError unless `variant` is one of the two."""
    if variant not in ("document", "code"):
        raise ValueError(f"variant must be 'document' or 'code', got {variant!r}")
