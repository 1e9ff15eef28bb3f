"""MediaPipe's face networks in JAX: converted once from TFLite, run as jitted functions on batches of images."""

from __future__ import annotations

from gagjax.tracking.networks.graph import Graph, Operation
from gagjax.tracking.networks.operators import function

__all__ = ["Graph", "Operation", "function"]
