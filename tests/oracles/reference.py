"""The published formulas of the original enhancements in float64 NumPy, one frame and one pixel window at a time."""

from __future__ import annotations

import numpy as np


def ema_kalman(xs, alpha=0.5, q=1e-3, r=1e-2):
    """The document's cascade: the average feeds on itself; the Kalman mean starts at frame 0 with variance 1."""
    average, mean, variance, ys = xs[0], xs[0], 1.0, [xs[0]]
    for x in xs[1:]:
        average = alpha * x + (1 - alpha) * average
        predicted = variance + q
        gain = predicted / (predicted + r)
        mean = mean + gain * (average - mean)
        variance = (1 - gain) * predicted
        ys.append(mean)
    return np.stack(ys)


def rigid(xs, alpha=0.5):
    """Exact slerp about the axis of the relative rotation, linear translation."""
    from scipy.spatial.transform import Rotation

    rotation, translation, ys = Rotation.from_matrix(xs[0][:, :3]), xs[0][:, 3], [xs[0]]
    for x in xs[1:]:
        step = (rotation.inv() * Rotation.from_matrix(x[:, :3])).as_rotvec()
        rotation = rotation * Rotation.from_rotvec(alpha * step)
        translation = alpha * x[:, 3] + (1 - alpha) * translation
        ys.append(np.concatenate([rotation.as_matrix(), translation[:, None]], 1))
    return np.stack(ys)


def expression(x):
    y = x.copy()
    for (start, stop), factor in {
        (20, 30): 0.9,
        (30, 50): 0.7,
        (50, 60): 0.85,
        (60, 70): 0.95,
        (70, 100): 0.8,
    }.items():
        y[..., start:stop] *= factor
    return 0.8 * y + 0.2 * x


def gaze(eyes, target, strength=0.7):
    unit = target / np.linalg.norm(target, axis=-1, keepdims=True)
    pitch, yaw = np.arcsin(unit[..., 1]), np.arctan2(unit[..., 0], unit[..., 2])
    zero = np.zeros_like(pitch)
    return eyes + strength * np.stack([pitch, yaw, zero, pitch, -yaw, zero], -1)


def halve(x):
    """Triangle filter of half-width 2 at scale 0.5, weights outside dropped and the rest renormalised; (H, W, C)."""
    for axis in (0, 1):
        size = x.shape[axis]
        rows = []
        for i in range(size // 2):
            at = np.arange(size) + 0.5
            weight = np.maximum(1 - np.abs(at - (2 * i + 1)) / 2, 0)
            rows.append(np.tensordot(weight / weight.sum(), x, ([0], [axis])))
        x = np.stack(rows, axis)
    return x


def enlarge(x, height, width):
    """Bilinear with half-pixel centres to a given size; (h, w, C)."""
    for axis, size in ((0, height), (1, width)):
        small = x.shape[axis]
        at = np.clip((np.arange(size) + 0.5) * small / size - 0.5, 0, small - 1)
        first = np.floor(at).astype(int)
        shape = [1, 1, 1]
        shape[axis] = size
        weight = (at - first).reshape(shape)
        x = np.take(x, first, axis) * (1 - weight) + np.take(x, np.minimum(first + 1, small - 1), axis) * weight
    return x


def correlate(x, kernel):
    """Zero-padded cross-correlation; x (H, W, I), kernel (k, k, I, O)."""
    size = kernel.shape[0]
    reach = size // 2
    padded = np.pad(x, ((reach, reach), (reach, reach), (0, 0)))
    return sum(padded[i : i + x.shape[0], j : j + x.shape[1]] @ kernel[i, j] for i in range(size) for j in range(size))


def network(layers, x):
    for index, (kernel, bias) in enumerate(layers):
        x = correlate(x, kernel.astype(np.float64)) + bias
        if index + 1 < len(layers):
            x = np.maximum(x, 0)
    return x


def sobel_magnitude(x):
    grey = (x @ np.array([0.299, 0.587, 0.114]))[..., None]
    kernel = np.array([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]])
    gx = correlate(grey, kernel[..., None, None])
    gy = correlate(grey, kernel.T[..., None, None])
    return np.sqrt(gx**2 + gy**2)


def detail(image, attention, strength=1.0):
    """The document's enhancer of one image (H, W, 3)."""
    levels, bands = [image.astype(np.float64)], []
    for _ in attention:
        levels.append(halve(levels[-1]))
        bands.append(levels[-2] - enlarge(levels[-1], *levels[-2].shape[:2]))
    out = levels[-1]
    for band, layers in list(zip(bands, attention, strict=True))[::-1]:
        weight = 1 / (1 + np.exp(-network(layers, band)))
        gain = 1 + 0.3 * strength * weight * (1 + sobel_magnitude(band))
        out = np.clip(band * gain, -1, 1) + enlarge(out, *band.shape[:2])
    return np.clip(out, 0, 1)


def eyes(image, layers, mask):
    better = np.clip(image + network(layers, image.astype(np.float64)), 0, 1)
    return image * (1 - mask[..., None]) + better * mask[..., None]
