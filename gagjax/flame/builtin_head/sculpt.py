"""The skin of the built-in head as a formula: angle about the vertical axis and height in, a point in millimetres out.

A loft of superellipses gives skull, face, neck and shoulders; the features (orbits, nose, lips, cheekbones, chin) are
bumps, grooves and smooth unions on top. Measures follow adult averages: eyes 63 mm apart, face about 70 mm from brow
to the base of the nose and from there to the chin, head 152 mm wide and 195 mm long. Axes are FLAME's: x to the
subject's left, y up, z forward, the eyes a little above the origin.
"""

from __future__ import annotations

import numpy as np
from scipy.interpolate import CubicSpline, PchipInterpolator

AXIS_Z = -22.0  # where the axis of the loft stands
CROWN = 137.0
BOTTOM = -212.0
EYE = np.array([31.5, 22.0, 42.5])  # centre of the subject's left eyeball
EYE_RADIUS = 13.0
LID_RADIUS = 14.5  # outer surface of the lids; the eyeball never reaches it
MOUTH_Y = -44.0
MOUTH_HALF_WIDTH = 25.5
SLIT = 0.0  # the grid is slit along the line of the lips, which are closed at rest


def smax(a: np.ndarray, b: np.ndarray, k: float) -> np.ndarray:
    """Smooth maximum that blends over a band of width `k`."""
    h = np.clip(0.5 + 0.5 * (a - b) / k, 0.0, 1.0)
    return b + (a - b) * h + k * h * (1.0 - h)


def smoothstep(low: float | np.ndarray, high: float | np.ndarray, x: np.ndarray) -> np.ndarray:
    """0 below `low`, 1 above `high` (or the reverse where low > high), cubic between."""
    t = np.clip((x - low) / (high - low), 0.0, 1.0)
    return t * t * (3.0 - 2.0 * t)


def bump(x: np.ndarray, y: np.ndarray, cx: float, cy: float, rx: float, ry: float, tilt: float = 0.0) -> np.ndarray:
    """A Gaussian hill of unit height on both sides of the face (x is taken as its absolute value)."""
    dx, dy = np.abs(x) - cx, y - cy
    c, s = np.cos(tilt), np.sin(tilt)
    return np.exp(-(((c * dx + s * dy) / rx) ** 2) - ((-s * dx + c * dy) / ry) ** 2)


def _curve(rows: list[tuple[float, float]], smooth: bool = True):
    y, value = np.array(sorted(rows)).T
    return (CubicSpline if smooth else PchipInterpolator)(y, value)


_TOP = 55.0  # above this height the skull is one superellipsoid
_FRONT = _curve(
    [(90, 73.6), (72, 74), (55, 74), (42, 73.2), (30, 69), (22, 66), (8, 65), (-8, 66), (-22, 69.5), (-35, 71.5),
     (-44, 71.5), (-55, 70.5), (-64, 69), (-77, 70.5), (-86, 71), (-95, 71), (-110, 71)]
)  # fmt: skip
_WIDTH = _curve(
    [(90, 75), (72, 75.5), (55, 75.5), (40, 75), (25, 73.5), (10, 71.5), (0, 70), (-15, 67.5), (-30, 64.5), (-45, 61),
     (-60, 57.5), (-75, 53.5), (-92, 49), (-120, 45)]
)  # fmt: skip
_BACK = _curve([(90, 95), (72, 96), (55, 96), (30, 93), (10, 84), (-10, 72), (-30, 62), (-60, 58), (-100, 58)])
_POWER = _curve(
    [(80, 2.35), (55, 2.35), (25, 2.3), (0, 2.15), (-20, 1.95), (-44, 1.78), (-60, 1.66), (-80, 1.72), (-100, 1.85)]
)
_JAW_LINE = _curve(
    [(0, -92), (0.35, -91.5), (0.7, -86), (1.0, -75), (1.35, -58), (1.7, -42), (2.2, -32), (3.15, -32)], smooth=False
)
_NECK_FRONT = _curve(
    [(-40, 24), (-90, 21), (-105, 20), (-118, 20.5), (-140, 15), (-160, 11), (-175, 15), (-195, 25), (-215, 33)]
)
_NECK_BACK = _curve([(-20, -96), (-60, -92), (-90, -89), (-120, -92), (-150, -101), (-175, -112), (-215, -121)])
_NECK_WIDTH = _curve(
    [(-20, 54), (-80, 52), (-110, 51.5), (-135, 54), (-155, 63), (-170, 82), (-185, 116), (-200, 150), (-215, 172)],
    smooth=False,
)


