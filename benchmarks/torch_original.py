"""The original's image stages in PyTorch, written from the published formulas with the same weights, as timing peer."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.functional import conv2d, interpolate

from gagjax.detail.networks import Network, reference_weights


def _module(network: Network) -> nn.Sequential:
    parts: list[nn.Module] = []
    for index, layer in enumerate(network):
        size, _, inputs, outputs = layer.kernel.shape
        convolution = nn.Conv2d(inputs, outputs, size, padding=size // 2)
        convolution.weight.data = torch.from_numpy(np.ascontiguousarray(np.transpose(layer.kernel, (3, 2, 0, 1))))
        convolution.bias.data = torch.from_numpy(np.array(layer.bias))  # type: ignore[union-attr]
        parts.append(convolution)
        if index + 1 < len(network):
            parts.append(nn.ReLU())
    return nn.Sequential(*parts)


class Original(nn.Module):
    """Detail and eye stages on NCHW images."""

    def __init__(self, seed: int = 1) -> None:
        super().__init__()
        weights = reference_weights(seed)
        self.attention = nn.ModuleList(_module(network) for network in weights.attention)
        self.eye = _module(weights.eyes)
        kernel = torch.tensor([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]])
        self.register_buffer("sobel", torch.stack([kernel, kernel.T])[:, None])

    def detail(self, image: torch.Tensor, strength: float = 1.0) -> torch.Tensor:
        bands, level = [], image
        for _ in self.attention:
            smaller = interpolate(level, scale_factor=0.5, mode="bilinear", antialias=True, align_corners=False)
            bands.append(level - interpolate(smaller, size=level.shape[2:], mode="bilinear", align_corners=False))
            level = smaller
        for band, network in zip(bands[::-1], list(self.attention)[::-1], strict=True):
            grey = 0.299 * band[:, :1] + 0.587 * band[:, 1:2] + 0.114 * band[:, 2:]
            gradient = conv2d(grey, self.sobel, padding=1)  # type: ignore[arg-type]
            edge = torch.sqrt((gradient**2).sum(1, keepdim=True) + 1e-6)
            edge = (edge - edge.min()) / (edge.max() - edge.min() + 1e-6)
            gain = 1 + 0.3 * strength * torch.sigmoid(network(band)) * (1 + edge)
            level = interpolate(level, size=band.shape[2:], mode="bilinear", align_corners=False)
            level = level + torch.clamp(band * gain, -1, 1)
        return torch.clamp(level, 0, 1)

    def eyes(self, image: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return image * (1 - mask) + torch.clamp(image + self.eye(image), 0, 1) * mask


def mask(height: int, width: int, centres: Any, sigma: float = 0.08) -> torch.Tensor:
    y, x = torch.meshgrid(torch.linspace(0, 1, height), torch.linspace(0, 1, width), indexing="ij")
    bumps = [torch.exp(-((x - cx) ** 2 + (y - cy) ** 2) / (2 * sigma**2)) for cx, cy in centres]
    return torch.stack(bumps).amax(0)[None, None]
