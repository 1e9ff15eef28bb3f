"""The neural renderer: a U-net on the rasterized features that conditions a style-based generator.

Every resize is plain bilinear without aligned corners; there are no blur kernels and no run-time gains on weights.

Every style convolution adds noise times a learned strength. The original draws new noise on each call, so two frames of
the same pose differ: visible as flicker, which no smoothing of the motion can remove. Here this is one mode of three;
the default is the noise stored in the checkpoint, the same in every frame.

Sources: Karras et al., "Analyzing and Improving the Image Quality of StyleGAN", CVPR 2020; Wang et al., "Towards
Real-World Blind Face Restoration with Generative Facial Prior" (GFPGAN), CVPR 2021.
"""

from __future__ import annotations

import itertools
import math
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from bridge.gagavatar.config import Config

Noise = Literal["fixed", "random", "zero"]
SLOPE = 0.2  # of every leaky ReLU
EPSILON = 1e-8


def resize(x: Float[Tensor, "B C H W"], factor: float) -> Float[Tensor, "B C h w"]:
    """Bilinear resize by a factor, corners not aligned."""
    return F.interpolate(x, scale_factor=factor, mode="bilinear", align_corners=False)


def activate(x: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """Leaky ReLU of slope 0.2, in place: its argument is always a new result of a convolution or a sum."""
    return F.leaky_relu(x, SLOPE, inplace=True)


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions with a resize in between, plus a 1x1 shortcut, summed without scaling."""

    def __init__(self, inputs: int, outputs: int, factor: float) -> None:
        super().__init__()
        self.factor = factor
        self.conv1 = nn.Conv2d(inputs, inputs, 3, padding=1)
        self.conv2 = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.skip = nn.Conv2d(inputs, outputs, 1, bias=False)

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B D h w"]:
        y = activate(self.conv2(resize(activate(self.conv1(x)), self.factor)))
        # A 1x1 convolution and a resize commute: the one that shrinks the map comes first.
        return y + (resize(self.skip(x), self.factor) if self.factor > 1 else self.skip(resize(x, self.factor)))


class NormaliseStyle(nn.Module):
    """Divides a style vector by its root mean square."""

    def forward(self, x: Float[Tensor, "B S"]) -> Float[Tensor, "B S"]:
        return x * torch.rsqrt(x.square().mean(1, keepdim=True) + EPSILON)


class ModulatedConv(nn.Module):
    """A convolution with input channels scaled by the style and outputs normalised to unit gain.

    Args:
        inputs: Input channels.
        outputs: Output channels.
        kernel: Kernel width.
        style: Length of the style vector.
        demodulate: Whether outputs are normalised to unit gain, then multiplied by the caller's gain.
        upsample: Whether the input is first upsampled by two.
    """

    def __init__(
        self, inputs: int, outputs: int, kernel: int, style: int, demodulate: bool = True, upsample: bool = False
    ) -> None:
        super().__init__()
        self.demodulate, self.upsample, self.padding = demodulate, upsample, kernel // 2
        self.weight = nn.Parameter(torch.randn(1, outputs, inputs, kernel, kernel) / math.sqrt(inputs * kernel**2))
        self.modulation = nn.Linear(style, inputs)
        nn.init.kaiming_normal_(self.modulation.weight, nonlinearity="linear")
        nn.init.ones_(self.modulation.bias)

    def forward(
        self,
        x: Float[Tensor, "B C H W"],
        style: Float[Tensor, "B S"],
        bias: Float[Tensor, "1 D 1 1"],
        gain: float = 1.0,
    ) -> Float[Tensor, "B D h w"]:
        """The convolution's result, times the gain if demodulated, plus the bias."""
        scales = self.modulation(style)[:, None]
        if self.demodulate:
            # The norm of each output's modulated kernel, from one pass over the unmodulated kernels.
            square = torch.linalg.vector_norm(self.weight, dim=(3, 4)).square()
            norm = (square * scales.square()).sum(-1, keepdim=True)
            scales = scales * (gain * torch.rsqrt(norm + EPSILON))
        weight = self.weight * scales[..., None, None]
        if self.upsample:
            x = resize(x, 2)
        # One group per sample: every sample has its own kernel.
        batch = len(x)
        y = F.conv2d(
            x.reshape(1, -1, *x.shape[2:]),
            weight.flatten(0, 1),
            bias.flatten().repeat(batch),
            padding=self.padding,
            groups=batch,
        )
        return y.reshape(batch, -1, *y.shape[2:])


class StyleConv(nn.Module):
    """A modulated convolution, noise, bias and activation."""

    def __init__(self, inputs: int, outputs: int, style: int, upsample: bool = False) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))  # strength of the noise
        self.bias = nn.Parameter(torch.zeros(1, outputs, 1, 1))
        self.modulated_conv = ModulatedConv(inputs, outputs, 3, style, upsample=upsample)

    def forward(
        self, x: Float[Tensor, "B C H W"], style: Float[Tensor, "B S"], noise: Float[Tensor, "b 1 h w"] | None
    ) -> Float[Tensor, "B D h w"]:
        y = self.modulated_conv(x, style, self.bias, gain=math.sqrt(2))
        if noise is not None:
            y += self.weight * noise
        return activate(y)


