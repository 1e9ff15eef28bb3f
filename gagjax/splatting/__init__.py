"""Gaussian splatting: `rasterize`, with the same semantics on every backend (CPU here, gsplat through bridge)."""

from gagjax.splatting.cpu import set_threads, threads
from gagjax.splatting.gaussians import Gaussians
from gagjax.splatting.rasterize import backend_report, rasterize

__all__ = ["Gaussians", "backend_report", "rasterize", "set_threads", "threads"]
