"""Square roots and norms whose gradients stay finite at zero.

`sqrt` has an infinite slope at 0, and `where` alone does not help: reverse mode multiplies that slope by the zero of the
branch not taken, which is NaN. The argument is therefore replaced inside as well (the double `where`).
"""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float

from gagjax.typing import Values


def safe_sqrt(square: Values) -> Float[Array, "..."]:
    """Square root of what is positive, 0 elsewhere, with gradient 0 there.

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
        keepdims: Whether it stays, with length 1.

    Example:
        >>> safe_norm(jnp.array([[3.0, 4.0], [0.0, 0.0]])).tolist()
        [5.0, 0.0]
    """
    return safe_sqrt(jnp.sum(x * x, axis=axis, keepdims=keepdims))
