"""What is likely before a picture is seen: of a head model's coefficients, its jaw, and the camera."""

from __future__ import annotations

import dataclasses

import numpy as np

from gagjax.flame.model import EXPRESSIONS, FlameModel

SHAPES = 60  # shape columns that landmarks can tell apart, at most


@dataclasses.dataclass(frozen=True)
class Priors:
    """Standard deviations and bounds of the fit.

    Attributes:
        columns: Expression columns that are fitted, (E,).
        expression: Standard deviation of each, (E,).
        shapes: How many shape columns are fitted.
        shape: Standard deviation of their coefficients.
        non_negative: Whether expression coefficients below zero are unlikely (controls such as "smile").
        jaw: Standard deviations of the jaw's rotation, radians: opening, to the side, roll.
        offset: Standard deviation of a point's own place on this person, metres.
        noise: Standard deviation of a landmark, as a part of the distance between the eyes.
        robust: Residual, in standard deviations, from which a point counts less.
        focal: Standard deviation of the focal length's logarithm.
        frames: How many independent looks at a face a long clip counts for: noise of one clip is not independent.
    """

    columns: np.ndarray
    expression: np.ndarray
    shapes: int
    shape: float = 1.0
    non_negative: bool = False
    jaw: tuple[float, float, float] = (0.6, 0.04, 0.04)
    offset: float = 0.002
    noise: float = 0.02
    robust: float = 3.0
    focal: float = 0.35
    frames: float = 12.0


def priors_for(model: FlameModel) -> Priors:
    """The priors that suit a head model.

    FLAME's coefficients have a standard normal distribution by their making; the built-in head's controls go from 0 to
    1 and do not go below 0.

    Args:
        model: The head.

    Returns:
        Its priors; columns that do nothing are left out.
    """
    from gagjax.flame.builtin_head import is_builtin

    basis = np.asarray(model.shapedirs)
    size = np.abs(basis[..., model.shapes : model.shapes + EXPRESSIONS]).max((0, 1))
    columns = np.flatnonzero(size > 1e-9)
    used = np.abs(basis[..., : model.shapes]).max((0, 1)) > 1e-9
    shapes = int(min(SHAPES, used.sum()))
    if is_builtin(model):
        from gagjax import flame

        # Its named controls span what landmarks show; the columns after them add noise alone.
        named = columns[np.isin(columns, list(flame.CONTROLS.values()))]
        lids = [flame.CONTROLS[name] for name in ("blink_left", "blink_right") if name in flame.CONTROLS]
        return Priors(named, np.where(np.isin(named, lids), 1.0, 0.4), shapes, non_negative=True)
    return Priors(columns, np.ones(len(columns)), shapes)