def loft(theta: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The head without features: (N, 3) points at angle `theta` (0 is the front, positive to +x) and height `y`."""
    sine, cosine = np.abs(np.sin(theta)), np.cos(theta)
    low = np.minimum(y, _TOP)
    t = np.clip((y - _TOP) / (CROWN - _TOP), 0.0, 1.0)
    cap = np.maximum(1.0 - t**2.3, 1e-9) ** (1.0 / 2.3)
    forward = smoothstep(-0.25, 0.25, cosine)
    depth = np.where(cosine > 0, _FRONT(np.maximum(low, -110.0)) - AXIS_Z, _BACK(np.maximum(low, -100.0)))
    width = _WIDTH(np.maximum(low, -120.0))
    power = forward * _POWER(np.maximum(low, -100.0)) + (1 - forward) * 2.3
    radius = ((sine / width) ** power + (np.abs(cosine) / depth) ** power) ** (-1.0 / power) * cap
    # The jaw line: the head closes below it, and the neck takes over.
    rise = np.clip((y - _JAW_LINE(np.abs(theta))) / 27.0, 0.0, 1.0)
    radius = radius * (1.0 - (1.0 - rise) ** 2.6 + 1e-9) ** (1.0 / 2.6)
    ny = np.minimum(y, -20.0)
    depth = np.where(cosine > 0, _NECK_FRONT(np.minimum(ny, -40.0)) - AXIS_Z, AXIS_Z - _NECK_BACK(ny))
    neck = ((sine / _NECK_WIDTH(ny)) ** 2.2 + (np.abs(cosine) / depth) ** 2.2) ** (-1.0 / 2.2)
    neck = neck * smoothstep(0.0, -40.0, y)
    radius = smax(radius, neck, 9.0)
    return np.stack([radius * np.sin(theta), y, AXIS_Z + radius * cosine], -1)


_RIDGE = _curve([(34, 66), (24, 66.5), (16, 69.3), (6, 75.5), (-4, 83), (-10, 88), (-13, 89.3), (-17, 87), (-24, 76)])
_NOSE_HALF = _curve([(34, 12), (24, 11), (10, 12.5), (-2, 15), (-12, 17), (-24, 15)])


def nose(x: np.ndarray, y: np.ndarray, base: np.ndarray) -> np.ndarray:
    """Height of the face with the nose: ridge, tip and wings joined to the `base` height smoothly."""
    a = np.abs(x)
    yy = np.clip(y, -24.0, 34.0)
    fade = smoothstep(36, 22, y) * smoothstep(-25.5, -20, y)
    u = np.clip(a / _NOSE_HALF(yy), 0.0, 1.0)
    ridge = np.maximum(_RIDGE(yy) - base, 0.0) * (1 - u**2) ** 1.7 * fade
    z = base + ridge

    def ball(cx: float, cy: float, cz: float, rx: float, ry: float, rz: float) -> np.ndarray:
        q = 1.0 - ((a - cx) / rx) ** 2 - ((y - cy) / ry) ** 2
        return np.where(q > 0, cz + rz * np.sqrt(np.maximum(q, 1e-9)), cz + 6.0 * np.minimum(q, 0.0) * rz / 4)

    z = smax(z, ball(0.0, -13.0, 77.0, 9.2, 9.0, 13.2), 4.0)
    z = smax(z, ball(12.3, -15.5, 70.0, 6.3, 7.2, 10.0), 3.0)
    # Nostrils and the groove that sets the wing off from the cheek and the tip.
    z = z - 5.5 * bump(x, y, 6.6, -21.2, 3.2, 2.2, tilt=0.5)
    return z - 1.1 * bump(x, y, 8.2, -10.5, 2.2, 6.0, tilt=-0.5)


def upper_lip_edge(x: np.ndarray) -> np.ndarray:
    """Height of the upper border of the red of the lips: Cupid's bow."""
    a = np.clip(np.abs(x) / MOUTH_HALF_WIDTH, 0.0, 1.0)
    bow = 7.6 * (1 - a**2.2) ** 0.9 - 1.3 * np.exp(-((np.abs(x) / 3.2) ** 2)) + 0.7 * bump(x, 0 * x, 6.5, 0, 4.5, 1)
    return MOUTH_Y + bow


def lower_lip_edge(x: np.ndarray) -> np.ndarray:
    """Height of the lower border of the red of the lips."""
    a = np.clip(np.abs(x) / (MOUTH_HALF_WIDTH - 1.0), 0.0, 1.0)
    return MOUTH_Y - 9.6 * (1 - a**2.3) ** 0.85


def features(x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Height of the face at (x, y) with its features, from the loft's height `z`; lids and eyeballs come elsewhere."""
    a = np.abs(x)
    d = np.zeros_like(z)
    d += 2.6 * bump(x, y, 24.0, 38.5, 17.0, 6.0, tilt=0.10)  # brow ridge
    d += 0.8 * bump(x, y, 0.0, 42.0, 9.0, 8.0)  # glabella
    d -= 7.5 * bump(x, y, 30.0, 20.5, 17.0, 13.0, tilt=-0.05)  # orbit
    d -= 4.0 * bump(x, y, 17.0, 23.0, 6.5, 9.0)  # inner corner, beside the bridge
    d += 4.2 * bump(x, y, 46.0, 2.0, 17.0, 12.0, tilt=-0.5)  # cheekbone
    d += 1.6 * bump(x, y, 28.0, -4.0, 13.0, 9.0)  # front of the cheek
    d -= 2.6 * bump(x, y, 45.0, -34.0, 14.0, 17.0)  # hollow of the cheek
    d -= 2.0 * bump(x, y, 63.0, 48.0, 14.0, 18.0)  # temple
    d += 1.2 * bump(x, y, 24.0, 66.0, 20.0, 14.0)  # frontal eminence
    d += 2.8 * bump(x, y, 0.0, -40.0, 24.0, 17.0)  # dental arch
    d -= 1.5 * bump(x, y, 25.5, -28.0, 3.6, 13.0, tilt=-0.45)  # nasolabial fold
    d += 0.9 * bump(x, y, 31.0, -30.0, 6.0, 13.0, tilt=-0.45)
    d -= 1.0 * bump(x, y, 0.0, -29.0, 2.6, 6.5)  # philtrum and its ridges
    d += 0.6 * bump(x, y, 4.6, -30.0, 1.9, 6.5)
    d -= 2.8 * bump(x, y, 0.0, -63.0, 20.0, 5.5)  # fold above the chin
    d += 3.4 * bump(x, y, 0.0, -79.0, 15.0, 10.0)  # chin
    # Lips: a roll on each side of the line between them.
    inside = np.clip(1.0 - (a / (MOUTH_HALF_WIDTH + 1.5)) ** 2, 0.0, 1.0)
    up = np.clip((y - MOUTH_Y) / np.maximum(upper_lip_edge(x) - MOUTH_Y, 1.2), 0.0, 3.0)
    down = np.clip((MOUTH_Y - y) / np.maximum(MOUTH_Y - lower_lip_edge(x), 1.2), 0.0, 3.0)
    d += np.where(y >= MOUTH_Y, 4.6 * inside**0.8 * np.sqrt(np.minimum(up * 2.5, 1)) * np.exp(-((up / 1.15) ** 4)), 0.0)
    d += np.where(y < MOUTH_Y, 5.2 * inside**0.9 * np.sqrt(np.minimum(down * 2, 1)) * np.exp(-((down / 1.1) ** 4)), 0.0)
    d -= 2.2 * bump(x, y, MOUTH_HALF_WIDTH + 1.0, MOUTH_Y, 4.0, 3.2)  # corner of the mouth
    return nose(x, y, z + d)


def lid_height(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Height of the lid surface over the eyeball, falling steeply outside its outline."""
    distance = np.hypot(np.abs(x) - EYE[0], y - EYE[1])
    inside = np.sqrt(np.maximum(LID_RADIUS**2 - distance**2, 1e-9))
    # The sphere's last steep millimetres are replaced by a cone, so that the blend with the orbit stays smooth.
    knee = 0.93 * LID_RADIUS
    slope = knee / np.sqrt(LID_RADIUS**2 - knee**2)
    cone = np.sqrt(LID_RADIUS**2 - knee**2) - slope * (distance - knee)
    return EYE[2] + np.where(distance < knee, inside, cone)


def close_lips(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Height in space for a point at height `y` of parameter space, where the mouth is an open ellipse."""
    a = np.clip(np.abs(x) / MOUTH_HALF_WIDTH, 0.0, 1.0)
    gap = SLIT * np.sqrt(1.0 - a * a)
    beyond = np.abs(y - MOUTH_Y) - gap
    return y - np.sign(y - MOUTH_Y) * gap * np.exp(-np.maximum(beyond, 0.0) / 7.0)


def skin(theta: np.ndarray, y: np.ndarray) -> np.ndarray:
    """(N, 3) points of the skin in millimetres, for the loft's angle and height in parameter space."""
    base = loft(theta, y)
    front = smoothstep(0.12, 0.42, np.cos(theta)) * smoothstep(-104, -94, y)
    x = base[:, 0]
    height = close_lips(x, y) * front + y * (1 - front)
    formed = features(x, height, base[:, 2])
    lids = smax(formed, lid_height(x, y), 2.2)
    # The fold of the upper lid.
    lids = lids - 1.3 * bump(x, y, 30.5, EYE[1] + 9.6 - 0.018 * 0, 13.5, 1.6)
    near = np.exp(-((np.hypot(np.abs(x) - EYE[0], y - EYE[1]) / 21.0) ** 6))
    formed = formed + (lids - formed) * near
    z = base[:, 2] + (formed - base[:, 2]) * front
    # Wings of the nose stand out sideways, a little more than a height field can say.
    return np.stack([x, height, z], -1)


def theta_at(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The loft's angle at which the front of the face has the given x: the inverse of `loft`, by bisection."""
    low, high = np.zeros_like(x), np.full_like(x, 0.5 * np.pi)
    for _ in range(48):
        middle = 0.5 * (low + high)
        short = loft(middle, y)[:, 0] < x
        low, high = np.where(short, middle, low), np.where(short, high, middle)
    return 0.5 * (low + high)
