"""Numba kernels of the CPU rasterizer: tile lists, front-to-back compositing, and its analytic backward pass.

A tile is TILE x TILE pixels. Every Gaussian is entered in the tiles that its exact 1/255 ellipse box touches; an entry is
a *pair*. Pairs are numbered Gaussian by Gaussian, so that the gradients of one Gaussian lie side by side and are summed
in a fixed order: results do not depend on the number of threads.

Inside a tile, weights of a run of Gaussians are computed row by row (loops that the compiler vectorises), and features
are mixed by one matrix product per run.
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


@njit(inline="always")
def _exp_minus(s):
    u = min(max(s, ZERO), _S_MAX) * EIGHTH
    p = C0 + u * (C1 + u * (C2 + u * (C3 + u * (C4 + u * (C5 + u * (C6 + u * (C7 + u * C8)))))))
    p = p * p
    p = p * p
    return p * p


@njit(cache=True)
def boxes(order, centres, conics, opacities, width, height):
    """Pixel boxes (x0, x1, y0, y1), half open, in which a Gaussian's alpha can reach 1/255; empty ones are all zero."""
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


@njit(inline="always")
def _weigh(i, box, geometry, x_tile, y_tile, light, live, weight, alpha):
    """Alpha and blending weight of one Gaussian on the pixels of a tile; returns whether any pixel is still live.

    `light` is the transmittance so far; `live` is 1 until a pixel is full.
    """
    gx, gy, a, b, c, o = geometry[i]
    x0, x1 = max(box[i, 0] - x_tile, 0), min(box[i, 1] - x_tile, TILE)
    y0, y1 = max(box[i, 2] - y_tile, 0), min(box[i, 3] - y_tile, TILE)
    for y in range(y0, y1):
        dy = np.float32(y_tile + y) + HALF - gy
        cross, square = b * dy, HALF * c * dy * dy
        row_l, row_v = light[y * TILE : y * TILE + TILE], live[y * TILE : y * TILE + TILE]
        row_w, row_a = weight[y * TILE : y * TILE + TILE], alpha[y * TILE : y * TILE + TILE]
        for x in range(x0, x1):
            dx = np.float32(x_tile + x) + HALF - gx
            s = (HALF * a * dx + cross) * dx + square
            value = min(o * _exp_minus(s), ALPHA_MAX)
            value = value * row_v[x] if value >= ALPHA_MIN else ZERO
            before = row_l[x]
            after = before - before * value
            full = after < LIGHT_MIN
            row_v[x] = ZERO if full else row_v[x]
            value = ZERO if full else value
            row_a[x] = value
            row_w[x] = value * before
            row_l[x] = before - before * value


