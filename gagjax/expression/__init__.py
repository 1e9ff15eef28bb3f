"""Expression: neutral faces, retargeting, regions, subspaces and comparison."""

from gagjax.expression.resting import neutral
from gagjax.expression.retargeting import LiveRetargeter, Retargeter, default_stage, live_stage, soft_limit

__all__ = ["LiveRetargeter", "Retargeter", "default_stage", "live_stage", "neutral", "soft_limit"]
