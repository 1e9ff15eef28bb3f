"""ARKit's weights from a head's motion: the way back, by least squares with weights from 0 to 1.

The distance that is made small is that between meshes: what coefficients and turns do to the vertices to first order, each
vertex counted by its area. Shapes that work against each other (look in, look out) leave a choice, which falls on the
smallest weights.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from jaxtyping import Float

from gagjax.expression.arkit.shapes import Shapes
from gagjax.flame.correspondence import vertex_weights
from gagjax.flame.model import EXPRESSIONS, FlameModel, vertices
from gagjax.typing import AnyArray

MILLIMETRES = 1000.0
STEP = 0.05  # radians, of the turns whose effect on the mesh is measured
#: Cost of a weight of 1, square millimetres: decides where shapes leave a choice.
RIDGE = 1e-4


def weights_of(
    model: FlameModel,
    shapes: Shapes,
    expression: Float[AnyArray, "T 100"],
    jaw: Float[AnyArray, "T 3"],
    eyes: Float[AnyArray, "T 6"],
) -> Float[np.ndarray, "T 52"]:
    """ARKit's weights that come nearest to a head's motion.

    Args:
        model: The head.
        shapes: Its shapes.
        expression: Expression coefficients.
        jaw: Turns of the jaw, axis-angle, radians.
        eyes: Turns of the left and the right eye, axis-angle, radians.

    Returns:
        Weights from 0 to 1 in the order of `NAMES`.
    """
    from scipy.optimize import lsq_linear

    motion = np.concatenate([np.asarray(each, np.float64) for each in (expression, jaw, eyes)], 1)
    mix = np.concatenate([np.asarray(each, np.float64) for each in (shapes.expression, shapes.jaw, shapes.eyes)], 1).T
    root = np.linalg.cholesky(_metric(model)).T
    system = np.concatenate([root @ mix, np.sqrt(RIDGE) * np.eye(mix.shape[1])])
    none = np.zeros(mix.shape[1])
    found: list[Any] = [
        lsq_linear(system, np.concatenate([root @ frame, none]), (0, 1), method="bvls").x for frame in motion
    ]
    return np.asarray(found, np.float32)


@functools.lru_cache(maxsize=4)
def _held(model: _ByIdentity) -> Float[np.ndarray, "109 109"]:
    head = model.model
    none = np.zeros(0, np.float32)

    def mesh(jaw: np.ndarray, eyes: np.ndarray) -> np.ndarray:
        pose = np.concatenate([np.zeros((len(jaw), 3), np.float32), jaw], 1)
        return np.asarray(vertices(head, none, none, pose, eyes), np.float64)

    turns = np.concatenate([np.zeros((1, 9)), STEP * np.eye(9)]).astype(np.float32)
    moved = mesh(turns[:, :3], turns[:, 3:])
    by_turn = ((moved[1:] - moved[0]) / STEP).transpose(1, 2, 0)
    by_all = MILLIMETRES * np.concatenate([np.asarray(head.expression_basis, np.float64), by_turn], 2)
    share = vertex_weights(head)
    share = share / share.sum()
    flat = by_all * np.sqrt(share)[:, None, None]
    flat = flat.reshape(-1, EXPRESSIONS + 9)
    return flat.T @ flat + 1e-9 * np.eye(EXPRESSIONS + 9)


class _ByIdentity:
    """A model as a key: the same object is the same head."""

    def __init__(self, model: FlameModel) -> None:
        self.model = model

    def __hash__(self) -> int:
        return id(self.model)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _ByIdentity) and other.model is self.model


def _metric(model: FlameModel) -> Float[np.ndarray, "109 109"]:
    """Mean square displacement, square millimetres, of the mesh by coefficients and turns: x^T M x."""
    return _held(_ByIdentity(model))
