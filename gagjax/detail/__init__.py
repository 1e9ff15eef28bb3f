"""Detail: pyramids, edges, sharpening with halo limits, small networks, eye crops."""

from gagjax.detail.edges import luma, sobel, sobel_magnitude
from gagjax.detail.frequency import FrequencyEnhancer
from gagjax.detail.pyramid import laplacian_pyramid, reconstruct

__all__ = ["FrequencyEnhancer", "laplacian_pyramid", "luma", "reconstruct", "sobel", "sobel_magnitude"]
