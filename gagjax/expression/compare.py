"""Expression comparison, blending and transfer."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float

from gagjax.errors import InputError
from gagjax.expression.regions import Gains, RegionEditor
from gagjax.flame.model import FlameModel, vertices
from gagjax.numerics import safe_sqrt
from gagjax.typing import AnyArray, Values

METRICS = ("l2", "cosine", "weighted", "vertex")


def distance(
    a: Float[AnyArray, "*#batch 100"],
    b: Float[AnyArray, "*#batch 100"],
    metric: str = "l2",
    *,
    weights: Float[AnyArray, "100"] | None = None,
    editor: RegionEditor | None = None,
) -> Float[Array, "*#batch"]:
    """Distance between two expressions.

    Args:
        a: Coefficients.
        b: Coefficients.
        metric: "l2" (Euclidean), "cosine" (one minus the cosine: 0 for the same direction), "weighted" (Euclidean with
            `weights` on the squares) or "vertex": surface displacement between them, root-mean-square over the
            surface, in millimetres. Only the last relates to visible difference.
        weights: For "weighted".
        editor: The head's `RegionEditor`, for "vertex".

    Raises:
        InputError: If the metric is unknown or lacks its argument.
    """
    a, b = jnp.asarray(a), jnp.asarray(b)
    if metric == "l2":
        return safe_sqrt(((a - b) ** 2).sum(-1))
    if metric == "cosine":
        lengths = safe_sqrt((a**2).sum(-1)) * safe_sqrt((b**2).sum(-1))
        return 1.0 - jnp.where(lengths > 0, (a * b).sum(-1) / jnp.where(lengths > 0, lengths, 1.0), 0.0)
    if metric == "weighted":
        if weights is None:
            raise InputError("needs weights=", field="metric")
        return safe_sqrt((jnp.asarray(weights) * (a - b) ** 2).sum(-1))
    if metric == "vertex":
        if editor is None:
            raise InputError("needs editor=", field="metric", fix="Pass RegionEditor.for_model(model)")
        apart = a - b
        return 1e3 * safe_sqrt(jnp.einsum("...a,ab,...b->...", apart, editor.grams.sum(0), apart, precision="highest"))
    raise InputError(f"{metric!r} is unknown", field="metric", fix=f"Use one of {', '.join(METRICS)}")


def blend(
    a: Float[AnyArray, "*#batch 100"],
    b: Float[AnyArray, "*#batch 100"],
    amount: float | Values | Gains,
    editor: RegionEditor | None = None,
) -> Float[Array, "*#batch 100"]:
    """Interpolate from one expression to another, globally or per region.

    Args:
        a: Coefficients where the amount is 0.
        b: Coefficients where it is 1.
        amount: One amount for the whole face, or amounts by region name (omitted regions stay at `a`).
        editor: The head's `RegionEditor`, for amounts by region. Uses its coefficient form, so regions leak slightly.

    Raises:
        InputError: If amounts by region are given without an editor, or a region is unknown.
    """
    a, b = jnp.asarray(a), jnp.asarray(b)
    if not isinstance(amount, dict):
        return a + jnp.asarray(amount) * (b - a)
    if editor is None:
        raise InputError("needs editor=", field="amount", fix="Pass RegionEditor.for_model(model)")
    amounts = {name: amount.get(name, 0.0) for name in editor.names} | amount
    return a + editor.coefficients(b - a, amounts)


def transfer(
    model: FlameModel,
    identity: Float[AnyArray, "S"],
    expression: Float[AnyArray, "*#batch 100"],
    jaw: Float[AnyArray, "*#batch 3"],
    rotation: Float[AnyArray, "*#batch 3"] | None = None,
    eyes: Float[AnyArray, "*#batch 6"] | None = None,
) -> Float[Array, "*#batch V 3"]:
    """Expression transfer as a mesh: A's shape and head pose with B's expression and jaw.

    Args:
        model: The head.
        identity: A's shape coefficients.
        expression: B's expression coefficients.
        jaw: B's jaw rotation, axis-angle, radians.
        rotation: A's global rotation, axis-angle; None is zero.
        eyes: A's eye rotations; None is zero.

    Returns:
        Vertices in metres.

    Source: Feng, Feng, Black, Bolkart, "Learning an animatable detailed 3D face model from in-the-wild images" (DECA),
    ACM TOG 40(4), 2021: expression transfer.
    """
    jaw = jnp.asarray(jaw, jnp.float32)
    turn = jnp.zeros_like(jaw) if rotation is None else jnp.broadcast_to(jnp.asarray(rotation, jnp.float32), jaw.shape)
    pose = jnp.concatenate([turn, jaw], -1)
    return vertices(model, identity, expression, pose, jnp.zeros(6) if eyes is None else eyes)
