"""Optical flow between frames, without a network: iterative Lucas-Kanade on a pyramid, and where it can be trusted."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float
from scipy import ndimage

from gagjax.typing import AnyArray

_WINDOW, _ROUNDS = 3.0, 4  # sigma of the window in pixels; refinements per level
_COARSEST = 24  # pixels of the smaller side below which no further level is made
_AGREE = 1.0  # pixels by which the way there and back may differ


def optical_flow(now: Float[AnyArray, "H W"], before: Float[AnyArray, "H W"]) -> Float[np.ndarray, "H W 2"]:
    """Where each pixel of a frame was in the frame before, relative (x, y) in pixels.

    Good for motions of some pixels of textured pictures, as of faces from one frame to the next; flat areas keep the
    motion of their surroundings only as far as the window reaches.

    Args:
        now: Grey values.
        before: Those of the frame before.

    Returns:
        The flow, (H, W, 2).

    Source: Lucas and Kanade, An iterative image registration technique, IJCAI 1981; the pyramid as in Bouguet, 2001.
    """
    pyramid = [(np.asarray(now, np.float32), np.asarray(before, np.float32))]
    while min(pyramid[-1][0].shape) >= 2 * _COARSEST:
        pyramid.append((_half(pyramid[-1][0]), _half(pyramid[-1][1])))
    flow = np.zeros((*pyramid[-1][0].shape, 2), np.float32)
    for x, y in reversed(pyramid):
        if flow.shape[:2] != x.shape:
            factors = [a / b for a, b in zip(x.shape, flow.shape[:2], strict=True)]
            flow = np.stack(
                [ndimage.zoom(2 * flow[..., k], factors, order=1, grid_mode=True, mode="nearest") for k in (0, 1)], -1
            )
        flow = _refined(x, y, flow)
    return flow


def trusted(there: Float[np.ndarray, "H W 2"], back: Float[np.ndarray, "H W 2"]) -> Bool[np.ndarray, "H W"]:
    """Where a flow and the one in the opposite direction agree: not hidden in either frame.

    Args:
        there: From `optical_flow(now, before)`.
        back: From `optical_flow(before, now)`.

    Returns:
        True where the way there and back ends within a pixel of its start, inside the picture.
    """
    rows, columns = np.mgrid[: there.shape[0], : there.shape[1]]
    y, x = rows + there[..., 1], columns + there[..., 0]
    again = np.stack([ndimage.map_coordinates(back[..., k], [y, x], order=1, mode="nearest") for k in (0, 1)], -1)
    inside = (x >= 0) & (y >= 0) & (x <= there.shape[1] - 1) & (y <= there.shape[0] - 1)
    return inside & (np.linalg.norm(there + again, axis=-1) < _AGREE)


def _refined(now: np.ndarray, before: np.ndarray, flow: np.ndarray) -> np.ndarray:
    rows, columns = np.mgrid[: now.shape[0], : now.shape[1]].astype(np.float32)
    for _ in range(_ROUNDS):
        place = [rows + flow[..., 1], columns + flow[..., 0]]
        moved = ndimage.map_coordinates(before, place, order=1, mode="nearest")
        gy, gx = np.gradient(moved)
        error = now - moved
        xx, xy, yy, ex, ey = (
            ndimage.gaussian_filter(each, _WINDOW) for each in (gx * gx, gx * gy, gy * gy, gx * error, gy * error)
        )
        floor = 1e-5 + 1e-2 * (xx + yy).mean()  # flat places do not move by themselves
        xx, yy = xx + floor, yy + floor
        det = xx * yy - xy * xy
        step = np.stack([(yy * ex - xy * ey) / det, (xx * ey - xy * ex) / det], -1)
        flow = flow + np.clip(step, -2, 2)
    return np.stack([ndimage.gaussian_filter(flow[..., k], 1.0) for k in (0, 1)], -1)


def _half(x: np.ndarray) -> np.ndarray:
    x = ndimage.gaussian_filter(x, 1.0)
    height, width = (n // 2 * 2 for n in x.shape)
    x = x[:height, :width]
    return 0.25 * (x[::2, ::2] + x[1::2, ::2] + x[::2, 1::2] + x[1::2, 1::2])
