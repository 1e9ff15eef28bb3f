"""The original enhancements, formula for formula, for the `reference` preset; not recommended for use.

Each module holds one enhancement in two variants: `document` follows the published formulas, `code` those of the
original program. They allow old results to be reproduced and improvements measured; `FAULTS` lists the known faults.
The classes are the original's calls, for loops that were written around them.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from gagjax.reference.calls import (
        DetailEnhancer,
        ExpressionOptimizer,
        EyeEnhancer,
        GazeCorrector,
        TemporalSmoother,
    )

__all__ = [
    "FAULTS",
    "DetailEnhancer",
    "ExpressionOptimizer",
    "EyeEnhancer",
    "GazeCorrector",
    "TemporalSmoother",
    "Variant",
    "check_variant",
]

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


def __getattr__(name: str) -> Any:
    # The calls import the stages, which import this package for its variants.
    if name in __all__:
        return getattr(importlib.import_module("gagjax.reference.calls"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
