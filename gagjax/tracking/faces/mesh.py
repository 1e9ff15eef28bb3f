"""478 landmarks of faces in known regions, by MediaPipe's attention mesh."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, UInt8

from gagjax.tracking import models
from gagjax.tracking import points as numbering
from gagjax.tracking.faces import regions
from gagjax.tracking.faces.regions import Region

SIZE = 192


class _Mesh(NamedTuple):
    run: Callable[[Any], Any]
    lips: np.ndarray
    left: np.ndarray
    right: np.ndarray


@functools.cache
def _mesh() -> _Mesh:
    from gagjax.tracking.networks import function, graph

    network = graph.load(models.path_of("face_mesh"))
    looks = [o.options["subset_idxs"] for o in network.operations if o.name == "Landmarks2TransformMatrix"]
    by_first = {chosen[0]: np.array(chosen) for chosen in looks}
    return _Mesh(function(network), by_first[61], by_first[263], by_first[33])


def landmarks(
    pictures: Sequence[UInt8[np.ndarray, "H W 3"]], where: Sequence[Region]
) -> tuple[Float[np.ndarray, "B 478 3"], Float[np.ndarray, "B"]]:
    """Landmarks of one face per image.

    Args:
        pictures: RGB images.
        where: The face region in each.

    Returns:
        Points in pixels of the image (depth in the same unit, smaller is nearer), and the network's confidence that
        there is a face, 0 to 1, which does not account for occlusion.

    Raises:
        InputError: If the models are not installed.
    """
    cuts = np.stack([regions.cut(picture, region, SIZE) for picture, region in zip(pictures, where, strict=True)])
    found, flags = in_cuts(cuts)
    for i, region in enumerate(where):
        linear, shift = regions.matrix(region, SIZE)
        found[i, :, :2] = found[i, :, :2] @ linear.T + shift
        found[i, :, 2] *= region.side / SIZE
    return found, flags


def in_cuts(cuts: UInt8[np.ndarray, "B 192 192 3"]) -> tuple[Float[np.ndarray, "B 478 3"], Float[np.ndarray, "B"]]:
    """Like `landmarks`, but for crops and in their pixels."""
    mesh = _mesh()
    count = len(cuts)
    outputs = mesh.run(cuts.astype(np.float32) / 255)
    flat = [np.asarray(output, np.float32).reshape(count, -1) for output in outputs]
    face, lips, right, left, right_iris, left_iris, flag = flat
    points = np.zeros((count, numbering.COUNT, 3), np.float32)
    points[:, : numbering.MESH] = face.reshape(count, -1, 3)
    for chosen, plane in ((mesh.lips, lips), (mesh.left, left), (mesh.right, right)):
        points[:, chosen, :2] = plane.reshape(count, -1, 2)
    points[:, 468:473, :2] = right_iris.reshape(count, 5, 2)
    points[:, 473:478, :2] = left_iris.reshape(count, 5, 2)
    points[:, 468:473, 2] = points[:, mesh.right[:16], 2].mean(1, keepdims=True)
    points[:, 473:478, 2] = points[:, mesh.left[:16], 2].mean(1, keepdims=True)
    return points, 1 / (1 + np.exp(-np.clip(flag[:, 0], -80, 80)))
