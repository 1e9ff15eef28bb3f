"""Eyeballs painted from the photo: rings about the gaze axis, which also give the parts covered by a lid."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Int

from gagjax.avatars.portrait.parts import smoothstep

RINGS = np.deg2rad(np.arange(0, 76, 1.25))  # angle from the gaze axis
PUPIL, IRIS = np.deg2rad(11.0), np.deg2rad(28.5)  # outer angles on an eyeball
_FEW = 12  # minimum number of pixels of iris and sclera in a photo
_BLACK, _WHITE = np.array([0.012, 0.010, 0.010]), np.array([0.55, 0.52, 0.50])


def angles(
    directions: Float[np.ndarray, "N 3"],
) -> Float[np.ndarray, "N"]:
    """Angle of each direction from the eye's axis at rest, radians."""
    return np.arccos(np.clip(directions[:, 2] / np.linalg.norm(directions, axis=1), -1, 1))


def rings(
    angle: Float[np.ndarray, "N"], colours: Float[np.ndarray, "N 3"], lit: Bool[np.ndarray, "N"]
) -> Float[np.ndarray, "R 3"] | None:
    """Colour of every ring, from the pixels of both eyes: a black pupil, the photo's iris with a dark rim, its sclera.

    Args:
        angle: Angle of each pixel, radians.
        colours: Linear colours.
        lit: Pixels away from the lids and their shadows.

    Returns:
        Linear colours, or None if too little of the irises is visible.
    """

    def some(low: float, high: float, share: float) -> np.ndarray | None:
        band = (angle > np.deg2rad(low)) & (angle < np.deg2rad(high))
        chosen = colours[band & lit] if (band & lit).sum() >= _FEW else colours[band]
        if len(chosen) < _FEW:
            return None
        # Reflections are bright, lashes dark: the middle or slightly brighter quantiles are the eye's own colour.
        bright = chosen.mean(1)
        low_end, high_end = np.quantile(bright, [share - 0.25, share + 0.25])
        return np.asarray(chosen[(bright >= low_end) & (bright <= high_end)].mean(0))

    iris = some(13, 25, 0.5)
    if iris is None:
        return None
    white = some(33, 55, 0.7)
    if white is None or white.mean() < 1.3 * iris.mean():
        white = np.maximum(_WHITE * min(1.0, 3 * iris.mean() + 0.3), iris)
    out = (
        np.broadcast_to(iris, (len(RINGS), 3)) * (1 - 0.45 * np.exp(-(((RINGS - IRIS) / np.deg2rad(3)) ** 2)))[:, None]
    )
    out = out + smoothstep(PUPIL + 0.03, PUPIL - 0.03, RINGS)[:, None] * (_BLACK - out)
    return out + smoothstep(IRIS - 0.02, IRIS + 0.04, RINGS)[:, None] * (white - out)


def painted(ring: Float[np.ndarray, "R 3"], angle: Float[np.ndarray, "N"]) -> Float[np.ndarray, "N 3"]:
    """Colours at given angles on the eyeballs."""
    return np.stack([np.interp(angle, RINGS, ring[:, c]) for c in range(3)], -1)


def axes_at_rest(
    places: Float[np.ndarray, "N 3"], eye: Int[np.ndarray, "N"], centres: Float[np.ndarray, "2 3"]
) -> Float[np.ndarray, "N 3"]:
    """Directions from the eyeball's centre to each point at rest."""
    return places - centres[eye]
