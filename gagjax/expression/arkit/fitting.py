"""ARKit's shapes on any head in FLAME's format: the built-in head's, carried over and fitted by least squares.

Where a point of the head lies on the built-in head is found by a thin-plate spline through the landmarks that both have. The
built-in head's displacement there, scaled to the size of the face, is what the expression coefficients of the head are
fitted to. No licensed map is needed, and how well each shape can be said is reported.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from gagjax.expression.arkit.names import NAMES
from gagjax.expression.arkit.shapes import Shapes, builtin_shapes
from gagjax.flame.builtin_head import is_builtin
from gagjax.flame.correspondence import places_on, vertex_weights
from gagjax.flame.model import EXPRESSIONS, FlameModel

MILLIMETRES = 1000.0
#: What a unit coefficient costs beside a square millimetre of mean error: enough to keep columns that do nothing still.
RIDGE = 1e-4


class FittedShapes(NamedTuple):
    """The shapes of a head and how well they fit.

    Attributes:
        shapes: The shapes.
        residual: Root mean square distance from the built-in head's shape over the points that move, (52,), millimetres.
        size: The same of the shape itself, (52,), millimetres; 0 for shapes that are turns alone.
    """

    shapes: Shapes
    residual: Float[np.ndarray, "52"]
    size: Float[np.ndarray, "52"]


def shapes_for(model: FlameModel) -> FittedShapes:
    """ARKit's shapes of a head.

    Args:
        model: The head, with 68 landmarks, or the built-in head of any identity.

    Returns:
        The shapes and the residual of each; of the built-in head the shapes that define them, with none.

    Raises:
        InputError: If it has fewer landmarks and is not the built-in head.
    """
    from gagjax import flame

    defined = builtin_shapes()
    if is_builtin(model):
        none = np.zeros(len(NAMES))
        return FittedShapes(defined, none, none)
    head = flame.builtin(0)
    places = places_on(model, head)
    target = np.einsum("sk,vck->svc", defined.expression, np.asarray(head.expression_basis, np.float64))
    wanted = MILLIMETRES * places.carried(target.transpose(1, 2, 0), np.asarray(head.faces)).transpose(2, 0, 1)
    basis = MILLIMETRES * np.asarray(model.expression_basis, np.float64)[places.vertices]
    weights = vertex_weights(model)[places.vertices]
    coefficients = least_squares(basis, wanted, weights)
    off = np.einsum("sk,vck->svc", coefficients, basis) - wanted
    moving = (np.linalg.norm(wanted, axis=2) > 0.1) * weights
    amount = np.maximum(moving.sum(1), 1e-12)
    residual, size = (np.sqrt(((each**2).sum(2) * moving).sum(1) / amount) for each in (off, wanted))
    own = MILLIMETRES * np.linalg.norm(target, axis=2)
    for i in np.flatnonzero((own.max(1) > 0.1) & (moving.sum(1) == 0)):  # such as the tongue: there is no place for it
        residual[i] = size[i] = np.sqrt((own[i][own[i] > 0.1] ** 2).mean())
    shapes = Shapes(coefficients.astype(np.float32), defined.jaw, defined.eyes)
    return FittedShapes(shapes, residual, size)


def least_squares(
    basis: Float[np.ndarray, "N 3 100"], wanted: Float[np.ndarray, "S N 3"], weights: Float[np.ndarray, "N"]
) -> Float[np.ndarray, "S 100"]:
    """Coefficients whose displacements come nearest to the wanted ones.

    Args:
        basis: Displacement of each point by each coefficient, millimetres.
        wanted: Displacements, millimetres.
        weights: How much each point counts.

    Returns:
        The coefficients; columns that move nothing are zero.
    """
    share = weights / max(float(weights.sum()), 1e-12)
    normal = np.einsum("ncj,n,nck->jk", basis, share, basis, optimize=True) + RIDGE * np.eye(EXPRESSIONS)
    right = np.einsum("ncj,n,snc->js", basis, share, wanted, optimize=True)
    return np.linalg.solve(normal, right).T
