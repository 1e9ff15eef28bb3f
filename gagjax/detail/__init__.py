"""Detail: pyramids, edges, sharpening with halo limits, small networks, eye crops."""

from gagjax.detail.edges import luma, sobel, sobel_magnitude
from gagjax.detail.enhance import DetailEnhancer, DetailState, default_stage
from gagjax.detail.eyes import EyeEnhancer
from gagjax.detail.frequency import FrequencyEnhancer
from gagjax.detail.local_laplacian import LocalLaplacian
from gagjax.detail.pyramid import laplacian_pyramid, reconstruct

# flax is slow to import, and only training and trained networks need it.
_LAZY = ("AttentionEnhancer", "AttentionNetwork", "EyeNetwork")
__all__ = [
    "AttentionEnhancer",
    "AttentionNetwork",
    "DetailEnhancer",
    "DetailState",
    "EyeEnhancer",
    "EyeNetwork",
    "FrequencyEnhancer",
    "LocalLaplacian",
    "default_stage",
    "laplacian_pyramid",
    "luma",
    "reconstruct",
    "sobel",
    "sobel_magnitude",
]


def __getattr__(name: str) -> object:
    if name in _LAZY:
        from gagjax.detail import learned

        return getattr(learned, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
