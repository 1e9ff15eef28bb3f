"""The rasterizer's semantics, written a second time: float64 NumPy, pixel by pixel, and a tiny JAX version for gradients."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np


def project(means, covariances, viewmat, K, width, height):
    """Centres (N, 2), conics (N, 3), depths (N,), whether drawn (N,)."""
    means, covariances, viewmat, K = (np.asarray(v, np.float64) for v in (means, covariances, viewmat, K))
    fx, fy, cx, cy = K[0, 0], K[1, 1], K[0, 2], K[1, 2]
    drawn = np.isfinite(means).all(1) & np.isfinite(covariances).all((1, 2))
    seen = np.where(drawn[:, None], means, 0) @ viewmat[:3, :3].T + viewmat[:3, 3]
    drawn &= seen[:, 2] > 0.2
    x, y, z = np.where(drawn[:, None], seen, 1).T
    # The Jacobian is taken within 1.3 half fields of view of the picture's middle.
    half_x, half_y = 1.3 * width / 2 / fx, 1.3 * height / 2 / fy
    u = np.clip(x / z, (width / 2 - cx) / fx - half_x, (width / 2 - cx) / fx + half_x)
    v = np.clip(y / z, (height / 2 - cy) / fy - half_y, (height / 2 - cy) / fy + half_y)
    jacobian = np.zeros((len(means), 2, 3))
    jacobian[:, 0, 0], jacobian[:, 0, 2] = fx / z, -fx * u / z
    jacobian[:, 1, 1], jacobian[:, 1, 2] = fy / z, -fy * v / z
    jacobian = jacobian @ viewmat[:3, :3]
    flat = jacobian @ np.where(drawn[:, None, None], covariances, np.eye(3)) @ jacobian.transpose(
        0, 2, 1
    ) + 0.3 * np.eye(2)
    flat = (flat + flat.transpose(0, 2, 1)) / 2
    drawn &= (np.linalg.det(flat) > 0) & (flat[:, 0, 0] > 0)
    inverse = np.linalg.inv(np.where(drawn[:, None, None], flat, np.eye(2)))
    centres = np.stack([fx * x / z + cx, fy * y / z + cy], 1)
    return centres, inverse[:, [0, 0, 1], [0, 1, 1]], seen[:, 2], drawn


def composite(centres, conics, depths, drawn, opacities, features, background, pixels, chunk=1000):
    """Features (P, C) and alpha (P,) at pixels (P, 2) given as (row, column); and how near each is to another picture.

    The last, (P,), is the least relative distance of an alpha to 1/255, or of what a Gaussian leaves of the light to 1e-4,
    where it counts. Where it is of the size of float32 rounding, a float32 program may decide the other way.
    """
    opacities, features = np.minimum(np.asarray(opacities, np.float64), 1), np.asarray(features, np.float64)
    drawn = drawn & np.isfinite(opacities) & np.isfinite(features).all(1)
    order = np.array(sorted(np.flatnonzero(drawn), key=lambda i: (np.float32(depths[i]), i)), int)
    at = np.asarray(pixels, np.float64)[:, ::-1] + 0.5
    out, light, live = np.zeros((len(at), features.shape[1])), np.ones(len(at)), np.ones(len(at), bool)
    margin = np.full(len(at), np.inf)
    for begin in range(0, len(order), chunk):
        part = order[begin : begin + chunk]
        d = at[None] - centres[part, None]
        a, b, c = (conics[part, k, None] for k in range(3))
        alphas = opacities[part, None] * np.exp(
            -0.5 * (a * d[..., 0] ** 2 + 2 * b * d[..., 0] * d[..., 1] + c * d[..., 1] ** 2)
        )
        distances = np.abs(255 * alphas - 1)
        alphas = np.where(alphas < 1 / 255, 0, np.minimum(alphas, 0.99))
        for i, alpha, distance in zip(part, alphas, distances, strict=True):
            margin = np.where(live, np.minimum(margin, distance), margin)
            if not alpha.any():
                continue
            alpha = alpha * live
            after = light * (1 - alpha)
            full = after < 1e-4
            margin = np.where(alpha > 0, np.minimum(margin, np.abs(after / 1e-4 - 1)), margin)
            live &= ~full
            alpha[full] = 0
            out += (light * alpha)[:, None] * features[i]
            light *= 1 - alpha
    return out + light[:, None] * np.asarray(background, np.float64), 1 - light, margin


def rasterize(gaussians, camera, background=None, pixels=None, margins=False):
    """As `bridge.rasterize` in float64; with `pixels`, only at those; with `margins`, see `composite`, as a third."""
    flat = project(gaussians.means, gaussians.covariances, camera.viewmat, camera.K, camera.width, camera.height)
    whole = pixels is None
    if whole:
        pixels = np.stack(np.mgrid[: camera.height, : camera.width], -1).reshape(-1, 2)
    colour = np.zeros(gaussians.features.shape[-1]) if background is None else background
    features, alpha, margin = composite(*flat, gaussians.opacities, gaussians.features, colour, pixels)
    if whole:
        size = camera.height, camera.width
        features, alpha, margin = features.reshape(*size, -1), alpha.reshape(size), margin.reshape(size)
    return (features, alpha, margin) if margins else (features, alpha)


def smooth_composite(centres, conics, order, opacities, features, background, width, height):
    """The compositor in JAX for gradients under x64: fixed order, every Gaussian on every pixel."""
    y, x = jnp.mgrid[:height, :width] + 0.5

    def blend(carry, i):
        out, light, live = carry
        dx, dy = x - centres[i, 0], y - centres[i, 1]
        alpha = opacities[i] * jnp.exp(
            -0.5 * (conics[i, 0] * dx**2 + 2 * conics[i, 1] * dx * dy + conics[i, 2] * dy**2)
        )
        alpha = jnp.where((alpha < 1 / 255) | ~live, 0, jnp.minimum(alpha, 0.99))
        full = light * (1 - alpha) < 1e-4
        alpha = jnp.where(full, 0, alpha)
        return (out + (light * alpha)[..., None] * features[i], light * (1 - alpha), live & ~full), None

    start = (jnp.zeros((height, width, features.shape[1])), jnp.ones((height, width)), jnp.ones((height, width), bool))
    (out, light, _), _ = jax.lax.scan(blend, start, jnp.asarray(order))
    return out + light[..., None] * background, 1 - light
