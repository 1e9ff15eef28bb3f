"""Square roots and norms whose gradients stay finite at zero.

`sqrt` has an infinite slope at 0, and `where` alone does not help: reverse mode multiplies that slope by the zero
cotangent of the branch not taken, which is NaN. The argument is therefore replaced as well (the double `where`).
"""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float

from gagjax.typing import Values


def safe_sqrt(square: Values) -> Float[Array, "..."]:
    """Square root of positive values; elsewhere 0 with zero gradient.

    Args:
        square: Any shape.

    Example:
        >>> import jax
        >>> float(jax.grad(safe_sqrt)(0.0))
        0.0
    """
    positive = square > 0
    return jnp.where(positive, jnp.sqrt(jnp.where(positive, square, 1)), 0)


def safe_norm(x: Values, axis: int = -1, *, keepdims: bool = False) -> Float[Array, "..."]:
    """Euclidean norm along an axis, with gradient 0 at the zero vector.

    Args:
        x: Vectors along `axis`.
        axis: The axis that is summed over.
        keepdims: Whether to keep the axis, with length 1.

    Example:
        >>> safe_norm(jnp.array([[3.0, 4.0], [0.0, 0.0]])).tolist()
        [5.0, 0.0]
    """
    return safe_sqrt(jnp.sum(x * x, axis=axis, keepdims=keepdims))
