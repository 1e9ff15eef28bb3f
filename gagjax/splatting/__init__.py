"""Gaussian splatting: one call, `rasterize`, with one meaning on every backend (the CPU here, gsplat through bridge)."""

from gagjax.splatting.cpu import set_threads, threads
from gagjax.splatting.gaussians import Gaussians
from gagjax.splatting.rasterize import backend_report, rasterize

__all__ = ["Gaussians", "backend_report", "rasterize", "set_threads", "threads"]
