"""Clips too long for memory, in parts: `walk` says how, `stages` runs a stack's track stages so."""

from gagjax.long_clips.walk import PART, Walk

__all__ = ["PART", "Walk"]
