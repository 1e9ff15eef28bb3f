"""Errors of the hand-over between PyTorch and JAX."""

from __future__ import annotations

from gagjax.errors import GagjaxError


class BridgeError(GagjaxError, ValueError):
    """A hand-over that would need a silent copy or cast, or that cannot be made at all. Says why and what to do."""


class WriteAfterHandOverError(GagjaxError, RuntimeError):
    """Memory that was handed over has been written by its producer while the other side could still read it."""
