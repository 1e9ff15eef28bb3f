"""One rasterizer call, two machines: `rasterize` on the CPU or through gsplat on CUDA, with one meaning."""

from bridge.rasterizer.call import backend_report, rasterize
from bridge.rasterizer.cpu import set_threads, threads

__all__ = ["backend_report", "rasterize", "set_threads", "threads"]
