"""Fine albedo and occlusion of the built-in avatar: functions of the position on the neutral head, in millimetres."""

from __future__ import annotations

import numpy as np

from gagjax.flame.builtin_head.identity import Palette, hairline, paint
from gagjax.flame.builtin_head.mesh import PARTS
from gagjax.flame.builtin_head.sculpt import EYE, MOUTH_HALF_WIDTH, MOUTH_Y, lower_lip_edge, smoothstep, upper_lip_edge


def noise(p: np.ndarray, wavelength: tuple[float, float], seed: int, waves: int = 48) -> np.ndarray:
    """Smooth isotropic noise of unit variance: plane waves in random directions."""
    rng = np.random.default_rng([seed, 7])
    direction = rng.normal(size=(waves, 3))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    shortest, longest = np.log(wavelength)
    length = np.exp(rng.uniform(shortest, longest, waves))
    phase = p @ (2 * np.pi * direction / length[:, None]).T + rng.uniform(0, 2 * np.pi, waves)
    return np.sin(phase).sum(1) * np.sqrt(2 / waves)


def albedo(p: np.ndarray, part: np.ndarray, upper: np.ndarray, colours: Palette, seed: int) -> np.ndarray:
    """Display-encoded albedo, (N, 3).

    Args:
        p: Positions on the neutral head, (N, 3) millimetres.
        part: Index into the mesh's `PARTS`, (N,).
        upper: True if the position belongs to an upper lid or lip, (N,).
        colours: Palette of the identity.
        seed: Seed of the identity: varies the skin's marks.
    """
    out = paint(p, part, p, colours)
    skin = np.isin(part, [PARTS.index("skin"), PARTS.index("ear")])
    out[skin] = _skin(p[skin], out[skin], colours, seed)
    for sign, name in ((1, "eye_left"), (-1, "eye_right")):
        ball = part == PARTS.index(name)
        out[ball] = _eyeball(p[ball] - EYE * [sign, 1, 1], out[ball], colours, seed)
    rim = part == PARTS.index("lid_rim")
    # The roots of the lashes line the upper lid.
    out[rim & upper] *= 0.45
    gum = np.isin(part, [PARTS.index("teeth_upper")]) * smoothstep(MOUTH_Y + 5.2, MOUTH_Y + 6.4, p[:, 1])
    gum = gum + np.isin(part, [PARTS.index("teeth_lower")]) * smoothstep(MOUTH_Y - 8, MOUTH_Y - 9.5, p[:, 1])
    out += gum[:, None] * (np.array([0.66, 0.36, 0.35]) - out)
    teeth = np.isin(part, [PARTS.index("teeth_upper"), PARTS.index("teeth_lower")])
    gap = np.abs((np.abs(p[:, 0]) + 3.6) % 7.2 - 3.6)
    out[teeth] *= (1 - 0.35 * np.exp(-((gap / 0.55) ** 2)))[teeth, None]
    return np.clip(out, 0.01, 0.99)


def _skin(p: np.ndarray, base: np.ndarray, colours: Palette, seed: int) -> np.ndarray:
    x, y, z = p.T
    a = np.abs(x)
    bare = 1 - hairline(p)
    mottle = 0.012 * noise(p, (9, 30), seed) + 0.014 * noise(p, (3.2, 7), seed + 1)
    pores = 0.022 * noise(p, (2.4, 3.4), seed + 2) * smoothstep(-110, -90, y)
    out = base * (1 + (mottle + pores)[:, None])
    out *= 1 + (0.016 * noise(p, (12, 40), seed + 3) * bare)[:, None] * [0.3, -0.8, -0.6]
    # Wrinkles: across the forehead, beside and under the eyes, from the wings of the nose, around the neck.
    line = np.zeros(len(p))
    for k, height in enumerate((56.0, 63.5, 71.0)):
        wave = 1.6 * np.sin(a / (11.0 + k) + k) + 0.9 * np.sin(x / 7.3 + 2 * k)
        line += (0.10 - 0.02 * k) * np.exp(-(((y - height - wave) / 0.8) ** 2)) * smoothstep(46, 28, a) * (z > 20)
    for turn in (-0.42, 0.0, 0.42):
        along, across = a - 50, (y - 21) - turn * (a - 50)
        line += 0.07 * np.exp(-((across / 0.7) ** 2)) * smoothstep(0, 2.5, along) * smoothstep(11, 6, along) * (z > 10)
    bag = y - (9.5 + 0.010 * (a - 30) ** 2)
    line += 0.07 * np.exp(-((bag / 1.1) ** 2)) * smoothstep(16, 9, np.abs(a - 30)) * (z > 30)
    fold = (a - 20) - 0.62 * (-16 - y)
    line += 0.09 * np.exp(-((fold / 1.3) ** 2)) * smoothstep(-46, -38, y) * smoothstep(-12, -18, y) * (z > 40)
    for height in (-128.0, -146.0):
        bend = height + 0.0035 * x**2
        line += 0.07 * np.exp(-(((y - bend) / 1.0) ** 2)) * smoothstep(48, 34, a) * (z > -40)
    out *= 1 - line[:, None] * [0.75, 1.0, 1.0]
    # Fine vertical furrows on the lips.
    red = smoothstep(1.0, -1.0, y - upper_lip_edge(x)) * smoothstep(-1.0, 1.0, y - lower_lip_edge(x))
    red *= smoothstep(MOUTH_HALF_WIDTH + 2, MOUTH_HALF_WIDTH - 3, a) * (z > 50)
    out *= 1 + (0.06 * red * np.sin(2 * np.pi * x / 2.3 + 1.2 * np.sin(y / 2.0 + x / 5.0)))[:, None]
    rng = np.random.default_rng([seed, 11])
    light = colours.skin.mean() > 0.55
    if light and seed % 3 == 0:
        places = np.stack([rng.normal(0, 26, 90), rng.normal(2, 15, 90)], -1)
        size = rng.uniform(0.6, 1.2, 90)
        spots = np.exp(-(((p[:, None, :2] - places) ** 2).sum(-1) / size**2)).max(1) * (z > 35)
        out *= 1 - 0.16 * spots[:, None] * [0.5, 1.0, 1.3]
    return out


