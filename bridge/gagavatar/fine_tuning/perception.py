"""The perceptual networks of the published objective, from the checkpoint that they were trained with.

The official file holds them beside the avatar network, under `percep_loss`: the five convolutions of AlexNet and the
thirteen of VGG-Face. Each gives the features after the first rectifier of its five stages. A file without them (one that
was written for inference) leaves the perceptual term out.

Source: the training configuration published with Chu & Harada, "Generalizable and Animatable Gaussian Head Avatar",
NeurIPS 2024.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import NamedTuple

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from bridge.gagavatar.dpt import MEAN, STD
from gagjax.errors import InputError

PREFIX = "percep_loss."
#: Key, input and output channels, kernel, stride, padding, and whether pooling precedes the convolution.
ALEXNET = (
    ("slice1.0", 3, 64, 11, 4, 2, False),
    ("slice2.3", 64, 192, 5, 1, 2, True),
    ("slice3.6", 192, 384, 3, 1, 1, True),
    ("slice4.8", 384, 256, 3, 1, 1, False),
    ("slice5.10", 256, 256, 3, 1, 1, False),
)
#: Key, output channels, and whether pooling precedes the convolution and the stage's features follow it.
VGG = (
    (0, 64, True),
    (2, 64, False),
    (5, 128, True),
    (7, 128, False),
    (10, 256, True),
    (12, 256, False),
    (14, 256, False),
    (17, 512, True),
    (19, 512, False),
    (21, 512, False),
    (24, 512, True),
    (26, 512, False),
    (28, 512, False),
)
FACES = (129.186, 104.762, 93.594)  # mean colour that VGG-Face subtracts, of 255
FACE_WEIGHT = 0.5


class Perception(NamedTuple):
    """A network of the perceptual term.

    Attributes:
        network: From pictures (B, H, W, 3) in [0, 1] to five feature maps.
        weight: Its weight beside the others.
    """

    network: nn.Module
    weight: float


class _Alex(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Conv2d(a, b, k, s, p) for _, a, b, k, s, p, _ in ALEXNET)

    def forward(self, pictures: Float[Tensor, "B H W 3"]) -> list[Tensor]:
        mean, std = (pictures.new_tensor(v) for v in (MEAN, STD))
        x, found = ((pictures - mean) / std).permute(0, 3, 1, 2), []
        for layer, (*_, pooled) in zip(self.layers, ALEXNET, strict=True):
            x = F.relu(layer(F.max_pool2d(x, 3, 2) if pooled else x))
            found.append(x)
        return found


class _Faces(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        widths = [3, *(width for _, width, _ in VGG)]
        self.layers = nn.ModuleList(nn.Conv2d(a, b, 3, padding=1) for a, b in itertools.pairwise(widths))

    def forward(self, pictures: Float[Tensor, "B H W 3"]) -> list[Tensor]:
        x, found = (255 * pictures - pictures.new_tensor(FACES)).permute(0, 3, 1, 2), []
        for number, (layer, (_, _, first)) in enumerate(zip(self.layers, VGG, strict=True)):
            x = F.relu(layer(F.max_pool2d(x, 2) if first and number else x))
            if first:
                found.append(x)
        return found


def perception_of(state: Mapping[str, Tensor], file: str | None = None) -> list[Perception]:
    """The perceptual networks in a checkpoint's state dict.

    Args:
        state: The state dict with all keys, as in the file.
        file: The file, for messages.

    Returns:
        AlexNet with weight 1 and VGG-Face with weight 0.5; none if the file has no key of them.

    Raises:
        InputError: If only a part of them is there, or a shape differs.
    """
    if not any(key.startswith(PREFIX) for key in state):
        return []
    parts: tuple[tuple[nn.Module, list[str], float], ...] = (
        (_Alex(), [f"net.{key}" for key, *_ in ALEXNET], 1.0),
        (_Faces(), [f"vggface.network.{key}" for key, *_ in VGG], FACE_WEIGHT),
    )
    found = []
    for network, keys, weight in parts:
        for number, key in enumerate(keys):
            for kind in ("weight", "bias"):
                name = f"{PREFIX}{key}.{kind}"
                target = network.get_parameter(f"layers.{number}.{kind}")
                if name not in state or state[name].shape != target.shape:
                    raise InputError("is missing or has another shape", file=file, field=name, fix="Use the whole file")
                target.data = state[name].detach().float().clone()
        found.append(Perception(network.requires_grad_(False).eval(), weight))
    return found
