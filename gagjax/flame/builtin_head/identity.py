"""Who a built-in head is: shape coefficients and colours from a seed."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from gagjax.flame.builtin_head.mesh import PARTS, Mesh
from gagjax.flame.builtin_head.sculpt import EYE, MOUTH_HALF_WIDTH, MOUTH_Y, lower_lip_edge, smoothstep, upper_lip_edge

SKINS = np.array(
    [
        [0.85, 0.64, 0.54],
        [0.76, 0.54, 0.42],
        [0.62, 0.42, 0.31],
        [0.47, 0.30, 0.22],
        [0.34, 0.21, 0.15],
        [0.90, 0.72, 0.64],
    ]
)
IRISES = np.array([[0.27, 0.42, 0.58], [0.33, 0.22, 0.12], [0.30, 0.40, 0.24], [0.22, 0.14, 0.08], [0.42, 0.47, 0.50]])
HAIRS = np.array([[0.20, 0.13, 0.08], [0.07, 0.05, 0.045], [0.42, 0.27, 0.13], [0.55, 0.42, 0.24], [0.33, 0.13, 0.06]])


class Palette(NamedTuple):
    """Albedo colours of one identity, RGB in [0, 1]."""

    skin: np.ndarray
    lips: np.ndarray
    iris: np.ndarray
    hair: np.ndarray


def palette(seed: int = 0) -> Palette:
    """Colours of an identity; seed 0 is light brown hair and blue-grey eyes."""
    if seed == 0:
        skin, iris, hair = SKINS[0], IRISES[0], HAIRS[0]
    else:
        rng = np.random.default_rng([seed, 2])
        low, high = rng.integers(0, len(SKINS), 2)
        skin = SKINS[low] + rng.uniform(0, 0.5) * (SKINS[high] - SKINS[low])
        dark = skin.mean() < 0.4
        iris = IRISES[rng.choice([1, 3])] if dark else IRISES[rng.integers(len(IRISES))]
        hair = HAIRS[1] if dark else HAIRS[rng.integers(len(HAIRS))]
    lips = np.clip(skin * [0.90, 0.70, 0.72] + [0.02, 0.0, 0.01], 0, 1)
    return Palette(skin, lips, iris, hair)


def shape_coefficients(seed: int, count: int) -> np.ndarray:
    """Shape coefficients of an identity; seed 0 is the mean head."""
    if seed == 0:
        return np.zeros(count)
    rng = np.random.default_rng([seed, 1])
    return np.clip(rng.normal(size=count), -1.6, 1.6) * np.where(np.arange(count) < 40, 0.9, 0.3)


def hairline(p: np.ndarray) -> np.ndarray:
    """How much hair grows at neutral places (N, 3) in millimetres: 0 on the face, 1 on the scalp."""
    x, y, z = p.T
    # The line above the forehead is highest over the temples' inner ends and uneven hair by hair.
    front = 84 + 6.0 * np.exp(-(((np.abs(x) - 36) / 13) ** 2)) - 0.0155 * np.maximum(np.abs(x) - 30, 0) ** 2
    front = front + 1.2 * np.sin(x / 2.9) + 1.5 * np.sin(x / 7.7 + 1.0)
    above = smoothstep(-4.0, 6.0, y - front)
    sides = smoothstep(5.0, -5.0, z - (-2.0 - 0.16 * (y - 40))) * smoothstep(
        -30, -16, y + 0.35 * np.maximum(-z - 40, 0)
    )
    ear = np.exp(-((((z + 22) / 19) ** 2 + ((y - 2) / 27) ** 2) ** 2))
    sides = sides * (1 - ear * (y < 32)) * (1 - smoothstep(0, -20, y) * smoothstep(-45, -25, z))
    return np.maximum(above, sides)


def colours(mesh: Mesh, seed: int = 0) -> np.ndarray:
    """Albedo per vertex, (V, 3): the coarse form of what the Gaussian avatar paints finely."""
    return paint(mesh.vertices, mesh.part, mesh.vertices, palette(seed))


def paint(p: np.ndarray, part: np.ndarray, rest: np.ndarray, colours: Palette) -> np.ndarray:
    """Albedo of neutral places without fine texture.

    Args:
        p: Places, (N, 3) millimetres.
        part: Index into `PARTS`, (N,).
        rest: Places to look the lips up by; the same as `p` for points of the neutral head.
        colours: Of the identity.
    """
    x, y, z = p.T
    a = np.abs(x)
    out = np.broadcast_to(colours.skin, (len(p), 3)).copy()
    blush = np.exp(-(((a - 42) / 16) ** 2) - ((y + 14) / 14) ** 2) + 0.9 * np.exp(-((a / 9) ** 2) - ((y + 14) / 9) ** 2)
    out *= 1 + np.clip(blush, 0, 1)[:, None] * [0.03, -0.07, -0.06]
    socket = np.exp(-((np.hypot(a - EYE[0], 1.15 * (y - EYE[1] - 1)) / 15.5) ** 4)) * (z > 30)
    out *= 1 - 0.13 * socket[:, None] * [0.8, 1.1, 1.0]
    inside = smoothstep(MOUTH_HALF_WIDTH + 2, MOUTH_HALF_WIDTH - 3, a) * (z > 50)
    red = smoothstep(0.8, -0.8, y - upper_lip_edge(x)) * smoothstep(-0.8, 0.8, y - lower_lip_edge(x)) * inside
    out += red[:, None] * (colours.lips - out)
    line = np.exp(-(((y - MOUTH_Y) / 0.9) ** 2)) * inside
    out *= 1 - 0.35 * line[:, None]
    nostril = np.exp(-(((a - 6.6) / 2.9) ** 2) - ((y + 21.3) / 1.8) ** 2) * (z > 60)
    out *= 1 - 0.72 * nostril[:, None]
    wing = np.exp(-(((a - 16.5) / 1.8) ** 2) - ((y + 15) / 7) ** 2) * (z > 55)
    out *= 1 - 0.16 * wing[:, None]
    hair = hairline(p) * np.isin(part, [PARTS.index("skin")])
    out += 0.85 * hair[:, None] * (colours.hair - out)

    def put(name: str, value: np.ndarray) -> None:
        chosen = part == PARTS.index(name)
        out[chosen] = value[chosen] if value.ndim == 2 else value

    put("lid_rim", np.clip(colours.skin * [0.95, 0.72, 0.70], 0, 1))
    deep = smoothstep(66, 40, z)[:, None]
    put("mouth_bag", colours.lips * [0.85, 0.75, 0.75] * (1 - deep) + np.array([0.24, 0.09, 0.09]) * deep)
    put("teeth_upper", np.array([0.90, 0.87, 0.80]))
    put("teeth_lower", np.array([0.84, 0.81, 0.74]))
    put("tongue", np.array([0.62, 0.30, 0.29]))
    put("ear", colours.skin * (1 + np.array([0.02, -0.06, -0.05])))
    for sign, name in ((1, "eye_left"), (-1, "eye_right")):
        d = p - EYE * [sign, 1, 1]
        radius = np.hypot(d[:, 0], d[:, 1])
        front = d[:, 2] > 0
        white = np.array([0.90, 0.885, 0.87]) - 0.10 * smoothstep(6, 12, np.hypot(d[:, 0], d[:, 1]))[:, None] * [
            0.2,
            0.8,
            0.8,
        ]
        iris = colours.iris * (0.75 + 0.45 * smoothstep(5.6, 2.6, radius))[:, None]
        iris *= 1 - 0.55 * smoothstep(5.2, 6.0, radius)[:, None]
        value = white + (smoothstep(6.15, 5.85, radius) * front)[:, None] * (iris - white)
        value *= 1 - 0.96 * (smoothstep(2.75, 2.45, radius) * front)[:, None]
        put(name, value)
    return np.clip(out, 0, 1)
