"""Pixels of a photo as Gaussians on the visible mesh."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from scipy import ndimage

from gagjax.avatars.avatar import UNITS
from gagjax.avatars.builtin import sampling
from gagjax.avatars.portrait.zbuffer import Seen
from gagjax.camera import Camera

#: Standard deviation of a pixel's Gaussian, pixels; the rasterizer adds 0.3 square pixels to its square.
SPREAD = 0.55
_THICKNESS = 0.0002  # metres
_STEEPEST = 0.25  # cosine below which footprints stop growing
_STEP = 0.006  # minimum depth step between different surfaces, metres


class Facts(NamedTuple):
    """Per-pixel properties of the mesh in a photo.

    Attributes:
        cosine: Cosine between surface normal and line of sight, (H, W); 0 where there is no mesh.
        edge: Whether another surface, or none, lies within a pixel, (H, W).
        normals: Interpolated vertex normals in camera axes, (H, W, 3).
    """

    cosine: Float[np.ndarray, "H W"]
    edge: Bool[np.ndarray, "H W"]
    normals: Float[np.ndarray, "H W 3"]


def facts(seen: Seen, faces: np.ndarray, normals: Float[np.ndarray, "V 3"], camera: Camera) -> Facts:
    """Angles and edges of the visible mesh; `normals` are those of the posed vertices, world axes."""
    there = seen.triangles >= 0
    height, width = there.shape
    out = np.zeros((height, width, 3))
    corner = faces[seen.triangles[there]]
    normal = (np.asarray(normals)[corner] * seen.bary[there][..., None]).sum(1)
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-9)
    out[there] = normal @ np.asarray(camera.viewmat, np.float64)[:3, :3].T
    sight = rays(camera)
    cosine = np.where(there, -(out * sight).sum(-1) / np.linalg.norm(sight, axis=-1), 0)
    far = np.where(there, seen.depth, 1e3)
    step = ndimage.maximum_filter(far, 3) - ndimage.minimum_filter(far, 3)
    # A slanted surface has depth steps too: only steps beyond its own slope count.
    own = 4 * seen.depth / np.asarray(camera.K)[0, 0] / np.maximum(cosine, 0.15)
    edge = there & (step > _STEP * UNITS + np.where(there, own, 0))
    return Facts(cosine, edge, out)


def gaussians(
    vertices: Float[np.ndarray, "V 3"],
    faces: np.ndarray,
    camera: Camera,
    seen: Seen,
    chosen: Bool[np.ndarray, "H W"],
    spread: float = SPREAD,
) -> tuple[sampling.Placed, Float[np.ndarray, "N 3"]]:
    """One Gaussian per chosen pixel, with the pixel's footprint on its triangle.

    Args:
        vertices: Posed mesh, metres.
        faces: Its triangles.
        camera: The photo's camera.
        seen: The mesh as visible to it.
        chosen: The chosen pixels, all of them on the mesh.
        spread: Standard deviation in pixels.

    Returns:
        The Gaussians in the triangles' affine frames, and their barycentric coordinates.
    """
    triangles, bary = seen.triangles[chosen], seen.bary[chosen].astype(np.float64)
    frame = sampling.axes(np.asarray(vertices, np.float64), faces)[triangles]
    turn = np.asarray(camera.viewmat, np.float64)[:3, :3]
    normal = frame[:, :, 2] / np.linalg.norm(frame[:, :, 2], axis=1, keepdims=True)
    root = footprint(normal @ turn.T, rays(camera)[chosen], seen.depth[chosen], camera, spread)
    inverse = np.linalg.inv(frame)
    offsets = np.concatenate([bary[:, 1:], np.zeros((len(bary), 1))], 1)
    return sampling.Placed(triangles, offsets, inverse @ (turn.T @ root)), bary


def footprint(
    normals: Float[np.ndarray, "N 3"],
    sight: Float[np.ndarray, "N 3"],
    depth: Float[np.ndarray, "N"],
    camera: Camera,
    spread: float,
) -> Float[np.ndarray, "N 3 3"]:
    """Square roots of covariances that cover one pixel each, camera axes, metres.

    Args:
        normals: Surface normals, camera axes.
        sight: Lines of sight with unit depth.
        depth: Depths, world units.
        camera: The photo's camera.
        spread: Standard deviation in pixels.
    """
    focal = np.asarray(camera.K, np.float64)[[0, 1], [0, 1]]
    facing = (normals * sight).sum(-1)
    facing = np.where(facing > 0, 1.0, -1.0) * np.maximum(np.abs(facing), _STEEPEST)
    columns = []
    for k in range(2):
        along = -sight * (normals[:, k] / facing)[:, None]
        along[:, k] += 1
        columns.append(along * (depth / focal[k] / UNITS * spread)[:, None])
    columns.append(normals * _THICKNESS)
    return np.stack(columns, -1)


def rays(camera: Camera) -> Float[np.ndarray, "H W 3"]:
    """Lines of sight with unit depth, camera axes."""
    k = np.asarray(camera.K, np.float64)
    x = (np.arange(camera.width) + 0.5 - k[0, 2]) / k[0, 0]
    y = (np.arange(camera.height) + 0.5 - k[1, 2]) / k[1, 1]
    out = np.ones((camera.height, camera.width, 3))
    out[..., 0], out[..., 1] = x[None], y[:, None]
    return out


def sampled(picture: Float[np.ndarray, "H W *C"], places: Float[np.ndarray, "N 2"]) -> Float[np.ndarray, "N *C"]:
    """Bilinear samples of an image at pixel positions, clamped to its border."""
    at = [places[:, 1] - 0.5, places[:, 0] - 0.5]
    if picture.ndim == 2:
        return ndimage.map_coordinates(picture, at, order=1, mode="nearest")
    return np.stack(
        [ndimage.map_coordinates(picture[..., c], at, order=1, mode="nearest") for c in range(picture.shape[-1])], -1
    )
