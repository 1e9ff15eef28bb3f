"""A first pose for each frame: the rigid points of the head on the network's own three-dimensional landmarks."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from gagjax.tracking import points as numbering
from gagjax.tracking.fit.head import UNITS


def first_poses(
    head: Float[np.ndarray, "468 3"], landmarks: Float[np.ndarray, "T 478 3"], focal: float
) -> tuple[Float[np.ndarray, "T 3 3"], Float[np.ndarray, "T 3"]]:
    """Rotations and shifts by a similarity transform (weak perspective).

    Args:
        head: The head's points at rest, metres; NaN where a point is not used.
        landmarks: Pixels from the principal point, x right, y down, depth away.
        focal: Focal length in pixels.

    Returns:
        `R` (T, 3, 3) and `t` (T, 3) of `X_camera = 5 X_head @ R + t`.

    Source: Umeyama, "Least-squares estimation of transformation parameters between two point patterns", PAMI 1991.
    """
    rigid = numbering.RIGID[np.isfinite(np.asarray(head)[numbering.RIGID]).all(1)]
    model = UNITS * np.asarray(head, float)[rigid]
    seen = np.asarray(landmarks, float)[:, rigid] * [-1, -1, 1]
    middle, seen_middle = model.mean(0), seen.mean(1)
    a, b = model - middle, seen - seen_middle[:, None]
    u, s, vt = np.linalg.svd(np.einsum("na,tnb->tab", a, b))
    sign = np.ones_like(s)
    sign[:, 2] = np.sign(np.linalg.det(u @ vt))
    rotation = (u * sign[:, None]) @ vt
    scale = np.maximum((s * sign).sum(1) / (a**2).sum(), 1e-6)  # pixels to a unit
    depth = focal / scale
    turned = middle @ rotation
    plane = seen_middle[:, :2] * (depth / focal)[:, None] - turned[:, :2]
    return rotation, np.concatenate([plane, (depth - turned[:, 2])[:, None]], 1)
