"""Numba kernels of the CPU rasterizer: tile lists, front-to-back compositing, and its analytic backward pass.

A tile is TILE x TILE pixels. Every Gaussian is listed in the tiles that the bounding box of its exact 1/255 ellipse
touches; a list entry is a *pair*. Pairs are numbered Gaussian by Gaussian, so that the gradients of one Gaussian are
contiguous and summed in a fixed order: results do not depend on the number of threads.

Inside a tile, the weights of a run of Gaussians are computed row by row (in loops that the compiler vectorises), and
features are blended by one matrix product per run.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit, prange

TILE = 16
PIXELS = TILE * TILE
RUN = 48  # Gaussians per matrix product

ALPHA_MAX = np.float32(0.99)
ALPHA_MIN = np.float32(1 / 255)
LIGHT_MIN = np.float32(1e-4)
ONE, ZERO, HALF = np.float32(1), np.float32(0), np.float32(0.5)

# exp(-s) for 0 <= s <= 6 as p(s / 8)^8: a polynomial vectorises where a library call does not.
_S_MAX = np.float32(6.0)
_POLYNOMIAL = tuple(
    np.float32(c)
    for c in np.polynomial.Chebyshev.interpolate(lambda u: np.exp(-u), 8, domain=(0, 0.75))
    .convert(kind=np.polynomial.Polynomial)
    .coef
)
C0, C1, C2, C3, C4, C5, C6, C7, C8 = _POLYNOMIAL
EIGHTH = np.float32(1 / 8)

# Fused multiply-adds and reordered sums let loops vectorise; NaN and infinity keep their semantics.
_FAST = {"contract", "reassoc", "nsz"}
FEW = 8  # up to this many channels, blending them one by one is faster than a matrix product


@njit(inline="always")
def _exp_minus(s):
    u = min(max(s, ZERO), _S_MAX) * EIGHTH
    p = C0 + u * (C1 + u * (C2 + u * (C3 + u * (C4 + u * (C5 + u * (C6 + u * (C7 + u * C8)))))))
    p = p * p
    p = p * p
    return p * p


@njit(cache=True)
def boxes(order, centres, conics, opacities, width, height):
    """Half-open pixel boxes (x0, x1, y0, y1) in which a Gaussian's alpha can reach 1/255; empty boxes are all zero."""
    out = np.zeros((order.shape[0], 4), np.int32)
    for i in range(order.shape[0]):
        g = order[i]
        o = opacities[g]
        if not o > ALPHA_MIN:
            continue
        a, b, c = float(conics[g, 0]), float(conics[g, 1]), float(conics[g, 2])
        determinant = a * c - b * b
        if not determinant > 0.0:
            continue
        reach = 2.0 * math.log(255.0 * min(float(o), 1e6)) * (1.0 + 1e-5)
        dx, dy = math.sqrt(reach * c / determinant), math.sqrt(reach * a / determinant)
        x, y = float(centres[g, 0]), float(centres[g, 1])
        # Pixel j has its centre at j + 0.5.
        x0 = max(0.0, math.ceil(x - dx - 0.5 - 1e-3))
        x1 = min(float(width), math.floor(x + dx - 0.5 + 1e-3) + 1.0)
        y0 = max(0.0, math.ceil(y - dy - 0.5 - 1e-3))
        y1 = min(float(height), math.floor(y + dy - 0.5 + 1e-3) + 1.0)
        if x0 < x1 and y0 < y1:
            out[i, 0], out[i, 1], out[i, 2], out[i, 3] = int(x0), int(x1), int(y0), int(y1)
    return out


