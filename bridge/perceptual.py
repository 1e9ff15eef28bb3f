"""LPIPS: perceptual distance of two images by network features. Weights are supplied by the user; none are shipped.

Source: Zhang et al., "The Unreasonable Effectiveness of Deep Features as a Perceptual Metric", CVPR 2018, section 3:
features of five layers, normalised over channels, squared differences weighted by channel, averaged over the image and
summed over layers. AlexNet is the network for which the authors report the metric.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import cast

import torch
from jaxtyping import Array, Float, Shaped
from torch import Tensor, nn
from torch.nn import functional

from bridge.autodiff import torch_function
from bridge.gagavatar import checkpoint
from gagjax.errors import InputError
from gagjax.metrics.image import comparable

# Mean and standard deviation of ImageNet's colours, for values in [-1, 1].
SHIFT, SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)
#: Input and output channels, kernel, stride and padding of AlexNet's convolutions, their keys in the files of
#: torchvision (`features.N`) and of the lpips package (`net.sliceM.N`), and whether pooling precedes them.
LAYERS = (
    (3, 64, 11, 4, 2, 0, 1, False),
    (64, 192, 5, 1, 2, 3, 2, True),
    (192, 384, 3, 1, 1, 6, 3, True),
    (384, 256, 3, 1, 1, 8, 4, False),
    (256, 256, 3, 1, 1, 10, 5, False),
)
LEAST = 31  # pixels: smaller images vanish in the strides
FIX = "Pass the state dict of lpips.LPIPS(net='alex'), or two files: torchvision's AlexNet and the alex.pth of the lpips package"


class Lpips(nn.Module):
    """The metric with its weights; see `load`."""

    def __init__(self) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList(
            nn.Conv2d(inward, outward, kernel, stride, padding)
            for inward, outward, kernel, stride, padding, *_ in LAYERS
        )
        self.weights = nn.ParameterList(nn.Parameter(torch.zeros(outward)) for _, outward, *_ in LAYERS)
        self.shift: Tensor
        self.scale: Tensor
        self.register_buffer("shift", torch.tensor(SHIFT).view(3, 1, 1))
        self.register_buffer("scale", torch.tensor(SCALE).view(3, 1, 1))
        self.requires_grad_(False).eval()

    @classmethod
    def load(cls, *files: str | Path) -> Lpips:
        """The metric with weights from files.

        Args:
            files: One file with all weights, or one for AlexNet and one for the channel weights; plain state dicts.
                No code in them is executed.

        Raises:
            InputError: If a weight is missing, has another shape, or a file is not a state dict.
        """
        if not files:
            raise InputError("names no file", field="LPIPS", fix=FIX)
        found: dict[str, Tensor] = {}
        for file in files:
            found |= checkpoint.read(file, ask=FIX)
        metric = cls()
        for number, (*_, place, part, _pool) in enumerate(LAYERS):
            convolution = cast(nn.Conv2d, metric.convolutions[number])
            assert convolution.bias is not None
            names = (f"net.slice{part}.{place}", f"features.{place}")
            _fill(convolution.weight, found, [f"{name}.weight" for name in names], files)
            _fill(convolution.bias, found, [f"{name}.bias" for name in names], files)
            names = (f"lin{number}.model.1.weight", f"lins.{number}.model.1.weight")
            _fill(metric.weights[number], found, names, files)
        if any((weight < 0).any() for weight in metric.weights):
            raise InputError("is negative somewhere, which the metric's weights never are", file=files[-1], field="lin")
        return metric

    def forward(self, frames: Float[Tensor, "T H W 3"], truth: Float[Tensor, "T H W 3"]) -> Float[Tensor, "T"]:
        """The distance of each pair of frames, with values in [0, 1]."""
        mine, theirs = self._features(frames), self._features(truth)
        total = torch.zeros(len(frames), dtype=frames.dtype, device=frames.device)
        for weight, one, other in zip(self.weights, mine, theirs, strict=True):
            total = total + ((one - other) ** 2 * weight.view(-1, 1, 1)).sum(1).mean((1, 2))
        return total

    def _features(self, frames: Tensor) -> list[Tensor]:
        x = (frames.permute(0, 3, 1, 2) * 2 - 1 - self.shift) / self.scale
        found = []
        for convolution, (*_, pooled) in zip(self.convolutions, LAYERS, strict=True):
            x = functional.relu(convolution(functional.max_pool2d(x, 3, 2) if pooled else x))
            found.append(x / (torch.sqrt((x**2).sum(1, keepdim=True) + 1e-20) + 1e-10))
        return found


def lpips(metric: Lpips, frames: Shaped[Array, "T H W 3"], truth: Shaped[Array, "T H W 3"]) -> Float[Array, "T"]:
    """LPIPS of JAX arrays through the bridge; works under `jit` and `grad`.

    Args:
        metric: From `Lpips.load`.
        frames: (T, H, W, 3) in [0, 1], or uint8.
        truth: The same shape and type.

    Returns:
        (T,): 0 for equal images, about 0.5 for unrelated ones.

    Raises:
        InputError: If shapes or dtypes differ, or the images are smaller than the network's strides allow.
    """
    if frames.shape != truth.shape or frames.ndim != 4 or frames.shape[-1] != 3:
        raise InputError(f"has shape {tuple(frames.shape)}, truth {tuple(truth.shape)}", field="frames")
    if min(frames.shape[1:3]) < LEAST:
        raise InputError(f"is smaller than {LEAST} pixels", field="frames", fix="Compare larger pictures")
    x, y = comparable(frames, truth)
    return torch_function(metric)(x, y)


def _fill(parameter: Tensor, found: Mapping[str, Tensor], names: Sequence[str], files: Sequence[str | Path]) -> None:
    value = next((found[name] for name in names if name in found), None)
    if value is None:
        raise InputError("is missing", file=files[0], field=names[0], fix=FIX)
    if value.numel() != parameter.numel() or not torch.isfinite(value).all():
        raise InputError(
            f"has shape {tuple(value.shape)}, expected {tuple(parameter.shape)} of finite numbers",
            file=files[0],
            field=names[0],
            fix=FIX,
        )
    parameter.data.copy_(value.reshape(parameter.shape))
