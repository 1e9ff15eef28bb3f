"""Portrait to feature plane: four levels of transformer tokens fused from coarse to fine.

Quirks that are part of the trained network, kept as they are:

* the global feature is the final token of the top-left patch, not the class token;
* at every level the ImageNet-normalised portrait, resized with antialiasing, is concatenated before the features;
* the coarsest fusion block has no lateral input, so its first residual unit is never used.

Source: Ranftl et al., "Vision Transformers for Dense Prediction", ICCV 2021.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from bridge.gagavatar.config import Config
from bridge.gagavatar.vit import VisionTransformer

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet


class ResidualUnit(nn.Module):
    """Two 3x3 convolutions with pre-activation and an identity shortcut."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C H W"]:
        return self.conv2(F.relu(self.conv1(F.relu(x)))) + x


class Fusion(nn.Module):
    """Adds the next finer level, refines, and upsamples to the size of the level after that."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.out_conv = nn.Conv2d(channels, channels, 1)
        self.resConfUnit1 = ResidualUnit(channels)
        self.resConfUnit2 = ResidualUnit(channels)

    def forward(
        self, x: Float[Tensor, "B C H W"], side: Float[Tensor, "B C H W"] | None, size: int
    ) -> Float[Tensor, "B C size size"]:
        if side is not None:
            x = x + self.resConfUnit1(side)
        return self.out_conv(enlarge(self.resConfUnit2(x), size))


class Encoder(nn.Module):
    """Portrait (B, 3, S, S) in [0, 1] to the feature plane and the global feature."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        channels, widths = config.plane_channels, config.projects
        self.dino_model = VisionTransformer(config.patches, config.embed, config.depth, config.heads)
        self.projects = nn.ModuleList(nn.Conv2d(config.embed, width, 1) for width in widths)
        self.resize_layers = nn.ModuleList(
            [
                nn.ConvTranspose2d(widths[0], widths[0], 4, 4),
                nn.ConvTranspose2d(widths[1], widths[1], 2, 2),
                nn.Identity(),
                nn.Conv2d(widths[3], widths[3], 3, 2, 1),
            ]
        )
        self.layer_rn = nn.ModuleList(nn.Conv2d(3 + width, channels, 3, padding=1, bias=False) for width in widths)
        self.refinenet = nn.ModuleList(Fusion(channels) for _ in widths)
        self.output_conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(
        self, image: Float[Tensor, "B 3 S S"], size: int | None = None
    ) -> tuple[Float[Tensor, "B C P P"], Float[Tensor, "B D"]]:
        """Feature plane and global feature.

        Args:
            image: Portrait in [0, 1].
            size: Width to resize the plane to; None keeps its own.

        Returns:
            The plane (B, C, P, P), P = size or 8 * patches, and the token of the top-left patch (B, D).
        """
        mean, std = (torch.tensor(v, dtype=image.dtype, device=image.device)[:, None, None] for v in (MEAN, STD))
        image = (image - mean) / std
        tokens = self.dino_model(image)
        levels = []
        for level, project, resize, reduce in zip(
            tokens, self.projects, self.resize_layers, self.layer_rn, strict=True
        ):
            side = round(level.shape[1] ** 0.5)
            x = resize(project(level.transpose(1, 2).unflatten(2, (side, side))))
            small = F.interpolate(image.detach(), x.shape[-2:], mode="bilinear", antialias=True)
            levels.append(reduce(torch.cat([small, x], 1)))
        x = self.refinenet[0](levels[3], None, levels[2].shape[-1])
        x = self.refinenet[1](x, levels[2], levels[1].shape[-1])
        x = self.refinenet[2](x, levels[1], levels[0].shape[-1])
        x = self.refinenet[3](x, levels[0], 2 * levels[0].shape[-1])
        plane = self.output_conv(x)
        return plane if size is None else enlarge(plane, size), tokens[-1][:, 0]


def enlarge(x: Float[Tensor, "B C H W"], size: int) -> Float[Tensor, "B C size size"]:
    """Bilinear resize with aligned corners, as used in the fusion chain."""
    return F.interpolate(x, (size, size), mode="bilinear", align_corners=True)
