"""Detail: pyramids, edges, sharpening with halo limits, small networks, eye crops."""

from typing import TYPE_CHECKING

from gagjax.process import deferred

if TYPE_CHECKING:
    from gagjax.detail.edges import luma, sobel, sobel_magnitude
    from gagjax.detail.enhance import DetailEnhancer, DetailState, default_stage
    from gagjax.detail.eyes import EyeEnhancer
    from gagjax.detail.frequency import FrequencyEnhancer
    from gagjax.detail.learned import AttentionEnhancer, AttentionNetwork, EyeNetwork
    from gagjax.detail.local_laplacian import LocalLaplacian
    from gagjax.detail.pyramid import laplacian_pyramid, reconstruct
else:
    __getattr__, __dir__ = deferred.names(
        __name__,
        {
            "edges": ("luma", "sobel", "sobel_magnitude"),
            "enhance": ("DetailEnhancer", "DetailState", "default_stage"),
            "eyes": ("EyeEnhancer",),
            "frequency": ("FrequencyEnhancer",),
            "learned": ("AttentionEnhancer", "AttentionNetwork", "EyeNetwork"),
            "local_laplacian": ("LocalLaplacian",),
            "pyramid": ("laplacian_pyramid", "reconstruct"),
        },
    )

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