class ToRGB(nn.Module):
    """The upsampled image so far plus this level's contribution."""

    def __init__(self, inputs: int, style: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(1, 3, 1, 1))
        self.modulated_conv = ModulatedConv(inputs, 3, 1, style, demodulate=False)

    def forward(
        self, x: Float[Tensor, "B C H W"], style: Float[Tensor, "B S"], before: Float[Tensor, "B 3 h w"] | None = None
    ) -> Float[Tensor, "B 3 H W"]:
        picture = self.modulated_conv(x, style, self.bias)
        return picture if before is None else picture + resize(before, 2)


class ConstantInput(nn.Module):
    """The learned 4x4 map that the generator starts from."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(1, channels, 4, 4))

    def forward(self, batch: int) -> Float[Tensor, "B C 4 4"]:
        return self.weight.expand(batch, -1, -1, -1)


class NoiseBuffers(nn.Module):
    """The stored noise maps, one per style convolution."""

    def __init__(self, levels: int) -> None:
        super().__init__()
        for index in range(2 * levels + 1):
            width = 2 ** ((index + 5) // 2)
            self.register_buffer(f"noise{index}", torch.randn(1, 1, width, width))

    def maps(
        self, mode: Noise, batch: int, generator: torch.Generator | None = None
    ) -> list[Float[Tensor, "b 1 h w"] | None]:
        """One map per style convolution: stored, newly drawn, or none."""
        stored = list(self.buffers())
        if mode == "fixed":
            return [*stored]
        if mode == "zero":
            return [None] * len(stored)
        if mode == "random":
            return [
                torch.randn(batch, *s.shape[1:], generator=generator, device=s.device, dtype=s.dtype) for s in stored
            ]
        raise ValueError(f'noise is "fixed", "random" or "zero", not {mode!r}')


class StyleGenerator(nn.Module):
    """From 4x4 to the full image, every level scaled and shifted by maps from the U-net.

    Args:
        channels: Channels at widths 4, 8, 16, ...
        style: Length of the style vector.
    """

    def __init__(self, channels: tuple[int, ...], style: int) -> None:
        super().__init__()
        layers: list[nn.Module] = [NormaliseStyle()]
        for _ in range(8):
            linear = nn.Linear(style, style)
            nn.init.kaiming_normal_(linear.weight, a=SLOPE)
            nn.init.zeros_(linear.bias)
            layers += [linear, nn.LeakyReLU(SLOPE)]
        self.style_mlp = nn.Sequential(*layers)
        self.constant_input = ConstantInput(channels[0])
        self.style_conv1 = StyleConv(channels[0], channels[0], style)
        self.to_rgb1 = ToRGB(channels[0], style)
        self.style_convs = nn.ModuleList()
        self.to_rgbs = nn.ModuleList()
        for inputs, outputs in itertools.pairwise(channels):
            self.style_convs.append(StyleConv(inputs, outputs, style, upsample=True))
            self.style_convs.append(StyleConv(outputs, outputs, style))
            self.to_rgbs.append(ToRGB(outputs, style))
        self.noises = NoiseBuffers(len(channels) - 1)

    def forward(
        self,
        code: Float[Tensor, "B S"],
        scales: list[Float[Tensor, "B _c _h _w"]],
        shifts: list[Float[Tensor, "B _c _h _w"]],
        noise: Noise = "fixed",
        generator: torch.Generator | None = None,
    ) -> Float[Tensor, "B 3 H W"]:
        """The image before the final sigmoid."""
        style = self.style_mlp(code)
        maps = self.noises.maps(noise, len(code), generator)
        x = self.style_conv1(self.constant_input(len(code)), style, maps[0])
        picture = self.to_rgb1(x, style)
        for level, (scale, shift) in enumerate(zip(scales, shifts, strict=True)):
            x = self.style_convs[2 * level](x, style, maps[2 * level + 1])
            x = torch.addcmul(shift, x, scale)
            x = self.style_convs[2 * level + 1](x, style, maps[2 * level + 2])
            picture = self.to_rgbs[level](x, style, picture)
        return picture


class StyleUNet(nn.Module):
    """Rasterized features (B, C, H, W) to the image (B, 3, H, W) in (0, 1)."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        widths = config.decoder_channels  # at 4, 8, ..., size
        if 4 * 2 ** (len(widths) - 1) != config.size:
            raise ValueError(f"{len(widths)} decoder widths do not lead from 4 to {config.size} pixels")
        down, up = widths[::-1], widths[1:]
        self.conv_body_first = nn.Conv2d(config.features, down[0], 1)
        self.conv_body_down = nn.ModuleList(ResidualBlock(a, b, 0.5) for a, b in itertools.pairwise(down))
        self.final_conv = nn.Conv2d(widths[0], widths[0], 3, padding=1)
        self.conv_body_up = nn.ModuleList(ResidualBlock(a, b, 2) for a, b in itertools.pairwise(widths))
        self.toRGB = nn.ModuleList(nn.Conv2d(c, 3, 1) for c in up)  # in every checkpoint, never used
        self.final_linear = nn.Linear(16 * widths[0], config.style)
        self.stylegan_decoder = StyleGenerator(tuple(2 * c for c in widths), config.style)
        self.condition_scale = nn.ModuleList(_condition(c) for c in up)
        self.condition_shift = nn.ModuleList(_condition(c) for c in up)

    def forward(
        self, features: Float[Tensor, "B C H W"], noise: Noise = "fixed", generator: torch.Generator | None = None
    ) -> Float[Tensor, "B 3 H W"]:
        """The image.

        Args:
            features: Rasterized features, unnormalised, over black, (B, C, size, size).
            noise: "fixed" for the stored maps (reproducible, no flicker), "random" for new ones as in the original,
                "zero" for none.
            generator: Source of the random noise.
        """
        x = activate(self.conv_body_first(features))
        skips: list[Tensor] = []
        for block in self.conv_body_down:
            x = block(x)
            skips.insert(0, x)
        x = activate(self.final_conv(x))
        code = self.final_linear(x.flatten(1))
        scales, shifts = [], []
        for skip, block, scale, shift in zip(
            skips, self.conv_body_up, self.condition_scale, self.condition_shift, strict=True
        ):
            x = block(x + skip)
            scales.append(scale(x))
            shifts.append(shift(x))
        return torch.sigmoid(self.stylegan_decoder(code, scales, shifts, noise, generator))


def _condition(channels: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, channels, 3, padding=1),
        nn.LeakyReLU(SLOPE, inplace=True),
        nn.Conv2d(channels, 2 * channels, 3, padding=1),
    )
