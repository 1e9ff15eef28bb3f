"""The training objective as functions for a fine-tuning loop.

Images are (B, H, W, 3), boxes x0, y0, x1, y1 as fractions of the image, points in GAGAvatar units. The coarse image is
supervised directly, although it is unbounded. The perceptual term needs a user-supplied network: a function from images
to a list of feature maps.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from bridge.gagavatar.model import Output

Features = Callable[[Float[Tensor, "B H W 3"]], Sequence[Float[Tensor, "B _c _h _w"]]]
ENLARGED = 1.1  # scale of the head box before cropping
LIFTING = 10.0
PERCEPTUAL = 0.01
LEVELS = (0.1, 0.1, 1.0, 1.0, 1.0)  # weights of the five feature levels


class Objective(NamedTuple):
    """The terms of the objective and their sum, each a scalar tensor."""

    total: Tensor
    image: Tensor
    box: Tensor
    lifting: Tensor
    perceptual: Tensor


def objective(
    output: Output,
    target: Float[Tensor, "B H W 3"],
    boxes: Float[Tensor, "B 4"],
    vertices: Float[Tensor, "B V 3"],
    features: Features | Sequence[tuple[Features, float]] | None = None,
) -> Objective:
    """The training objective: image, head box and lifting terms, and a perceptual term if a network is given.

    Args:
        output: From `GAGAvatar.forward`.
        target: The true images.
        boxes: Head boxes.
        vertices: FLAME vertices in GAGAvatar units (metres times 5).
        features: Feature maps of a perceptual network, coarse levels last, or several such networks, each with its
            weight; None or none omits the term.
    """
    crops = [crop(picture, boxes, picture.shape[1]) for picture in (output.coarse, output.fine, target)]
    image = picture_loss(output.coarse, output.fine, target)
    box = picture_loss(*crops)
    points = lifting(output.points, vertices)
    perceived = image.new_zeros(())
    for network, weight in [(features, 1.0)] if callable(features) else features or ():
        with torch.no_grad():
            truth = network(crops[2])
        found = perceptual(network(crops[0]), truth) + perceptual(network(crops[1]), truth)
        perceived = perceived + PERCEPTUAL * weight * found
    return Objective(image + box + points + perceived, image, box, points, perceived)


def picture_loss(
    coarse: Float[Tensor, "B H W 3"], fine: Float[Tensor, "B H W 3"], target: Float[Tensor, "B H W 3"]
) -> Tensor:
    """Mean of the mean absolute differences of coarse and fine image."""
    return 0.5 * (F.l1_loss(coarse, target) + F.l1_loss(fine, target))


def crop(pictures: Float[Tensor, "B H W 3"], boxes: Float[Tensor, "B 4"], size: int) -> Float[Tensor, "B size size 3"]:
    """The square around each head box, enlarged by 1.1 and kept inside the image, resized with antialiasing.

    Args:
        pictures: Square images.
        boxes: x0, y0, x1, y1 as fractions of the image.
        size: Width of the crops, in pixels.
    """
    whole = pictures.shape[1]
    crops = []
    for picture, box in zip(pictures.permute(0, 3, 1, 2), boxes.tolist(), strict=True):
        side = min(max(round(whole * ENLARGED * max(box[2] - box[0], box[3] - box[1])), 1), whole)
        x, y = (
            min(max(round(whole * (low + high) / 2 - side / 2), 0), whole - side)
            for low, high in ((box[0], box[2]), (box[1], box[3]))
        )
        part = picture[None, :, y : y + side, x : x + side]
        crops.append(F.interpolate(part, (size, size), mode="bilinear", antialias=True))
    return torch.cat(crops).permute(0, 2, 3, 1)


def lifting(points: Float[Tensor, "B M 3"], vertices: Float[Tensor, "B V 3"], chunk: int = 512) -> Tensor:
    """Ten times the mean squared distance from each vertex to the nearest lifted point.

    The nearest-neighbour search has no gradient; gradients go to the points' positions.

    Args:
        points: Lifted points, GAGAvatar units.
        vertices: FLAME vertices, GAGAvatar units.
        chunk: Vertices compared at once, to bound memory.
    """
    with torch.no_grad():
        nearest = torch.cat([torch.cdist(part, points).argmin(-1) for part in vertices.split(chunk, 1)], 1)
    found = points.gather(1, nearest[..., None].expand(-1, -1, 3))
    return LIFTING * (found - vertices).square().sum(-1).mean()


def perceptual(found: Sequence[Float[Tensor, "B _c _h _w"]], true: Sequence[Float[Tensor, "B _c _h _w"]]) -> Tensor:
    """Weighted sum over levels of the mean L1 distance between features normalised per pixel.

    Args:
        found: Feature maps of the image, up to five.
        true: Feature maps of the target.
    """
    levels = [
        weight * (F.normalize(a, dim=1) - F.normalize(b, dim=1)).abs().sum(1).mean()
        for weight, a, b in zip(LEVELS[: len(found)], found, true, strict=True)
    ]
    return torch.stack(levels).sum()
