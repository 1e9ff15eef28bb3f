"""Errors of exchanging memory between PyTorch and JAX."""

from __future__ import annotations

from gagjax.errors import GagjaxError


class BridgeError(GagjaxError, ValueError):
    """A transfer that would need a silent copy or cast, or is impossible. Says why and what to do."""


class WriteAfterHandOverError(GagjaxError, RuntimeError):
    """Shared memory was written by its producer while the consumer could still read it."""
