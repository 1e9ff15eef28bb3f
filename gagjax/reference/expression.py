"""The original's expression weights: fixed factors for index ranges of FLAME's expression columns.

The ranges are the original's. FLAME's columns are global modes of the whole face, so these names are meaningless; the
corrected form is `gagjax.expression`.
"""

from __future__ import annotations

from typing import Any, Literal

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from gagjax.numerics import safe_sqrt
from gagjax.pytree import pytree, static
from gagjax.reference import Variant, check_variant
from gagjax.reference.memoryless import Memoryless
from gagjax.track import EXPRESSIONS, Channels
from gagjax.typing import AnyArray

REGIONS = {
    "global": slice(0, 20),
    "eye": slice(20, 30),
    "mouth": slice(30, 50),
    "brow": slice(50, 60),
    "nose": slice(60, 70),
    "cheek": slice(70, 100),
}
IDENTITY = {"eye": 0.9, "mouth": 0.7, "brow": 0.85, "nose": 0.95, "cheek": 0.8}
GLOBAL, LOCAL = 0.7, 0.3  # the code's weights of global and local columns
MIX = 0.8  # weight of the result against the input


def factors(variant: Variant = "document", identity: bool = False) -> Float[np.ndarray, "100"]:
    """The factor of each column, including the mix with the input.

    Args:
        variant: "document" scales the local ranges by `IDENTITY` and leaves the global one. "code" weights global and
            local ranges by 0.7 and 0.3.
        identity: In the code variant, scale the local ranges by `IDENTITY` as well, as the original does when it is
            given identity features; the document variant always does.
    """
    check_variant(variant)
    scale = np.ones(EXPRESSIONS, np.float32)
    if variant == "document" or identity:
        for name, factor in IDENTITY.items():
            scale[REGIONS[name]] *= factor
    if variant == "code":
        scale *= np.where(np.arange(EXPRESSIONS) < REGIONS["global"].stop, GLOBAL, LOCAL)
    return (MIX * scale + (1 - MIX)).astype(np.float32)


@pytree
class ReferenceExpression(Memoryless):
    """The original's expression stage.

    Args:
        factors: The factor of each column, (100,).
        mean: Mean of an optional PCA, (100,); the expression is first projected onto the PCA.
        components: Orthonormal components of that PCA, (k, 100), or None for no PCA.
    """

    factors: Float[AnyArray, "100"]
    mean: Float[AnyArray, "100"] | None = None
    components: Float[AnyArray, "k 100"] | None = None
    variant: Variant = static(default="document")

    def apply_frame(self, x: Channels, frame: Int[AnyArray, ""]) -> Channels:
        return x._replace(expression=self(x.expression))

    def __call__(self, expression: Float[AnyArray, "*#batch 100"]) -> Float[AnyArray, "*#batch 100"]:
        """The weighted expression; any leading dimensions."""
        if self.components is not None:
            mean = 0.0 if self.mean is None else self.mean
            weights = jnp.matmul(expression - mean, self.components.T, precision="highest")
            expression = mean + jnp.matmul(weights, self.components, precision="highest")
        return expression * self.factors


def reference_expression(variant: Variant = "document", identity: bool = False) -> ReferenceExpression:
    """The expression stage of `Stack.reference`; PCA is off."""
    return ReferenceExpression(factors(variant, identity), variant=variant)


def distance(
    a: Float[AnyArray, "*#batch 100"],
    b: Float[AnyArray, "*#batch 100"],
    kind: Literal["l2", "cosine", "perceptual"] = "l2",
) -> Float[Array, "*#batch"]:
    """Distance between two expressions.

    Args:
        a: Coefficients, (..., 100).
        b: Coefficients, (..., 100).
        kind: "l2": Euclidean. "cosine": one minus the cosine, 1 where either is zero. "perceptual": Euclidean, the
            squared differences of global columns counting twice.
    """
    a, b = jnp.asarray(a), jnp.asarray(b)
    if kind == "cosine":
        square = jnp.sum(a * a, -1) * jnp.sum(b * b, -1)
        usable = square > 0
        cosine = jnp.where(usable, jnp.sum(a * b, -1) / jnp.sqrt(jnp.where(usable, square, 1)), 0)
        return 1 - cosine
    if kind not in ("l2", "perceptual"):
        raise ValueError(f"kind must be 'l2', 'cosine' or 'perceptual', got {kind!r}")
    weight: Any = 1.0
    if kind == "perceptual":
        weight = np.where(np.arange(EXPRESSIONS) < REGIONS["global"].stop, 2, 1).astype(np.float32)
    square = jnp.sum(weight * (a - b) ** 2, -1)
    return safe_sqrt(square)


def blend(
    a: Float[AnyArray, "*#batch 100"],
    b: Float[AnyArray, "*#batch 100"],
    amount: float = 0.3,
    regions: tuple[str, ...] = ("mouth", "brow", "global"),
) -> Float[AnyArray, "*#batch 100"]:
    """Interpolate from `a` towards `b` by `amount` in the named ranges; other columns are those of `a`."""
    weight = np.zeros(EXPRESSIONS, np.float32)
    for name in regions:
        weight[REGIONS[name]] = amount
    return a + weight * (jnp.asarray(b) - a)
