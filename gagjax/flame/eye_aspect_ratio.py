"""Eye and mouth aspect ratios from the 68 iBUG landmarks, independent of size and distance."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float

from gagjax.typing import AnyArray

# iBUG numbers, as pairs. Subject's right eye 36-41, left 42-47: corner, two upper, corner, two lower; inner lips 60-67.
_LEFT_EYE = ((43, 47), (44, 46), (42, 45))
_RIGHT_EYE = ((37, 41), (38, 40), (36, 39))
_LIPS = ((61, 67), (62, 66), (63, 65), (60, 64))


def _ratio(points: Float[AnyArray, "*#batch L D"], pairs: tuple[tuple[int, int], ...]) -> Float[Array, "*#batch"]:
    """Mean distance of all pairs but the last, divided by that of the last."""
    a, b = (points[..., jnp.array(side), :] for side in zip(*pairs, strict=True))
    # The floor, a micrometre for a head in metres, keeps the gradient finite where two points coincide.
    length = jnp.sqrt(((a - b) ** 2).sum(-1) + 1e-12)
    return length[..., :-1].mean(-1) / length[..., -1]


def lid_aperture(landmarks: Float[AnyArray, "*#batch L D"]) -> Float[Array, "*#batch 2"]:
    """Eye aspect ratio of the left and the right eye: lid distance over eye width, near 0.3 open and 0 closed.

    Args:
        landmarks: iBUG landmarks, at least 68, in two or three dimensions and any unit.

    Returns:
        One ratio per eye, left then right.

    Source: Soukupova and Cech, Real-time eye blink detection using facial landmarks, CVWW 2016.
    """
    return jnp.stack([_ratio(landmarks, _LEFT_EYE), _ratio(landmarks, _RIGHT_EYE)], -1)


def lip_aperture(landmarks: Float[AnyArray, "*#batch L D"]) -> Float[Array, "*#batch"]:
    """Inner lip distance over inner mouth width: 0 is closed. Landmarks as in `lid_aperture`."""
    return _ratio(landmarks, _LIPS)
