"""Shading of the built-in avatar: two camera-fixed lamps, a rim light and the sky, with a material per part."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from gagjax.typing import AnyArray

MATERIALS = ("skin", "lips", "eye", "hair", "mouth", "tooth")
# Per material: diffuse wrap, red bleeding of the wrap, strength and exponent of the highlight.
_TABLE = np.array(
    [
        [0.22, 0.10, 0.060, 16.0],
        [0.22, 0.08, 0.12, 34.0],
        [0.45, 0.00, 3.00, 220.0],
        [0.50, 0.00, 0.10, 18.0],
        [0.50, 0.10, 0.10, 20.0],
        [0.40, 0.05, 0.25, 40.0],
    ],
    np.float32,
)
GAMMA = 2.2
# Towards the light in camera axes (x right, y down, z forward), and its colour in linear light.
_LAMPS = np.array([[-0.52, -0.55, -0.66], [0.80, -0.10, -0.58], [0.45, -0.65, 0.62]], np.float32)
_LAMPS /= np.linalg.norm(_LAMPS, axis=1, keepdims=True)
_COLOURS = np.array([[0.92, 0.88, 0.82], [0.20, 0.22, 0.26], [0.22, 0.23, 0.25]], np.float32)
_SKY, _GROUND = np.array([0.27, 0.28, 0.30], np.float32), np.array([0.13, 0.12, 0.11], np.float32)
#: World-to-camera rotation for a face that looks along +z.
FRONT = np.diag([1.0, -1.0, -1.0]).astype(np.float32)


def shade(
    albedo: Float[AnyArray, "N 3"],
    occlusion: Float[AnyArray, "N"],
    material: Int[AnyArray, "N"],
    normals: Float[AnyArray, "N 3"],
    strands: Float[AnyArray, "N 3"],
    turn: Float[AnyArray, "3 3"],
) -> Float[Array, "N 3"]:
    """Shaded colours in [0, 1], display encoded.

    Args:
        albedo: Display encoded.
        occlusion: 1 unoccluded, 0 fully occluded.
        material: Index into `MATERIALS`.
        normals: Unit, world axes.
        strands: Unit directions of hairs, world axes; used for hair only.
        turn: Rotation from world to camera axes.

    Source: wrapped diffuse and Blinn-Phong terms; hair as in Kajiya and Kay, SIGGRAPH 1989, section 3.
    """
    wrap, bleed, gloss, exponent = (jnp.asarray(_TABLE)[material, k][:, None] for k in range(4))
    is_hair = (material == MATERIALS.index("hair"))[:, None]
    wraps = jnp.concatenate([wrap + bleed, wrap, wrap], -1)
    view = turn[2] * -1.0
    up = -turn[1]
    height = 0.5 + 0.5 * (normals @ up)[:, None]
    light = _GROUND + height * (_SKY - _GROUND)
    shine = jnp.zeros_like(albedo)
    for direction, colour in zip(_LAMPS, _COLOURS, strict=True):
        towards = direction @ turn
        facing = (normals @ towards)[:, None]
        diffuse = jnp.maximum(facing + wraps, 0.0) / (1.0 + wraps)
        half = towards + view
        half = half * jax.lax.rsqrt((half**2).sum() + 1e-12)
        # A hair scatters light around its axis: sines to its direction replace cosines to a normal.
        across2 = jnp.maximum(1.0 - (strands @ half) ** 2, 1e-6)[:, None]  # their squares
        lit = jnp.clip(2.0 * facing + 0.4, 0.0, 1.0)
        base = jnp.where(is_hair, across2, jnp.maximum((normals @ half)[:, None], 1e-3))
        # The barrier keeps XLA from computing one power for each of the three colours.
        glint = jax.lax.optimization_barrier(_power(base, jnp.where(is_hair, 30.0, exponent)))
        light = light + colour * diffuse
        shine = shine + colour * gloss * glint * lit
    # Light in occluded areas has been reflected by skin: it is warmer.
    warm = _power(occlusion[:, None], jnp.asarray([0.85, 1.05, 1.15]))
    linear = _power(albedo, GAMMA) * light * warm + shine * occlusion[:, None] ** 2
    return _power(jnp.clip(linear, 1e-4, 1.0), 1.0 / GAMMA)


def _power(base: Float[AnyArray, "N ..."], exponent: float | AnyArray) -> Array:
    """base ** exponent for a base of at least zero, by vectorised functions; XLA calls the general power per element."""
    return jnp.exp2(exponent * jnp.log2(jnp.maximum(base, 1e-30)))
