"""Displacement maps and the normals that they give.

A map holds the height above the head's surface in millimetres, a part that stays and one that follows the frame:

    d(e, j) = D_0 + sum_k c_k B_k,    c = (0.3 e_1 ... 0.3 e_K, 3 j_1, 3 j_2, 3 j_3)

with expression coefficients e and the jaw's rotation j. DECA's decoder is a network over a person's detail code,
expression and jaw, learned from many people; for one person's film this linear basis says the same with numbers that can
be read and handed on. The displaced surface p + d n has, to first order in d, the normal

    n' = n + (d_u (n x p_v) + d_v (p_u x n)) / (n . (p_u x p_v)),

with subscripts for derivatives along the map: the coarse normal where the map is flat.

Source: Feng et al., Learning an Animatable Detailed 3D Face Model from In-The-Wild Images (DECA), ACM TOG (SIGGRAPH) 2021:
displacements in a map from detail code, expression and jaw, turned into normals and shading.
"""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float

from gagjax import flame
from gagjax.avatars.personal.features.layout import Layout
from gagjax.flame.model import FlameModel
from gagjax.typing import AnyArray, Tree

MILLIMETRE = 1e-3


def code(expression: Float[AnyArray, "100"], jaw: Float[AnyArray, "3"], count: int) -> Float[Array, "K"]:
    """The numbers that the moving part is multiplied by, (count + 3,).

    Args:
        expression: FLAME expression coefficients.
        jaw: Axis-angle, radians.
        count: Leading expression coefficients that take part.

    Example:
        >>> code(jnp.ones(100), jnp.zeros(3), 2).shape
        (5,)
    """
    return jnp.concatenate([0.3 * jnp.asarray(expression)[:count], 3 * jnp.asarray(jaw)])


def height(weights: Tree, expression: Float[AnyArray, "100"], jaw: Float[AnyArray, "3"]) -> Float[Array, "S S"]:
    """The map of a frame, millimetres.

    Args:
        weights: `static` (S, S) and `basis` (S, S, K + 3), millimetres.
        expression: FLAME expression coefficients.
        jaw: Axis-angle, radians.
    """
    count = weights["basis"].shape[-1] - 3
    return weights["static"] + weights["basis"] @ code(expression, jaw, count)


def slopes(values: Float[AnyArray, "S S *C"]) -> tuple[Float[Array, "S S *C"], Float[Array, "S S *C"]]:
    """Central differences per texel along u (around the head) and along v (one-sided at the poles)."""
    values = jnp.asarray(values)
    along_u = (jnp.roll(values, -1, 1) - jnp.roll(values, 1, 1)) / 2
    return along_u, jnp.asarray(jnp.gradient(values, axis=0))


def normal_map(
    layout: Layout, model: FlameModel, vertices: Float[AnyArray, "V 3"], heights: Float[AnyArray, "S S"]
) -> Float[Array, "S S 3"]:
    """Unit normals of the displaced surface under each texel; 0 where the map shows no surface.

    Args:
        layout: The map's layout on this head.
        model: The head.
        vertices: The posed mesh, metres.
        heights: Displacement, millimetres.
    """
    at, corners = layout.triangles.reshape(-1), layout.corners.reshape(-1, 3)
    shape = layout.corners.shape
    places = flame.on_surface(vertices, model.faces, at, corners).reshape(shape)
    normals = flame.on_surface(flame.normals(model, vertices), model.faces, at, corners).reshape(shape)
    p_u, p_v = slopes(places)
    d_u, d_v = slopes(jnp.asarray(heights) * MILLIMETRE)
    span = (normals * jnp.cross(p_u, p_v)).sum(-1, keepdims=True)
    # Beside holes and where layers meet the map is torn: such texels keep the coarse normal.
    length = jnp.sqrt((p_u**2).sum(-1) * (p_v**2).sum(-1) + 1e-20)[..., None]
    whole = (span > 0.2 * length) & (layout.corners.sum(-1, keepdims=True) > 0.5)
    tilt = (d_u[..., None] * jnp.cross(normals, p_v) + d_v[..., None] * jnp.cross(p_u, normals)) / jnp.where(
        whole, span, 1.0
    )
    bent = normals + jnp.where(whole, tilt, 0.0)
    return bent / jnp.sqrt((bent**2).sum(-1, keepdims=True) + 1e-12)
