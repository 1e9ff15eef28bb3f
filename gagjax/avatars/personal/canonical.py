"""Canonical Gaussians: distributed over the surface of a person's head mesh and moved with it."""

from __future__ import annotations

import dataclasses

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int
from scipy.spatial import cKDTree

from gagjax import flame
from gagjax.avatars.binding import frames
from gagjax.avatars.builtin import sampling
from gagjax.camera import Camera
from gagjax.errors import InputError
from gagjax.flame.model import FlameModel
from gagjax.pytree import pytree
from gagjax.splatting.projection import DILATION
from gagjax.typing import AnyArray

NEIGHBOURS = 4
# Gaussians are denser around facial features: within `NEAR` metres of a landmark, by this factor.
_NEAR, _DENSER = 0.03, 0.6
# Width of a Gaussian relative to the square root of its area: neighbours blend.
_WIDTH = 0.65


@pytree
class Canonical:
    """Placement of each slot on the mesh. The number of slots is constant during fitting.

    Args:
        triangles: Triangle of each Gaussian, (N,).
        corners: Barycentric coordinates in it, (N, 3).
        unframe: Inverse of the triangle's affine frame at rest, (N, 3, 3): multiplied by the posed frame it gives the
            local deformation, which is the identity at rest.
        neighbours: The nearest neighbours at rest, (N, 4), for the Laplacian.
    """

    triangles: Int[AnyArray, "N"]
    corners: Float[AnyArray, "N 3"]
    unframe: Float[AnyArray, "N 3 3"]
    neighbours: Int[AnyArray, "N 4"]

    def __len__(self) -> int:
        return self.triangles.shape[0]

    def on(self, model: FlameModel, vertices: Float[AnyArray, "V 3"]) -> Float[Array, "N 3"]:
        """The surface point under each Gaussian, in the unit of the vertices."""
        return flame.on_surface(vertices, model.faces, self.triangles, self.corners)

    def deformation(self, model: FlameModel, vertices: Float[AnyArray, "V 3"]) -> Float[Array, "N 3 3"]:
        """Local deformation of the surface at each Gaussian, relative to rest."""
        axes = frames(vertices, model.faces, "affine")[1][self.triangles]
        return (axes[:, :, :, None] * self.unframe[:, None, :, :]).sum(2)


def widened(covariances: Float[AnyArray, "N 3 3"], camera: Camera | None, size: int) -> Float[AnyArray, "N 3 3"]:
    """Widen covariances fitted to images of `size` pixels, for a camera of higher resolution.

    The rasterizer dilates every Gaussian by a fraction of a pixel, and a fit relies on that. In a larger image pixels
    are smaller, and gaps would open: the remainder of the fitted dilation is added in world space.

    Args:
        covariances: World units squared.
        camera: The viewing camera; nothing is added unless its image is larger than the fitted ones.
        size: Image size in pixels of the fit; 0 before fitting.
    """
    if camera is None or size < 1 or camera.width <= size:
        return covariances
    pixel = jnp.linalg.norm(camera.viewmat[:3, 3]) / camera.K[0, 0]
    more = DILATION * pixel**2 * ((camera.width / size) ** 2 - 1)
    return covariances + more * jnp.eye(3)


def person(model: FlameModel, shape: Float[np.ndarray, "S"] | None = None) -> FlameModel:
    """A head model of one person: the shape becomes the mean head, without remaining shape coefficients.

    Args:
        model: Any head.
        shape: Shape coefficients, or None for the mean head.
    """
    folded = with_shape(model, shape)
    return dataclasses.replace(folded, shapedirs=folded.expression_basis)


def with_shape(model: FlameModel, shape: Float[np.ndarray, "S"] | None) -> FlameModel:
    """The model with a shape as its mean head; the shape basis is kept."""
    if shape is None:
        return model
    shape = np.asarray(shape, np.float32)
    if np.any(shape[model.shapes :]):
        raise InputError(f"has {len(shape)} coefficients, the model has {model.shapes}", field="shape")
    shape = shape[: model.shapes]
    offset = jnp.einsum("vck,k->vc", model.shapedirs[..., : len(shape)], shape, precision="highest")
    return dataclasses.replace(model, v_template=model.v_template + offset)


