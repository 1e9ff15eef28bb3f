"""Network sizes. The defaults are GAGAvatar's; smaller ones give the same architecture for fast tests."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class Config:
    """Widths and sizes of every part.

    Args:
        patches: Patches along one side of the portrait; the portrait is `14 * patches` pixels wide.
        embed: Width of the vision transformer.
        depth: Its number of blocks; outputs of the last four are used.
        heads: Its number of attention heads.
        projects: Channels of the four feature levels, finest first.
        plane_channels: Channels of the feature plane, which is `8 * patches` wide.
        hidden: Hidden channels of the Gaussian heads.
        features: Feature channels of one Gaussian (the first three are the coarse image).
        vertices: Number of vertices of the head model.
        size: Width and height of the output image, a power of two.
        style: Length of the style vector.
        decoder_channels: Channels of the decoder's U-net at widths 4, 8, ... `size`; the generator has
            twice as many.
    """

    patches: int = 37
    embed: int = 768
    depth: int = 12
    heads: int = 12
    projects: tuple[int, int, int, int] = (256, 512, 1024, 1024)
    plane_channels: int = 256
    hidden: int = 128
    features: int = 32
    vertices: int = 5023
    size: int = 512
    style: int = 512
    decoder_channels: tuple[int, ...] = (256, 256, 256, 256, 128, 64, 32, 16)

    @property
    def image(self) -> int:
        """Width and height to which the portrait is resized, in pixels."""
        return 14 * self.patches

    @property
    def plane(self) -> int:
        """Width and height of the feature plane: one Gaussian in front of and one behind each of its points."""
        return 8 * self.patches
