"""Starts: how the Gaussians of a personal avatar are placed and coloured before a fit.

A start is a module of this package with one function, `begin(given: Given) -> Start`, listed in `STARTS`. `begin` runs
one by name; the models' `create` functions take what it returns.
"""

from gagjax.avatars.personal.starts.start import STARTS, Given, Start, begin

__all__ = ["STARTS", "Given", "Start", "begin"]