def spread(model: FlameModel, count: int) -> tuple[Canonical, Float[np.ndarray, "N"]]:
    """Distribute Gaussians evenly over the mesh, more densely around facial features.

    Args:
        model: A person's head.
        count: Maximum number; nearly reached if triangles are small enough.

    Returns:
        The Gaussians and the width at which each overlaps its neighbours, (N,), metres.

    Raises:
        InputError: If there are too few for one per triangle.
    """
    v, f = np.asarray(model.v_template, np.float64), np.asarray(model.faces)
    marks = np.asarray(flame.landmarks(model, model.v_template))
    distance = cKDTree(marks).query(v[f].mean(1))[0] if len(marks) else np.full(len(f), np.inf)
    density = np.where(distance < _NEAR, _DENSER, 1.0)
    area = np.linalg.norm(np.cross(v[f[:, 1]] - v[f[:, 0]], v[f[:, 2]] - v[f[:, 0]]), axis=1) / 2
    placed = _at_most(v, f, density, area, count)
    corners = np.concatenate([1 - placed.offsets[:, :2].sum(1, keepdims=True), placed.offsets[:, :2]], 1)
    pieces = np.bincount(placed.triangles, minlength=len(f))
    width = _WIDTH * np.sqrt(area[placed.triangles] / pieces[placed.triangles])
    if len(placed.triangles) > count:  # more triangles than Gaussians: every N-th triangle, with wider Gaussians
        kept = np.unique(np.linspace(0, len(placed.triangles) - 1, count).round().astype(int))
        width = width[kept] * np.sqrt(len(placed.triangles) / len(kept))
        corners, triangles = corners[kept], placed.triangles[kept]
    else:
        triangles = placed.triangles
    return attach(model, triangles, corners), np.asarray(width, np.float32)


def attach(model: FlameModel, triangles: np.ndarray, corners: np.ndarray) -> Canonical:
    """Canonical Gaussians at given positions on the mesh."""
    v, f = np.asarray(model.v_template, np.float64), np.asarray(model.faces)
    axes = sampling.axes(v, f)
    flat = np.abs(np.linalg.det(axes)) < 1e-14
    axes[flat] = np.eye(3)  # a degenerate triangle causes no deformation
    unframe = np.linalg.inv(axes)
    places = (v[f[triangles]] * np.asarray(corners, np.float64)[..., None]).sum(1)
    nearest = cKDTree(places).query(places, k=min(NEIGHBOURS + 1, len(places)))[1][:, 1:]
    nearest = np.pad(nearest, ((0, 0), (0, NEIGHBOURS - nearest.shape[1])), mode="edge")
    return Canonical(
        jnp.asarray(triangles, jnp.int32),
        jnp.asarray(corners, jnp.float32),
        jnp.asarray(unframe[triangles], jnp.float32),
        jnp.asarray(nearest, jnp.int32),
    )


def _at_most(v: np.ndarray, f: np.ndarray, density: np.ndarray, area: np.ndarray, count: int) -> sampling.Placed:
    if count < 8:
        raise InputError(f"is {count}", field="gaussians", fix="Use a few thousand")
    low, high = 1e-5, 1.0
    best = sampling.tiles(v, f, np.where(area > 1e-14, density * high, 0))
    for _ in range(24):
        middle = np.sqrt(low * high)
        edge = np.sqrt(2 * area * 1.15)
        cuts = np.maximum(np.ceil(edge / (density * middle) - 0.25), 1)
        if (cuts[area > 1e-14] ** 2).sum() <= count:
            best, high = sampling.tiles(v, f, np.where(area > 1e-14, density * middle, 0)), middle
        else:
            low = middle
    return best
