"""The image encoder's backbone: a DINOv2 vision transformer, ViT-B/14 at the default sizes.

The position embedding matches the single image size used, so it is never interpolated. The class token takes part in
attention and is dropped at the end: GAGAvatar's "global" feature is the top-left patch (see `dpt`).

Source: Oquab et al., "DINOv2: Learning Robust Visual Features without Supervision", 2023.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

PATCH = 14
READ = 4  # number of last blocks whose outputs are used
EPSILON = 1e-6  # of every LayerNorm


class Attention(nn.Module):
    """Multi-head self-attention with one joint projection for queries, keys and values."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Float[Tensor, "B N D"]) -> Float[Tensor, "B N D"]:
        queries, keys, values = self.qkv(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(queries, keys, values)
        return self.proj(mixed.transpose(1, 2).flatten(2))


class Mlp(nn.Module):
    """Two linear layers with an exact GELU between them."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, hidden)
        self.fc2 = nn.Linear(hidden, width)

    def forward(self, x: Float[Tensor, "B N D"]) -> Float[Tensor, "B N D"]:
        return self.fc2(F.gelu(self.fc1(x)))


class LayerScale(nn.Module):
    """A learned gain per channel."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(width))

    def forward(self, x: Float[Tensor, "B N D"]) -> Float[Tensor, "B N D"]:
        return x * self.gamma


class Block(nn.Module):
    """Attention, then the MLP; each pre-normalised, scaled, and added to the residual stream."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=EPSILON)
        self.attn = Attention(width, heads)
        self.ls1 = LayerScale(width)
        self.norm2 = nn.LayerNorm(width, eps=EPSILON)
        self.mlp = Mlp(width, 4 * width)
        self.ls2 = LayerScale(width)

    def forward(self, x: Float[Tensor, "B N D"]) -> Float[Tensor, "B N D"]:
        x = x + self.ls1(self.attn(self.norm1(x)))
        return x + self.ls2(self.mlp(self.norm2(x)))


class PatchEmbedding(nn.Module):
    """One token per patch of 14x14 pixels, row by row."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, width, PATCH, PATCH)

    def forward(self, image: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B N D"]:
        return self.proj(image).flatten(2).transpose(1, 2)


class VisionTransformer(nn.Module):
    """The backbone.

    Args:
        patches: Patches along one side of the (square) image.
        width: Token width.
        depth: Number of blocks, at least four.
        heads: Attention heads.
    """

    def __init__(self, patches: int, width: int, depth: int, heads: int) -> None:
        super().__init__()
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.pos_embed = nn.Parameter(0.02 * torch.randn(1, patches * patches + 1, width))
        self.mask_token = nn.Parameter(torch.zeros(1, width))  # in every checkpoint, never used here
        self.patch_embed = PatchEmbedding(width)
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(depth))
        self.norm = nn.LayerNorm(width, eps=EPSILON)

    def forward(self, image: Float[Tensor, "B 3 H W"]) -> list[Float[Tensor, "B N D"]]:
        """Patch tokens after each of the last four blocks, all through the final norm, class token dropped.

        Args:
            image: ImageNet-normalised image, (B, 3, 14 * patches, 14 * patches).
        """
        tokens = self.patch_embed(image)
        x = torch.cat([self.cls_token.expand(len(tokens), -1, -1), tokens], 1) + self.pos_embed
        levels = []
        for index, block in enumerate(self.blocks):
            x = block(x)
            if index >= len(self.blocks) - READ:
                levels.append(self.norm(x)[:, 1:])
        return levels