@njit(cache=True)
def bin_pairs(box, tiles_x, tiles_y):
    """Tile lists in depth order.

    Returns: first pair of each Gaussian (n + 1), start of each tile's list (tiles + 1), and per list entry the position
    of its Gaussian in depth order and its pair number.
    """
    n = box.shape[0]
    first = np.zeros(n + 1, np.int64)
    count = np.zeros(tiles_x * tiles_y, np.int64)
    for i in range(n):
        x0, x1, y0, y1 = box[i]
        pairs = 0
        if x1 > x0:
            tx0, tx1 = x0 // TILE, (x1 - 1) // TILE
            ty0, ty1 = y0 // TILE, (y1 - 1) // TILE
            pairs = (tx1 - tx0 + 1) * (ty1 - ty0 + 1)
            for ty in range(ty0, ty1 + 1):
                for tx in range(tx0, tx1 + 1):
                    count[ty * tiles_x + tx] += 1
        first[i + 1] = first[i] + pairs
    start = np.zeros(count.shape[0] + 1, np.int64)
    for t in range(count.shape[0]):
        start[t + 1] = start[t] + count[t]
    fill = start[:-1].copy()
    position = np.empty(first[n], np.int32)
    pair = np.empty(first[n], np.int32)
    for i in range(n):
        x0, x1, y0, y1 = box[i]
        if x1 > x0:
            number = first[i]
            for ty in range(y0 // TILE, (y1 - 1) // TILE + 1):
                for tx in range(x0 // TILE, (x1 - 1) // TILE + 1):
                    at = fill[ty * tiles_x + tx]
                    position[at] = i
                    pair[at] = number
                    fill[ty * tiles_x + tx] = at + 1
                    number += 1
    return first, start, position, pair


@njit(cache=True)
def _tile_grid():
    """x and y of the pixel centres of a tile, relative to its corner."""
    x, y = np.empty(PIXELS, np.float32), np.empty(PIXELS, np.float32)
    for p in range(PIXELS):
        x[p], y[p] = np.float32(p % TILE) + HALF, np.float32(p // TILE) + HALF
    return x, y


@njit(cache=True, fastmath=_FAST)
def _weigh(grid_x, grid_y, gx, gy, a, b, c, o, light, weight):
    """Blending weights of one Gaussian on a run of pixels; updates the transmittance.

    The transmittance of a finished pixel is stored negated: one array holds both the remaining light and the flag.
    """
    for p in range(light.shape[0]):
        dx, dy = grid_x[p] - gx, grid_y[p] - gy
        s = HALF * (a * dx * dx + c * dy * dy) + b * dx * dy
        value = min(o * _exp_minus(s), ALPHA_MAX)
        before = light[p]
        value = value if (value >= ALPHA_MIN) & (before > ZERO) else ZERO
        taken = before * value
        after = before - taken
        full = (after < LIGHT_MIN) & (before > ZERO)
        weight[p] = ZERO if full else taken
        light[p] = -before if full else after


@njit(cache=True, fastmath=_FAST)
def _weigh_and_keep(grid_x, grid_y, gx, gy, a, b, c, o, light, weight, alpha):
    """Like `_weigh`, but keeps the alphas for the backward pass."""
    for p in range(light.shape[0]):
        dx, dy = grid_x[p] - gx, grid_y[p] - gy
        s = HALF * (a * dx * dx + c * dy * dy) + b * dx * dy
        value = min(o * _exp_minus(s), ALPHA_MAX)
        before = light[p]
        value = value if (value >= ALPHA_MIN) & (before > ZERO) else ZERO
        taken = before * value
        after = before - taken
        full = (after < LIGHT_MIN) & (before > ZERO)
        weight[p] = ZERO if full else taken
        alpha[p] = ZERO if full else value
        light[p] = -before if full else after


@njit(cache=True, fastmath=_FAST)
def _add_scaled(total, weight, factor):
    for p in range(total.shape[0]):
        total[p] += factor * weight[p]


@njit(cache=True, fastmath=_FAST)
def _any_live(light):
    most = light[0]
    for p in range(light.shape[0]):
        most = max(most, light[p])
    return most > ZERO


@njit(parallel=True, cache=True)
def composite(threads, tiles, start, position, box, geometry, features, background, picture, light_left):
    """Front-to-back compositing.

    `tiles` lists tiles by decreasing work; thread k takes every `threads`-th. `geometry` is (n, 6): centre, conic,
    opacity; `features` (n, C), both in depth order. Writes `picture` (H, W, C) and `light_left` (H, W).
    """
    height, width, channels = picture.shape
    tiles_x = (width + TILE - 1) // TILE
    for thread in prange(threads):
        grid_x, grid_y = _tile_grid()
        light = np.empty(PIXELS, np.float32)
        weight = np.empty((RUN, PIXELS), np.float32)
        mixed = np.empty((channels, PIXELS), np.float32)
        part = np.empty((channels, PIXELS), np.float32)
        run_features = np.empty((RUN, channels), np.float32)
        for k in range(thread, tiles.shape[0], threads):
            tile = tiles[k]
            x_tile, y_tile = (tile % tiles_x) * TILE, (tile // tiles_x) * TILE
            light[:] = ONE
            mixed[:] = ZERO
            at = start[tile]
            while at < start[tile + 1]:
                size = min(RUN, start[tile + 1] - at)
                for j in range(size):
                    i = position[at + j]
                    p0 = max(box[i, 2] - y_tile, 0) * TILE
                    p1 = min(box[i, 3] - y_tile, TILE) * TILE
                    if channels > FEW:
                        weight[j, :p0] = ZERO
                        weight[j, p1:] = ZERO
                        run_features[j] = features[i]
                    _weigh(
                        grid_x[p0:p1],
                        grid_y[p0:p1],
                        geometry[i, 0] - np.float32(x_tile),
                        geometry[i, 1] - np.float32(y_tile),
                        geometry[i, 2],
                        geometry[i, 3],
                        geometry[i, 4],
                        geometry[i, 5],
                        light[p0:p1],
                        weight[j, p0:p1],
                    )
                    if channels <= FEW:
                        for c in range(channels):
                            _add_scaled(mixed[c, p0:p1], weight[j, p0:p1], features[i, c])
                if channels > FEW:
                    np.dot(run_features[:size].T, weight[:size], part)
                    mixed += part
                at += size
                if not _any_live(light):
                    break
            for y in range(min(TILE, height - y_tile)):
                for x in range(min(TILE, width - x_tile)):
                    p = y * TILE + x
                    left = abs(light[p])
                    light_left[y_tile + y, x_tile + x] = left
                    for c in range(channels):
                        picture[y_tile + y, x_tile + x, c] = mixed[c, p] + left * background[c]


@njit(parallel=True, cache=True)
def composite_backward(
    threads,
    tiles,
    start,
    position,
    pair,
    box,
    geometry,
    features,
    background,
    g_picture,
    g_light,
    pair_grads,
    light_left,
):
    """Gradients per pair: centre (2), conic (3), opacity (1), features (C), written to `pair_grads` (pairs, 6 + C).

    `pair_grads` must be zero. A tile is composited again, keeping its weights and alphas, then traversed back to front
    with a true suffix sum of the contributions behind each Gaussian, which avoids differences of large numbers.
    `g_light` is the gradient with respect to the remaining transmittance, without the background's contribution; that
    transmittance is written to `light_left`.
    """
    height, width, channels = g_picture.shape
    tiles_x = (width + TILE - 1) // TILE
    longest = 1
    for t in range(tiles.shape[0]):
        longest = max(longest, start[tiles[t] + 1] - start[tiles[t]])
    for thread in prange(threads):
        grid_x, grid_y = _tile_grid()
        light = np.empty(PIXELS, np.float32)
        weight = np.empty((longest, PIXELS), np.float32)
        alpha = np.empty((longest, PIXELS), np.float32)
        upstream = np.zeros((channels, PIXELS), np.float32)
        behind = np.empty(PIXELS, np.float32)
        run_features = np.empty((RUN, channels), np.float32)
        shade = np.empty((RUN, PIXELS), np.float32)
        mixed = np.empty((RUN, channels), np.float32)
        for k in range(thread, tiles.shape[0], threads):
            tile = tiles[k]
            x_tile, y_tile = (tile % tiles_x) * TILE, (tile // tiles_x) * TILE
            light[:] = ONE
            begin, count = start[tile], 0
            while begin + count < start[tile + 1]:
                i = position[begin + count]
                p0 = max(box[i, 2] - y_tile, 0) * TILE
                p1 = min(box[i, 3] - y_tile, TILE) * TILE
                weight[count, :p0] = ZERO
                weight[count, p1:] = ZERO
                _weigh_and_keep(
                    grid_x[p0:p1],
                    grid_y[p0:p1],
                    geometry[i, 0] - np.float32(x_tile),
                    geometry[i, 1] - np.float32(y_tile),
                    geometry[i, 2],
                    geometry[i, 3],
                    geometry[i, 4],
                    geometry[i, 5],
                    light[p0:p1],
                    weight[count, p0:p1],
                    alpha[count, p0:p1],
                )
                count += 1
                if count % RUN == 0 and not _any_live(light):
                    break
            upstream[:] = ZERO
            behind[:] = ZERO
            for y in range(min(TILE, height - y_tile)):
                for x in range(min(TILE, width - x_tile)):
                    p = y * TILE + x
                    left = abs(light[p])
                    light_left[y_tile + y, x_tile + x] = left
                    total = g_light[y_tile + y, x_tile + x]
                    for c in range(channels):
                        upstream[c, p] = g_picture[y_tile + y, x_tile + x, c]
                        total += upstream[c, p] * background[c]
                    behind[p] = left * total
            end = count
            while end > 0:
                size = min(RUN, end)
                base = end - size
                for j in range(size):
                    run_features[j] = features[position[begin + base + j]]
                np.dot(run_features[:size], upstream, shade[:size])
                np.dot(weight[base:end], upstream.T, mixed[:size])
                for j in range(size - 1, -1, -1):
                    entry = begin + base + j
                    i = position[entry]
                    p0 = max(box[i, 2] - y_tile, 0) * TILE
                    p1 = min(box[i, 3] - y_tile, TILE) * TILE
                    out = pair_grads[pair[entry]]
                    _pull(
                        grid_x[p0:p1],
                        grid_y[p0:p1],
                        geometry[i, 0] - np.float32(x_tile),
                        geometry[i, 1] - np.float32(y_tile),
                        weight[base + j, p0:p1],
                        alpha[base + j, p0:p1],
                        shade[j, p0:p1],
                        behind[p0:p1],
                        out,
                    )
                    a, b, c, o = geometry[i, 2], geometry[i, 3], geometry[i, 4], geometry[i, 5]
                    sum_x, sum_y = out[0], out[1]
                    out[0] = -(a * sum_x + b * sum_y)
                    out[1] = -(b * sum_x + c * sum_y)
                    out[5] /= o
                    for ch in range(channels):
                        out[6 + ch] = mixed[j, ch]
                end = base


@njit(cache=True, fastmath=_FAST, error_model="numpy")
def _pull(grid_x, grid_y, gx, gy, weight, alpha, shade, behind, out):
    """Sums over pixels of the gradient in the exponent and its moments; adds the Gaussian to the suffix sum.

    Writes to `out`: sum of fall dx, fall dy, fall dx^2 / 2, fall dx dy, fall dy^2 / 2, and gradient in alpha times
    alpha; fall is the gradient in the exponent.
    """
    sum_x, sum_y, sum_xx, sum_xy, sum_yy, sum_o = ZERO, ZERO, ZERO, ZERO, ZERO, ZERO
    for p in range(weight.shape[0]):
        dx, dy = grid_x[p] - gx, grid_y[p] - gy
        value, taken, colour = alpha[p], weight[p], shade[p]
        # At the cap, alpha is independent of the Gaussian; where alpha is zero, so are the weight and all gradients.
        rest = ONE - value
        pull = taken * colour - value * behind[p] / rest
        pull = pull if (value > ZERO) & (value < ALPHA_MAX) else ZERO
        behind[p] += taken * colour
        sum_o += pull
        sum_x += pull * dx
        sum_y += pull * dy
        sum_xx += pull * dx * dx
        sum_xy += pull * dx * dy
        sum_yy += pull * dy * dy
    out[0], out[1] = -sum_x, -sum_y
    out[2], out[3], out[4] = -HALF * sum_xx, -sum_xy, -HALF * sum_yy
    out[5] = sum_o


@njit(parallel=True, cache=True)
def gather(order, first, pair_grads, centres, conics, opacities, features):
    """Add the pairs of every Gaussian, in their order, to the gradients of its centre, conic, opacity and features."""
    for i in prange(order.shape[0]):
        g = order[i]
        for p in range(first[i], first[i + 1]):
            row = pair_grads[p]
            for c in range(2):
                centres[g, c] += row[c]
            for c in range(3):
                conics[g, c] += row[2 + c]
            opacities[g] += row[5]
            for c in range(features.shape[1]):
                features[g, c] += row[6 + c]
