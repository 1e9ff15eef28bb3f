"""Errors of exchanging memory between PyTorch and JAX."""

from __future__ import annotations

import importlib.util
import sys

from gagjax.errors import GagjaxError


class BridgeError(GagjaxError, ValueError):
    """A transfer that would need a silent copy or cast, or is impossible. Says why and what to do."""


class WriteAfterHandOverError(GagjaxError, RuntimeError):
    """Memory that was handed over has been written by its producer while the other side could still read it."""


class MissingTorchError(GagjaxError, ImportError):
    """PyTorch is needed and not installed. Says for what, and how to install it.

    Args:
        what: The name that needs it.
    """

    def __init__(self, what: str) -> None:
        super().__init__(f"{what} needs PyTorch, which is not installed: pip install 'gagjax[torch]'")


def require_torch(what: str) -> None:
    """Check that PyTorch can be imported, without importing it.

    Args:
        what: The name that needs it, for the message.

    Raises:
        MissingTorchError: If it is not installed.
    """
    if sys.modules.get("torch") is None and ("torch" in sys.modules or importlib.util.find_spec("torch") is None):
        raise MissingTorchError(what)