def _eyeball(d: np.ndarray, base: np.ndarray, colours: Palette, seed: int) -> np.ndarray:
    radius, angle = np.hypot(d[:, 0], d[:, 1]), np.arctan2(d[:, 1], d[:, 0])
    front = d[:, 2] > 0
    rng = np.random.default_rng([seed, 13])
    fibres = np.zeros(len(d))
    for k in (7, 11, 17, 23, 29, 37):
        fibres += np.sin(k * angle + rng.uniform(0, 2 * np.pi) + 0.5 * radius) / np.sqrt(6)
    iris = smoothstep(6.1, 5.8, radius) * smoothstep(2.4, 2.7, radius) * front
    collarette = np.exp(-(((radius - 3.6) / 0.5) ** 2))
    out = base * (1 + (iris * 0.30 * fibres)[:, None])
    warm = np.clip(colours.iris * 1.25 + [0.10, 0.06, 0.0], 0, 1)
    out += (0.45 * iris * collarette)[:, None] * (warm - out)
    veins = np.abs(np.sin(3.0 * angle + 1.3 * np.sin(radius * 1.1 + seed) + 0.8 * np.sin(5 * angle)))
    red = np.exp(-((veins / 0.10) ** 2)) * smoothstep(7.5, 11.5, radius) * front
    return out * (1 - 0.22 * red[:, None] * [0.1, 1.0, 0.9])


def occlusion(p: np.ndarray, part: np.ndarray) -> np.ndarray:
    """Fraction of the light that reaches each position on the neutral head, (N,): 1 is unoccluded."""
    x, y, z = p.T
    a = np.abs(x)
    dark = 0.30 * np.exp(-((np.hypot((a - 29) / 15, (y - 29.5) / 6.0)) ** 2)) * (z > 25)
    dark += 0.42 * np.exp(-((a / 15) ** 2) - ((y + 25) / 4.0) ** 2) * (z > 40)
    dark += 0.25 * np.exp(-((a / 20) ** 2) - ((y + 60) / 4.5) ** 2) * (z > 40)
    dark += 0.25 * np.exp(-((a - 16.5) ** 2) / 6.0 - ((y + 14) / 8) ** 2) * (z > 50)
    dark += (
        0.40
        * smoothstep(-84, -99, y)
        * smoothstep(-175, -100, y) ** 1.5
        * smoothstep(-45, 10, z)
        * smoothstep(66, 30, a)
    )
    dark += 0.30 * np.exp(-(((a - MOUTH_HALF_WIDTH - 1) / 3.0) ** 2) - ((y - MOUTH_Y) / 3.0) ** 2) * (z > 40)
    out = 1 - np.clip(dark, 0, 0.8)

    def put(name: str, value: np.ndarray | float) -> None:
        chosen = part == PARTS.index(name)
        out[chosen] = value[chosen] if isinstance(value, np.ndarray) else value

    for sign, name in ((1, "eye_left"), (-1, "eye_right")):
        d = p - EYE * [sign, 1, 1]
        ahead = np.clip(d[:, 2] / 13.0, 0, 1)
        put(name, (0.30 + 0.70 * ahead**1.5) * (1 - 0.18 * smoothstep(2, 8, d[:, 1])))
    put("mouth_bag", 0.22 + 0.78 * smoothstep(56, 70, z))
    put("teeth_upper", 0.40 + 0.40 * smoothstep(45, 60, z))
    put("teeth_lower", 0.28 + 0.32 * smoothstep(43, 58, z))
    put("tongue", 0.28 + 0.42 * smoothstep(30, 55, z))
    ear = np.exp(-((np.hypot((z + 20) / 7.0, (y - 4) / 12.0)) ** 2))
    put("ear", 1 - 0.45 * ear)
    return out
