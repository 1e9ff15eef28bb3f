"""MediaPipe's face networks in JAX: read once from TFLite, run as jitted functions of batches of pictures."""

from __future__ import annotations

from gagjax.tracking.networks.graph import Graph, Operation
from gagjax.tracking.networks.operators import function

__all__ = ["Graph", "Operation", "function"]
