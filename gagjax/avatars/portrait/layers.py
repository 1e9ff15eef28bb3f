"""Layers for parts of the matte that the mesh lacks (distant hair, hats, shoulders, clothes), and the background."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float
from scipy import ndimage

from gagjax.avatars.avatar import UNITS
from gagjax.avatars.portrait import pixels
from gagjax.avatars.portrait.avatar import Layer
from gagjax.avatars.portrait.parts import smoothstep
from gagjax.avatars.portrait.zbuffer import Seen
from gagjax.camera import Camera

_SPREAD = 0.8  # pixels: wide enough to close gaps between neighbours at different depths
_LEAST = 0.08  # minimum matte of the layer
_GAP = 6  # pixels between the person and the background samples
_SMOOTH = 0.03  # of the depth, in image widths
_ROOM = 0.3  # beyond the borders, in image widths: how far shoulders may move into the picture
_UNDER = 0.12  # extension of the layer behind the mesh, in image widths


def beside(
    photo: Float[np.ndarray, "H W 3"],
    matte: Float[np.ndarray, "H W"],
    covered: Bool[np.ndarray, "H W"],
    seen: Seen,
    camera: Camera,
    follow: Callable[[Float[np.ndarray, "N 3"]], Float[np.ndarray, "N"]],
) -> Layer | None:
    """A layer of the person's pixels that are not covered by Gaussians on the mesh.

    Its depth is that of the mesh's nearest outline, smoothed, so that hair and clothes are attached to the head.

    Args:
        photo: The photo, display-encoded.
        matte: The person's matte.
        covered: Pixels that have a Gaussian on the mesh.
        seen: The mesh as visible in the photo.
        camera: The photo's camera.
        follow: How far points follow the head, by their positions in head axes, metres.

    Returns:
        The layer; None if it would be empty.
    """
    there = seen.triangles >= 0
    # Only the outermost of the mesh's own pixels: further in, the ground covers them.
    chosen = (matte > _LEAST) & ~covered & ndimage.binary_dilation(~there, iterations=2)
    if not chosen.any() or not there.any():
        return None
    distance, nearest = ndimage.distance_transform_edt(~there, return_indices=True)
    depth = np.where(there, seen.depth, 0)[tuple(nearest)].astype(float)
    smooth = ndimage.gaussian_filter(depth, _SMOOTH * camera.width)
    share = smoothstep(0, 3 * _SMOOTH * camera.width, distance)
    depth = depth + share * (smooth - depth)
    # Behind the mesh: pixels on an outline are mixed.
    depth = depth + np.where(there, 0.01 * UNITS, 0.002 * UNITS)
    layers = [_placed(photo, 0.96 * matte, chosen, depth, camera, _SPREAD)]
    beyond = _beyond(photo, matte, depth, camera)
    if beyond is not None:
        layers.append(beyond)
    # It continues behind the mesh, so that no gap opens when the head turns.
    away, out = ndimage.distance_transform_edt(~(chosen & ~there), return_indices=True)
    grid = np.zeros_like(chosen)
    grid[::2, ::2] = True
    under = there & grid & (away < _UNDER * camera.width) & (matte > 0.5)
    if under.any():
        blurred = ndimage.gaussian_filter(photo * (chosen & ~there)[..., None], (4, 4, 0))
        weight = ndimage.gaussian_filter((chosen & ~there).astype(float), 4)[..., None]
        soft = (blurred / np.maximum(weight, 1e-6))[tuple(out)]
        edge = depth[tuple(out)]
        deep = np.maximum(np.where(there, seen.depth, 0), edge) + 0.005 * UNITS
        layers.append(_placed(soft, 0.9 * np.ones_like(matte), under, deep, camera, 2 * _SPREAD))
    means, factors, opacities, colours = (np.concatenate(parts) for parts in zip(*layers, strict=True))
    return Layer(means, factors, opacities, colours, np.asarray(follow(means.astype(np.float64)), np.float32))


def _beyond(
    photo: Float[np.ndarray, "H W 3"], matte: Float[np.ndarray, "H W"], depth: Float[np.ndarray, "H W"], camera: Camera
) -> tuple[np.ndarray, ...] | None:
    """Continue the layer beyond the lower and the side borders that cut the person off, in every second pixel."""
    room = int(_ROOM * camera.width) // 2 * 2
    wide = [(0, room), (room, room)]
    there = np.pad(np.zeros(matte.shape, bool), wide, constant_values=True)
    there[1::2] = False
    there[:, 1::2] = False
    # What moves in over a side is not above what was there: the person's outline falls towards the sides.
    outside = np.pad(matte, wide, mode="edge")
    chosen = there & (outside > 0.5)
    if not chosen.any():
        return None
    blurred = ndimage.gaussian_filter(photo, (2, 2, 0), mode="nearest")
    colours = np.pad(blurred, [*wide, (0, 0)], mode="edge")
    k = jnp.asarray(camera.K).at[0, 2].add(room)
    larger = dataclasses.replace(camera, K=k, width=camera.width + 2 * room, height=camera.height + room)
    return _placed(colours, 0.96 * outside, chosen, np.pad(depth, wide, mode="edge"), larger, 2 * _SPREAD)


def _placed(
    colours: np.ndarray,
    opacity: np.ndarray,
    chosen: np.ndarray,
    depth: np.ndarray,
    camera: Camera,
    spread: float,
) -> tuple[np.ndarray, ...]:
    """The arrays of a layer for the chosen pixels, all but `follow`."""
    sight = pixels.rays(camera)[chosen]
    facing = np.broadcast_to([0.0, 0.0, -1.0], sight.shape)
    view = np.asarray(camera.viewmat, np.float64)
    root = pixels.footprint(facing, sight, depth[chosen], camera, spread)
    means = (sight * depth[chosen][:, None] - view[:3, 3]) @ view[:3, :3] / UNITS
    values = (means, view[:3, :3].T @ root, opacity[chosen], np.clip(colours[chosen], 0, 1))
    return tuple(np.asarray(value, np.float32) for value in values)


def unmixed(photo: Float[np.ndarray, "H W 3"], matte: Float[np.ndarray, "H W"]) -> Float[np.ndarray, "H W 3"]:
    """The photo with the person's colours extended over the matte's soft edge, where they mix with the background."""
    solid = ndimage.binary_erosion(matte > 0.9, iterations=2, border_value=1)
    if not solid.any():
        return photo
    nearest = ndimage.distance_transform_edt(~solid, return_distances=False, return_indices=True)
    inner = photo[tuple(nearest)]
    return np.where(solid[..., None], photo, inner)


def behind(photo: Float[np.ndarray, "H W 3"], matte: Float[np.ndarray, "H W"]) -> Float[np.ndarray, "H W 3"]:
    """The background, smoothly inpainted behind the person from its surroundings."""
    free = ndimage.binary_erosion(matte < 0.02, iterations=_GAP, border_value=1)
    if not free.any():
        return np.broadcast_to(photo.mean((0, 1)), photo.shape).astype(np.float32)
    out, weight = photo * free[..., None], free.astype(float)
    filled = np.zeros_like(out)
    done = np.zeros(weight.shape)
    # Fine to coarse: a wider blur fills what a narrower one does not reach.
    for width in (1.5, 4, 10, 25, 60, 150, 400):
        blurred = ndimage.gaussian_filter(weight, width, mode="nearest")
        value = (
            np.stack([ndimage.gaussian_filter(out[..., c], width, mode="nearest") for c in range(3)], -1)
            / np.maximum(blurred, 1e-12)[..., None]
        )
        gain = np.clip(blurred / 0.15, 0, 1) * (1 - done)
        filled += gain[..., None] * value
        done += gain
    filled /= np.maximum(done, 1e-9)[..., None]
    return np.where(free[..., None], photo, filled).astype(np.float32)
