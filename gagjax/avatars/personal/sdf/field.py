"""A neutral head as a signed distance field: the distance to the FLAME mesh plus what a small network learns.

    s(x) = s_FLAME(x) + s_net(e(x)),    e(x) = (x, sin 2^k x, cos 2^k x),  k = 0..3,  x in decimetres

The published start has the network alone and trains it towards a sphere first. With the mesh's own distance in it the
field is a head from the first step, and the network, whose last layer begins at zero, learns hair and shoulders only.

Source: Xu et al., Gaussian Head Avatar, CVPR 2024, geometry-guided initialization, and its published configuration (four
frequencies; hidden layers of 256).
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from scipy.spatial import cKDTree

from gagjax.typing import AnyArray, Tree

DECIMETRE = 0.1
FREQUENCIES = 4
ENCODED = 3 + 6 * FREQUENCIES


def encode(points: Float[AnyArray, "N 3"]) -> Float[Array, "N 27"]:
    """Positional encoding of points in metres.

    Example:
        >>> encode(jnp.zeros((2, 3))).shape
        (2, 27)
    """
    x = jnp.asarray(points) / DECIMETRE
    waves = jnp.concatenate([x * 2.0**k for k in range(FREQUENCIES)], -1)
    return jnp.concatenate([x, jnp.sin(waves), jnp.cos(waves)], -1)


def perceptron(widths: Sequence[int], seed: int) -> list[dict[str, Any]]:
    """First weights of layers of the given widths, the last one zero."""
    rng = np.random.default_rng(seed)
    layers: list[dict[str, Any]] = []
    for a, b in itertools.pairwise(widths):
        kernel = rng.normal(size=(a, b)) * np.sqrt(2 / a) * (len(layers) < len(widths) - 2)
        layers.append({"kernel": jnp.asarray(kernel, jnp.float32), "bias": jnp.zeros(b)})
    return layers


def applied(layers: Sequence[Tree], x: Float[AnyArray, "N A"]) -> Float[Array, "N B"]:
    """The layers' output, with rectifiers between them."""
    y = jnp.asarray(x)
    for number, layer in enumerate(layers):
        y = y @ layer["kernel"] + layer["bias"]
        y = jax.nn.relu(y) if number + 1 < len(layers) else y
    return y


def mesh_distance(
    points: Float[np.ndarray, "M 3"], vertices: Float[np.ndarray, "V 3"], faces: AnyArray, seed: int = 0
) -> Float[np.ndarray, "M"]:
    """Signed distance to a mesh, negative inside, to about a tenth of the spacing of 60 000 samples on it.

    Inside is where the winding number exceeds one half, which holds for meshes with holes (neck, eyes), too.

    Args:
        points: Metres.
        vertices: Metres.
        faces: Triangles, (F, 3).
        seed: Seed of the samples.

    Source: Jacobson et al., Robust Inside-Outside Segmentation using Generalized Winding Numbers, ACM TOG 2013.
    """
    v, f = np.asarray(vertices, np.float64), np.asarray(faces)
    samples, _, _ = on_mesh(v, f, 60_000, seed)
    size = cKDTree(np.concatenate([v, samples])).query(np.asarray(points))[0]
    points = np.asarray(points, np.float64)
    near = ((points >= v.min(0)) & (points <= v.max(0))).all(1)  # nothing outside of the mesh's box is inside the mesh
    sign = np.ones(len(points))
    sign[near] = np.where(_winding(points[near].astype(np.float32), v[f].astype(np.float32)) > 0.5, -1, 1)
    return sign * size


def on_mesh(
    vertices: Float[np.ndarray, "V 3"], faces: AnyArray, count: int, seed: int = 0
) -> tuple[Float[np.ndarray, "N 3"], Any, float]:
    """Random points evenly over a mesh, their triangles, and the mesh's area."""
    v, f = np.asarray(vertices, np.float64), np.asarray(faces)
    area = np.linalg.norm(np.cross(v[f[:, 1]] - v[f[:, 0]], v[f[:, 2]] - v[f[:, 0]]), axis=1) / 2
    rng = np.random.default_rng(seed)
    # Stratified: one point in each of `count` equal pieces of the area.
    at = np.minimum(
        np.searchsorted(np.cumsum(area), (np.arange(count) + rng.random(count)) / count * area.sum()), len(f) - 1
    )
    a, b = np.sqrt(rng.random((count, 1))), rng.random((count, 1))
    x, y, z = (v[f[at, k]] for k in range(3))
    return (1 - a) * x + a * (1 - b) * y + a * b * z, at, float(area.sum())


def _winding(points: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """Sum of the triangles' solid angles over 4 pi."""

    @jax.jit
    def angles(few: AnyArray, corners: AnyArray) -> Any:
        a, b, c = (corners[None, :, k] - few[:, None] for k in range(3))
        la, lb, lc = (jnp.sqrt((x * x).sum(-1)) for x in (a, b, c))
        top = (a * jnp.cross(b, c)).sum(-1)
        low = la * lb * lc + (a * b).sum(-1) * lc + (b * c).sum(-1) * la + (c * a).sum(-1) * lb
        return jnp.arctan2(top, low).sum(1) / (2 * jnp.pi)

    chunk = 256
    padded = np.pad(points, ((0, -len(points) % chunk), (0, 0)))
    found = [np.asarray(angles(padded[i : i + chunk], corners)) for i in range(0, len(padded), chunk)]
    return np.concatenate(found)[: len(points)]
