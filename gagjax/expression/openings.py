"""Set a head's lids and lips to given openings: the inverse of `lid_aperture` and `lip_aperture`.

An eye closes along one direction of expression coefficients (the built-in head's blink; on other heads the smallest
skin movement that closes the lid); the mouth opens by the jaw. Both are sampled once on a grid, and target openings are
looked up there. Openings are in the units of `gagjax.flame.eye_aspect_ratio`.
"""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from gagjax.errors import InputError
from gagjax.expression.closure import ClosureMatcher, apertures
from gagjax.flame.model import EXPRESSIONS, FlameModel
from gagjax.flame.subset import at_landmarks
from gagjax.typing import AnyArray

STEPS = 41
JAW = 0.5  # largest jaw opening, radians
WIDER = 0.35  # how far an eye may open beyond rest, as a fraction of the closing motion


@dataclasses.dataclass(frozen=True)
class Openings:
    """Lookup tables from lid and lip openings to expression coefficients and jaw angle.

    Args:
        directions: Expression directions that close the left and right eye, (2, 100).
        amounts: Multiples of each direction on the grid, ascending, (2, G).
        lids: Left and right eye aperture there, descending, (2, G).
        angles: Jaw angles on the grid, radians, (G,).
        lips: Lip aperture there, ascending, (G,).
        rest: Left lid, right lid and lip aperture of the head at rest, (3,).
    """

    directions: Float[np.ndarray, "2 100"]
    amounts: Float[np.ndarray, "2 G"]
    lids: Float[np.ndarray, "2 G"]
    angles: Float[np.ndarray, "G"]
    lips: Float[np.ndarray, "G"]
    rest: Float[np.ndarray, "3"]

    @classmethod
    def for_model(cls, model: FlameModel, shape: Float[AnyArray, "S"] | None = None) -> Openings:
        """Build the tables for a head.

        Args:
            model: The head, with 68 landmarks.
            shape: Its shape coefficients; None is the mean head.

        Raises:
            InputError: If it has fewer landmarks.
        """
        if len(model.landmark_faces) < 68:
            raise InputError("has fewer than 68 landmarks", field="model", fix="Load it with a landmark embedding")
        small = at_landmarks(model)
        own = jnp.zeros(0) if shape is None else jnp.asarray(shape, jnp.float32)[: model.shapes]

        def measured(expression: np.ndarray, jaw: np.ndarray) -> np.ndarray:
            return np.asarray(apertures(small, own, jnp.asarray(expression), jnp.asarray(jaw)))

        directions = _closing(model, own)
        rest = measured(np.zeros((1, EXPRESSIONS), np.float32), np.zeros((1, 3), np.float32))[0]
        still = np.zeros((STEPS, 3), np.float32)
        amounts, lids = [], []
        for eye, direction in enumerate(directions):
            reach = np.linspace(-WIDER, 1.0, STEPS, dtype=np.float32)
            found = measured(reach[:, None] * direction, still)[:, eye]
            # Past closure the lids cross and their distance grows again.
            shut = int(np.argmin(found))
            found = np.where(np.arange(STEPS) >= shut, found[shut], found)
            amounts.append(reach)
            lids.append(np.minimum.accumulate(found))
        angles = np.linspace(0.0, JAW, STEPS, dtype=np.float32)
        jaws = np.stack([angles, 0 * angles, 0 * angles], 1)
        lips = np.maximum.accumulate(measured(np.zeros((STEPS, EXPRESSIONS), np.float32), jaws)[:, 2])
        return cls(directions, np.stack(amounts), np.stack(lids), angles, lips, rest)

    def expression(self, lids: Float[np.ndarray, "T 2"]) -> Float[np.ndarray, "T 100"]:
        """Coefficients that give the left and right eye these openings; out-of-range openings are clamped."""
        out = np.zeros((len(lids), EXPRESSIONS), np.float32)
        for eye in range(2):
            # np.interp needs ascending x, so the descending grid is reversed.
            amount = np.interp(lids[:, eye], self.lids[eye][::-1], self.amounts[eye][::-1])
            out += amount[:, None].astype(np.float32) * self.directions[eye]
        return out

    def jaw(self, lips: Float[np.ndarray, "T"]) -> Float[np.ndarray, "T 3"]:
        """Jaw rotations, axis-angle in radians, that give these lip openings."""
        angle = np.interp(lips, self.lips, self.angles).astype(np.float32)
        return np.stack([angle, 0 * angle, 0 * angle], 1)


def closing_directions(model: FlameModel, shape: Float[AnyArray, "..."] | None = None) -> Float[np.ndarray, "2 100"]:
    """For each eye, the coefficients that close it just.

    Args:
        model: The head, with 68 landmarks.
        shape: Its shape coefficients; None is the mean head.

    Returns:
        Coefficients of the left and the right eye, (2, 100): all of one closes that eye, half of it half.
    """
    own = jnp.zeros(0) if shape is None else jnp.asarray(shape, jnp.float32)[..., : model.shapes]
    openings = Openings.for_model(model, own if own.ndim == 1 else own.mean(0))
    # The grid reaches beyond closure: the first amount at which the eye is shut.
    shut = [float(openings.amounts[eye][int(np.argmin(openings.lids[eye]))]) for eye in range(2)]
    return openings.directions * np.asarray(shut, np.float32)[:, None]


def _closing(model: FlameModel, shape: Float[Array, "S"]) -> Float[np.ndarray, "2 100"]:
    """For each eye, the coefficients that close it, with a margin."""
    from gagjax.flame.builtin_head import CONTROLS, is_builtin

    out = np.zeros((2, EXPRESSIONS), np.float32)
    if is_builtin(model):
        out[0, CONTROLS["blink_left"]] = out[1, CONTROLS["blink_right"]] = 1.0
        return out
    matcher = ClosureMatcher.for_models(model, shape, shape)
    still = jnp.zeros(3)
    for eye in range(2):
        value, slope = jax.value_and_grad(lambda x, k=eye: apertures(matcher.target, shape, x, still)[k])(
            jnp.zeros(EXPRESSIONS)
        )
        pull = np.asarray(matcher.mobility @ slope, np.float64)
        # Linear extrapolation to closure, times 1.5 as a margin.
        out[eye] = -1.5 * float(value) * pull / max(float(np.asarray(slope, np.float64) @ pull), 1e-12)
    return out
