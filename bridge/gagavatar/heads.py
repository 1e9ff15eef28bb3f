"""From features to Gaussians: one head for the vertices of the head model, two for the feature plane.

Quirks that are part of the trained network, kept as they are:

* quaternions are normalised along axis 1. In the plane heads that is the channel axis, so they are unit; in the vertex
  head it is the *vertex* axis, so each of the four components has unit norm over all vertices and the quaternions are
  tiny. They are used unchanged: covariances are computed from them without normalising (`lifting.covariances`);
* the sigmoid meant for the first three colour channels acts on the last axis. In the vertex head that is the channel
  axis; in the plane heads it is the image row, so only the three leftmost columns are squashed, in all channels.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from bridge.gagavatar.config import Config

OCTAVES = 4
ENCODING = 6 * OCTAVES + 3  # length of an encoded direction
LARGEST = 0.05  # largest scale of a Gaussian, in GAGAvatar units


class HeadOutput(NamedTuple):
    """The parameters of each Gaussian predicted by a head, except its position.

    Attributes:
        colors: Feature channels, the first three the coarse image, (B, N, C).
        opacities: (B, N, 1), in (0, 1).
        scales: Standard deviations along the Gaussian's axes, (B, N, 3), GAGAvatar units.
        quaternions: w, x, y, z as output, (B, N, 4); of unit length only in the plane heads.
        positions: Displacement along the viewing direction, (B, N, 1), in (0, 1); None in the vertex head.
    """

    colors: Float[Tensor, "B N C"]
    opacities: Float[Tensor, "B N 1"]
    scales: Float[Tensor, "B N 3"]
    quaternions: Float[Tensor, "B N 4"]
    positions: Float[Tensor, "B N 1"] | None = None


def encode_directions(directions: Float[Tensor, "B 3"]) -> Float[Tensor, "B 27"]:
    """Harmonic encoding: sines of x, y, z at frequencies 1, 2, 4, 8, the cosines in the same order, then x, y, z."""
    frequencies = 2.0 ** torch.arange(OCTAVES, dtype=directions.dtype, device=directions.device)
    angles = (directions[..., None] * frequencies).flatten(-2)
    # Cosines as shifted sines, as in the original, to match it to the last digit.
    return torch.cat([torch.sin(angles), torch.sin(angles + torch.pi / 2), directions], -1)


class VertexHead(nn.Module):
    """Gaussians at the vertices, from a learned feature per vertex and the portrait's global feature."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        width = config.plane_channels
        layers: list[nn.Module] = [nn.Linear(width + config.embed, width)]
        for _ in range(3):
            layers += [nn.ReLU(), nn.Linear(width, width)]
        self.feature_layers = nn.Sequential(*layers)

        def branch(channels: int) -> nn.Sequential:
            return nn.Sequential(
                nn.Linear(width + ENCODING, config.hidden), nn.ReLU(), nn.Linear(config.hidden, channels)
            )

        self.color_layers = branch(config.features)
        self.opacity_layers = branch(1)
        self.scale_layers = branch(3)
        self.rotation_layers = branch(4)

    def forward(self, features: Float[Tensor, "B V D"], directions: Float[Tensor, "B 3"]) -> HeadOutput:
        """Gaussians of all vertices together (their quaternions are normalised over the vertices).

        Args:
            features: Concatenated vertex and global features, (B, V, D).
            directions: The portrait camera's viewing direction, (B, 3), unit length.
        """
        x = self.feature_layers(features)
        encoded = encode_directions(directions)[:, None].expand(-1, x.shape[1], -1)
        x = torch.cat([x, encoded], -1)
        return HeadOutput(
            squash_first_three(self.color_layers(x)),
            torch.sigmoid(self.opacity_layers(x)),
            torch.sigmoid(self.scale_layers(x)) * LARGEST,
            F.normalize(self.rotation_layers(x), dim=1),
        )


class PlaneHead(nn.Module):
    """One Gaussian per point of the feature plane."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        hidden, self.features = config.hidden, config.features
        self.gaussian_conv = nn.Sequential(
            nn.Conv2d(config.plane_channels + ENCODING, hidden, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(hidden, hidden, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(hidden, hidden, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(hidden, config.features + 9, 1),
        )

    def forward(self, plane: Float[Tensor, "B D H W"], directions: Float[Tensor, "B 3"]) -> HeadOutput:
        """Gaussians of the plane's points, row by row.

        Args:
            plane: Feature plane, (B, D, H, W).
            directions: The portrait camera's viewing direction, (B, 3), unit length.
        """
        encoded = encode_directions(directions)[:, :, None, None].expand(-1, -1, *plane.shape[-2:])
        x = self.gaussian_conv(torch.cat([plane, encoded], 1))
        colors, opacities, scales, quaternions, positions = x.split((self.features, 1, 3, 4, 1), 1)
        maps = (
            squash_first_three(colors),
            torch.sigmoid(opacities),
            torch.sigmoid(scales) * LARGEST,
            F.normalize(quaternions, dim=1),
            torch.sigmoid(positions),
        )
        return HeadOutput(*(m.flatten(2).transpose(1, 2) for m in maps))


def squash_first_three(x: Float[Tensor, "... N"]) -> Float[Tensor, "... N"]:
    """A sigmoid on the first three entries of the last axis, whatever that axis is."""
    return torch.cat([torch.sigmoid(x[..., :3]), x[..., 3:]], -1)
