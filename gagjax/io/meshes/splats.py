"""Gaussians as PLY files in the layout of 3D Gaussian splatting, which splat viewers open."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jaxtyping import Float

from gagjax.avatars import ply
from gagjax.avatars.files import splats
from gagjax.camera import UNITS_PER_METRE
from gagjax.errors import InputError
from gagjax.splatting.gaussians import Gaussians
from gagjax.typing import AnyArray


def write_splats(
    path: Path,
    gaussians: Gaussians,
    placement: Float[AnyArray, "3 3"] | None = None,
    position: Float[AnyArray, "3"] | None = None,
) -> None:
    """Write Gaussians in metres, with one colour each.

    Args:
        path: The file to write.
        gaussians: In GAGAvatar's units, three features: colours in [0, 1].
        placement: Rotation from the head's axes to those of the file; None keeps them.
        position: Where the head's origin goes, metres; None is the origin.

    Raises:
        InputError: If the features are no colours.

    Source: Kerbl et al., 3D Gaussian Splatting, ACM TOG 42(4), 2023 (the layout of its `point_cloud.ply`).
    """
    if gaussians.features.shape[-1] != 3:
        raise InputError(
            f"has {gaussians.features.shape[-1]} features a Gaussian that a network turns into a picture, no colours",
            field="avatar",
            fix="Export an avatar of `gagjax avatar`, GaussianAvatars or the built-in one",
        )
    if placement is not None:
        turn = np.asarray(placement, np.float64)
        shift = np.zeros(3) if position is None else np.asarray(position, np.float64)
        means = np.asarray(gaussians.means, np.float64) @ turn.T + shift * UNITS_PER_METRE
        covariances = turn @ np.asarray(gaussians.covariances, np.float64) @ turn.T
        gaussians = Gaussians(means, covariances, gaussians.opacities, gaussians.features)
    ply.write(path, splats(gaussians))
