"""Eyeballs painted from the photo: rings about the line of gaze, so that what a lid covers is known as well."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Int

RINGS = np.deg2rad(np.arange(0, 76, 2.5))  # from the line of gaze
_WHITE = np.deg2rad(38.0)  # beyond: white for certain
_FEW = 30  # pixels that a photo must show of both eyes


def angles(
    directions: Float[np.ndarray, "N 3"],
) -> Float[np.ndarray, "N"]:
    """Angle of each direction from the eye's own axis at rest, radians."""
    return np.arccos(np.clip(directions[:, 2] / np.linalg.norm(directions, axis=1), -1, 1))


def rings(
    angle: Float[np.ndarray, "N"], colours: Float[np.ndarray, "N 3"], lit: Bool[np.ndarray, "N"]
) -> Float[np.ndarray, "R 3"] | None:
    """Colour of every ring, from the pixels of both eyes.

    Args:
        angle: Of each pixel.
        colours: Linear.
        lit: Pixels away from the lids, whose shadow is no colour of the eye.

    Returns:
        Linear colours, or None if too little of the eyes is seen.
    """
    if lit.sum() < _FEW:
        return None
    which = np.clip(np.searchsorted(RINGS, angle[lit]) - 1, 0, len(RINGS) - 1)
    inside = colours[lit]
    out = np.full((len(RINGS), 3), np.nan)
    for ring in range(len(RINGS)):
        here = inside[which == ring]
        if len(here) >= 4:
            out[ring] = np.median(here, 0)
    known = np.flatnonzero(np.isfinite(out[:, 0]))
    for c in range(3):
        out[:, c] = np.interp(np.arange(len(RINGS)), known, out[known, c])
    # The white is what the lids leave of it, less what they darken: its brighter part.
    beyond = inside[(angle[lit] > np.deg2rad(30)) & (angle[lit] < np.deg2rad(60))]
    if len(beyond) >= 8:
        bright = beyond.mean(1)
        white = beyond[bright >= np.quantile(bright, 0.6)].mean(0)
        share = np.clip((RINGS - np.deg2rad(30)) / (_WHITE - np.deg2rad(30)), 0, 1)[:, None]
        out = out + share * (white - out)
    return out


def painted(ring: Float[np.ndarray, "R 3"], angle: Float[np.ndarray, "N"]) -> Float[np.ndarray, "N 3"]:
    """The colour of places on the eyeballs."""
    return np.stack([np.interp(angle, RINGS, ring[:, c]) for c in range(3)], -1)


def axes_at_rest(
    places: Float[np.ndarray, "N 3"], eye: Int[np.ndarray, "N"], centres: Float[np.ndarray, "2 3"]
) -> Float[np.ndarray, "N 3"]:
    """From the middle of its eyeball to each place at rest."""
    return places - centres[eye]