@njit(parallel=True, cache=True)
def composite(threads, tiles, start, position, box, geometry, features, background, picture, light_left):
    """Front-to-back compositing.

    `tiles` lists tiles with the most work first; thread k takes every `threads`-th. `geometry` is (n, 6): centre, conic,
    opacity; `features` (n, C), both in depth order. Writes `picture` (H, W, C) and `light_left` (H, W).
    """
    height, width, channels = picture.shape
    tiles_x = (width + TILE - 1) // TILE
    for thread in prange(threads):
        light, live = np.empty(PIXELS, np.float32), np.empty(PIXELS, np.float32)
        weight, alpha = np.empty((RUN, PIXELS), np.float32), np.empty(PIXELS, np.float32)
        mixed = np.empty((PIXELS, channels), np.float32)
        part = np.empty((PIXELS, channels), np.float32)
        run_features = np.empty((RUN, channels), np.float32)
        for k in range(thread, tiles.shape[0], threads):
            tile = tiles[k]
            x_tile, y_tile = (tile % tiles_x) * TILE, (tile // tiles_x) * TILE
            light[:] = ONE
            live[:] = ONE
            mixed[:] = ZERO
            at = start[tile]
            while at < start[tile + 1]:
                size = min(RUN, start[tile + 1] - at)
                weight[:size] = ZERO
                for j in range(size):
                    i = position[at + j]
                    _weigh(i, box, geometry, x_tile, y_tile, light, live, weight[j], alpha)
                    run_features[j] = features[i]
                np.dot(weight[:size].T, run_features[:size], part)
                mixed += part
                at += size
                if live.sum() == ZERO:
                    break
            for y in range(min(TILE, height - y_tile)):
                for x in range(min(TILE, width - x_tile)):
                    p = y * TILE + x
                    light_left[y_tile + y, x_tile + x] = light[p]
                    for c in range(channels):
                        picture[y_tile + y, x_tile + x, c] = mixed[p, c] + light[p] * background[c]


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
    """Gradients per pair: centre (2), conic (3), opacity (1), features (C), written to `pair_grads` (pairs, 6 + C),
    which must be zero; and the transmittance left, to `light_left`.

    A tile is composited again, its weights and transmittances kept; then it is walked back to front with a true suffix
    sum of what lies behind each Gaussian, so nothing is found as a difference of two large numbers. `g_light` is the
    gradient of the transmittance that is left, without the background's share.
    """
    height, width, channels = g_picture.shape
    tiles_x = (width + TILE - 1) // TILE
    longest = 0
    for t in range(tiles.shape[0]):
        longest = max(longest, start[tiles[t] + 1] - start[tiles[t]])
    for thread in prange(threads):
        light, live = np.empty(PIXELS, np.float32), np.empty(PIXELS, np.float32)
        weight = np.empty((longest, PIXELS), np.float32)
        alpha = np.empty((longest, PIXELS), np.float32)
        upstream = np.zeros((PIXELS, channels), np.float32)
        behind = np.empty(PIXELS, np.float32)
        run_features = np.empty((RUN, channels), np.float32)
        shade = np.empty((RUN, PIXELS), np.float32)
        mixed = np.empty((RUN, channels), np.float32)
        for k in range(thread, tiles.shape[0], threads):
            tile = tiles[k]
            x_tile, y_tile = (tile % tiles_x) * TILE, (tile // tiles_x) * TILE
            light[:] = ONE
            live[:] = ONE
            begin, count = start[tile], 0
            while begin + count < start[tile + 1]:
                weight[count] = ZERO
                alpha[count] = ZERO
                _weigh(position[begin + count], box, geometry, x_tile, y_tile, light, live, weight[count], alpha[count])
                count += 1
                if count % RUN == 0 and live.sum() == ZERO:
                    break
            upstream[:] = ZERO
            behind[:] = ZERO
            for y in range(min(TILE, height - y_tile)):
                for x in range(min(TILE, width - x_tile)):
                    p = y * TILE + x
                    light_left[y_tile + y, x_tile + x] = light[p]
                    total = g_light[y_tile + y, x_tile + x]
                    for c in range(channels):
                        upstream[p, c] = g_picture[y_tile + y, x_tile + x, c]
                        total += upstream[p, c] * background[c]
                    behind[p] = light[p] * total
            end = count
            while end > 0:
                size = min(RUN, end)
                base = end - size
                for j in range(size):
                    run_features[j] = features[position[begin + base + j]]
                np.dot(run_features[:size], upstream.T, shade[:size])
                np.dot(weight[base:end], upstream, mixed[:size])
                for j in range(size - 1, -1, -1):
                    entry = begin + base + j
                    i = position[entry]
                    _pull(
                        i,
                        box,
                        geometry,
                        x_tile,
                        y_tile,
                        weight[base + j],
                        alpha[base + j],
                        shade[j],
                        behind,
                        pair_grads[pair[entry]],
                    )
                    for c in range(channels):
                        pair_grads[pair[entry], 6 + c] = mixed[j, c]
                end = base


@njit(inline="always")
def _pull(i, box, geometry, x_tile, y_tile, weight, alpha, shade, behind, out):
    """Gradients of one Gaussian on one tile; moves it into what lies behind the next one in front."""
    gx, gy, a, b, c, o = geometry[i]
    x0, x1 = max(box[i, 0] - x_tile, 0), min(box[i, 1] - x_tile, TILE)
    y0, y1 = max(box[i, 2] - y_tile, 0), min(box[i, 3] - y_tile, TILE)
    sum_x, sum_y, sum_xx, sum_xy, sum_yy, sum_o = ZERO, ZERO, ZERO, ZERO, ZERO, ZERO
    for y in range(y0, y1):
        dy = np.float32(y_tile + y) + HALF - gy
        row = y * TILE
        row_x, row_xx, row_1, row_o = ZERO, ZERO, ZERO, ZERO
        row_w, row_a = weight[row : row + TILE], alpha[row : row + TILE]
        row_s, row_b = shade[row : row + TILE], behind[row : row + TILE]
        for x in range(x0, x1):
            dx = np.float32(x_tile + x) + HALF - gx
            value = row_a[x]
            used = value > ZERO
            safe = value if used else HALF
            before = row_w[x] / safe
            g_alpha = before * row_s[x] - row_b[x] / (ONE - safe)
            row_b[x] += row_w[x] * row_s[x]
            # At the cap, alpha does not follow the Gaussian.
            g_alpha = g_alpha if used and value < ALPHA_MAX else ZERO
            fall = -g_alpha * value  # d loss / d exponent
            row_o += g_alpha * value
            row_1 += fall
            row_x += fall * dx
            row_xx += fall * dx * dx
        sum_o += row_o
        sum_x += row_x
        sum_y += row_1 * dy
        sum_xx += row_xx
        sum_xy += row_x * dy
        sum_yy += row_1 * dy * dy
    out[0] = -(a * sum_x + b * sum_y)
    out[1] = -(b * sum_x + c * sum_y)
    out[2] = HALF * sum_xx
    out[3] = sum_xy
    out[4] = HALF * sum_yy
    out[5] = sum_o / o


@njit(parallel=True, cache=True)
def gather(order, first, pair_grads, out):
    """Sum the pairs of every Gaussian, in their order; `out` (N, 6 + C) is zero where a Gaussian is not drawn."""
    for i in prange(order.shape[0]):
        g = order[i]
        for p in range(first[i], first[i + 1]):
            for c in range(out.shape[1]):
                out[g, c] += pair_grads[p, c]
