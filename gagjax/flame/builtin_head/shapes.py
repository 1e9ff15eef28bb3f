"""The shape columns of the built-in head: what differs from person to person, as smooth fields over the neutral head.

Eyeballs and what lies on them are moved rigidly, so that lids keep fitting eyes.
"""

from __future__ import annotations

import numpy as np

from gagjax.flame.builtin_head.mesh import PARTS, Mesh
from gagjax.flame.builtin_head.sculpt import EYE, smoothstep

COUNT = 300


def _hill(p: np.ndarray, centre: tuple[float, float, float], radius: float) -> np.ndarray:
    """A Gaussian on both sides of the head."""
    q = np.abs(p[:, 0]) - centre[0]
    return np.exp(-(q**2 + (p[:, 1] - centre[1]) ** 2 + (p[:, 2] - centre[2]) ** 2) / radius**2)


def _named(p: np.ndarray) -> list[np.ndarray]:
    """Displacements in millimetres for one standard deviation."""
    x, y, z = p.T
    sign, zero = np.sign(x), np.zeros(len(p))

    def v(dx: np.ndarray | float, dy: np.ndarray | float, dz: np.ndarray | float) -> np.ndarray:
        return np.stack([np.broadcast_to(c, len(p)) for c in (dx, dy, dz)], -1).astype(float)

    up = smoothstep(20, 130, y)
    below = smoothstep(10, -95, y) * smoothstep(-160, -100, y)
    jaw = smoothstep(-20, -75, y) * smoothstep(-135, -95, y) * smoothstep(-60, 0, z)
    nose = _hill(p, (0, -6, 80), 19)
    return [
        v(0.035 * x, zero, zero),  # wide head
        v(zero, 0.045 * (y - 20) * (below + up), zero),  # long face
        v(zero, zero, 0.03 * (z + 20) * smoothstep(-150, -90, y)),  # deep skull
        v(0.09 * x, zero, zero) * jaw[:, None],  # wide jaw
        v(zero, -3.0, 2.0) * _hill(p, (0, -80, 68), 26)[:, None],  # chin
        v(zero, -2.2, 3.6) * nose[:, None],  # long nose
        v(0.17 * x, zero, zero) * _hill(p, (8, -14, 72), 15)[:, None],  # wide nose
        v(zero, zero, 3.0) * _hill(p, (0, 16, 68), 13)[:, None],  # nose bridge
        v(1.8 * sign, zero, 2.2) * _hill(p, (48, 0, 40), 22)[:, None],  # cheekbones
        v(1.5 * sign, zero, 2.5) * _hill(p, (45, -38, 35), 24)[:, None],  # full cheeks
        v(zero, zero, 2.0) * _hill(p, (24, 40, 65), 18)[:, None],  # brow ridge
        v(zero, zero, 2.4) * _hill(p, (0, -44, 74), 17)[:, None],  # full lips
        v(0.08 * x, zero, zero) * _hill(p, (16, -44, 68), 18)[:, None],  # wide mouth
        v(zero, zero, -4.0) * (smoothstep(35, 110, y) * smoothstep(-10, 40, z))[:, None],  # sloping forehead
        v(-0.05 * x, zero, zero) * smoothstep(-80, -110, y)[:, None] * smoothstep(-185, -160, y)[:, None],  # slim neck
        v(0.05 * x, zero, zero) * up[:, None],  # wide skull
    ]


def columns(mesh: Mesh, count: int = COUNT) -> np.ndarray:
    """All shape columns, (V, 3, count), millimetres for one standard deviation."""
    p = mesh.vertices
    out = np.zeros((len(p), 3, count))
    named = _named(p)
    for i, column in enumerate(named):
        out[:, :, i] = column
    rng = np.random.default_rng(300)
    low = smoothstep(-165, -110, p[:, 1])
    places = p[low > 0.5]
    for i in range(len(named), count):
        x, y, z = rng.choice(places)
        centre = (abs(x), y, z)
        radius = rng.uniform(18, 45)
        direction = rng.normal(size=3)
        # Every third mode is one-sided: faces are not symmetric.
        hill = _hill(p, centre, radius) * low
        if i % 3 == 0:
            hill = hill * smoothstep(-20, 20, p[:, 0] * rng.choice([-1, 1]))
            field = np.broadcast_to(direction, p.shape)
        else:
            field = np.stack([direction[0] * np.tanh(p[:, 0] / 15), *(np.full(len(p), d) for d in direction[1:])], -1)
        size = 1.6 * (1 + i - len(named)) ** -0.4
        out[:, :, i] = size * hill[:, None] * field / np.linalg.norm(direction)
    return _rigid_eyes(mesh, out)


def _rigid_eyes(mesh: Mesh, out: np.ndarray) -> np.ndarray:
    for side, name in ((1, "eye_left"), (-1, "eye_right")):
        centre = EYE * [side, 1, 1]
        ball = mesh.part == PARTS.index(name)
        mean = out[ball].mean(0)
        distance = np.linalg.norm(mesh.vertices - centre, axis=1)
        hold = smoothstep(30, 18, distance) * (np.sign(mesh.vertices[:, 0]) == side)
        hold[ball] = 1
        out += hold[:, None, None] * (mean[None] - out)
    return out
