"""Hair, brows and lashes of the built-in avatar: elongated Gaussians rooted in the skin."""

from __future__ import annotations

import numpy as np

from gagjax.avatars.builtin.sampling import Placed, join, strokes, triangle_under
from gagjax.avatars.builtin.texture import noise
from gagjax.flame.builtin_head.identity import Palette, hairline
from gagjax.flame.builtin_head.mesh import PARTS, Mesh, lid_line
from gagjax.flame.builtin_head.sculpt import EYE, smoothstep

_WHORL = np.array([12.0, 122.0, -62.0])


def scalp(mesh: Mesh, seed: int, colours: Palette, count: int) -> tuple[Placed, np.ndarray, np.ndarray]:
    """Scalp hair, combed outwards from a whorl in layers.

    Returns:
        The strands, their albedo, and their occlusion (inner layers are shaded).
    """
    rng = np.random.default_rng([seed, 21])
    v, f = mesh.vertices, mesh.faces
    usable = (mesh.part[f] == PARTS.index("skin")).all(1)
    middle = v[f].mean(1)
    normal = np.cross(v[f[:, 1]] - v[f[:, 0]], v[f[:, 2]] - v[f[:, 0]])
    area = np.linalg.norm(normal, axis=1) / 2
    normal /= 2 * area[:, None]
    chance = area * usable * smoothstep(0.05, 0.7, hairline(middle))
    # Evenly distributed roots: a shuffled sequence of equal steps through the cumulative area.
    steps = (np.arange(count) + rng.uniform(size=count)) / count
    triangle = np.searchsorted(np.cumsum(chance) / chance.sum(), steps).clip(0, len(f) - 1)
    weight = np.sort(rng.uniform(size=(count, 2)), 1)
    corners = np.stack([weight[:, 0], weight[:, 1] - weight[:, 0], 1 - weight[:, 1]], -1)
    root = (v[f[triangle]] * corners[..., None]).sum(1)
    density = hairline(root)
    keep = rng.uniform(size=count) < smoothstep(0.02, 0.5, density)
    triangle, root, density = triangle[keep], root[keep], density[keep]
    n = normal[triangle]
    style = np.random.default_rng([seed, 22])
    height = 6.5 if seed == 0 else style.uniform(3.0, 9.0)
    whorl = _WHORL * [1 if seed == 0 else style.choice([-1, 1]), 1, 1]
    away = root - whorl
    away /= np.linalg.norm(away, axis=1, keepdims=True)
    # Above the forehead, hair is combed up and to one side, or falls forward as a fringe.
    swept = 0.0 if seed and style.uniform() < 0.4 else 1.0
    side = 1.0 if seed == 0 else style.choice([-1.0, 1.0])
    top = swept * smoothstep(50, 80, root[:, 1]) * smoothstep(-25, 25, root[:, 2])
    away += top[:, None] * (np.array([0.75 * side, 0.35, -0.55]) - away)
    sway = np.stack([noise(root, (18, 45), seed + 30 + k) for k in range(3)], -1)
    flow = away + 0.24 * sway + 0.15 * rng.normal(size=root.shape)
    flow[:, 1] -= 0.35 * (1 - top)
    flow -= (flow * n).sum(1, keepdims=True) * n
    flow /= np.linalg.norm(flow, axis=1, keepdims=True)
    # Strands rise from the skin at their roots to the outer layer; at the hairline they lie flat.
    layer = rng.uniform(size=len(root)) ** 0.8
    thick = height * smoothstep(0.05, 0.9, density) * smoothstep(-45, 30, root[:, 1] + 0.3 * root[:, 2])
    lift = 0.5 + thick * layer
    tilt = 0.35 * smoothstep(0.2, 0.9, density)
    direction = flow + tilt[:, None] * 0.4 * n
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    length = rng.uniform(2.6, 4.6, len(root)) * (0.45 + 0.55 * smoothstep(0.1, 0.8, density))
    length *= 0.35 + 0.65 * smoothstep(-35, 5, root[:, 1])  # short hair at the nape
    place = root + lift[:, None] * n + 0.8 * length[:, None] * flow
    placed = strokes(v, f, triangle, place, direction, length, 0.62)
    clump = noise(root, (3.0, 8.0), seed + 40)
    tone = 1 + 0.16 * clump + 0.14 * rng.normal(size=len(root))
    colour = colours.hair * np.clip(tone, 0.45, 1.7)[:, None]
    colour += (0.05 * smoothstep(0.5, 1.0, layer))[:, None] * np.array([1.0, 0.8, 0.55])
    return placed, np.clip(colour, 0.01, 0.99), 0.45 + 0.55 * layer


def brows(mesh: Mesh, seed: int, colours: Palette, count: int = 300) -> tuple[Placed, np.ndarray]:
    """Brow hairs on both sides and their albedo."""
    rng = np.random.default_rng([seed, 23])
    v, f = mesh.vertices, mesh.faces
    front = (mesh.part[f] == PARTS.index("skin")).all(1) & (v[f].mean(1)[:, 2] > 20)
    u = rng.uniform(size=count)  # from the nose outwards
    line = np.interp(u, [0, 0.3, 0.6, 0.85, 1], [39.8, 41.8, 43.8, 43.2, 39.6])
    x = 11.5 + 37 * u
    thick = np.interp(u, [0, 0.15, 0.6, 1], [2.0, 2.7, 2.0, 0.6]) * (1.0 + 0.25 * np.sin(seed * 1.7))
    y = line + thick * rng.uniform(-1, 1, count)
    rise = np.interp(u, [0, 0.25, 0.7, 1], [1.1, 0.5, 0.05, -0.4]) + 0.16 * rng.normal(size=count)
    placed, tones = [], []
    for sign in (1, -1):
        flat = np.stack([sign * x, y], -1)
        triangle = _under(v, f, front, flat)
        root = _on_plane(v, f, triangle, flat)
        n = _normals(v, f)[triangle]
        direction = np.stack([sign * np.cos(rise), np.sin(rise), np.zeros(count)], -1)
        direction -= (direction * n).sum(1, keepdims=True) * n
        direction += 0.18 * n
        direction /= np.linalg.norm(direction, axis=1, keepdims=True)
        length = rng.uniform(1.3, 2.1, count)
        placed.append(strokes(v, f, triangle, root + 0.45 * n, direction, length, 0.30))
        tones.append(np.clip(colours.hair * rng.uniform(0.55, 0.95, (count, 1)), 0.01, 1))
    return join(*placed), np.concatenate(tones)


def lashes(mesh: Mesh, seed: int, colours: Palette, count: int = 64) -> tuple[Placed, np.ndarray]:
    """Lashes of all four lids and their albedo."""
    rng = np.random.default_rng([seed, 24])
    v, f = mesh.vertices, mesh.faces
    is_skin = (mesh.part[f] == PARTS.index("skin")).all(1)
    margin = (mesh.part == 0) & (np.abs(mesh.rest[:, 1] - lid_line(mesh.rest[:, 0])) < 0.05) & (v[:, 2] > 20)
    places, directions, lengths, triangles = [], [], [], []
    for sign in (1, -1):
        centre = EYE * [sign, 1, 1]
        for way, number, size in ((1, count, 2.3), (-1, count // 2, 1.2)):
            line = np.flatnonzero(margin & (mesh.side == way) & (np.sign(v[:, 0]) == sign))
            line = line[np.abs(np.abs(v[line, 0]) - EYE[0]) < 13.6]
            line = line[np.argsort(sign * v[line, 0])]
            at = np.sort(rng.uniform(0.06, 0.97, number)) * (len(line) - 1)
            low = np.minimum(at.astype(int), len(line) - 2)
            part = (at - low)[:, None]
            root = v[line[low]] * (1 - part) + v[line[low + 1]] * part
            # Each follows a triangle at its own lid margin, so that it moves with the lid.
            own = is_skin & np.isin(f, line).any(1) & (mesh.side[f] * way >= 0).all(1)
            out = root - centre
            out /= np.linalg.norm(out, axis=1, keepdims=True)
            across = (sign * (root[:, 0] - centre[0]) / 13.5)[:, None] * [sign * 1.0, 0, 0]
            curl = np.array([0, 0.55 * way, 0.25]) + 0.9 * across + 0.12 * rng.normal(size=root.shape)
            direction = out + curl
            direction /= np.linalg.norm(direction, axis=1, keepdims=True)
            sigma = size * rng.uniform(0.75, 1.1, number) * (0.7 + 0.3 * at / len(line)) * 0.55
            places.append(root + direction * sigma[:, None] * 1.3)
            directions.append(direction)
            lengths.append(sigma)
            triangles.append(triangle_under(v, f, root, own))
    placed = strokes(
        v,
        f,
        np.concatenate(triangles),
        np.concatenate(places),
        np.concatenate(directions),
        np.concatenate(lengths),
        0.11,
    )
    return placed, np.broadcast_to(np.minimum(colours.hair * 0.35, 0.09), (len(placed.triangles), 3))


def _normals(v: np.ndarray, f: np.ndarray) -> np.ndarray:
    n = np.cross(v[f[:, 1]] - v[f[:, 0]], v[f[:, 2]] - v[f[:, 0]])
    return n / np.linalg.norm(n, axis=1, keepdims=True)


def _under(v: np.ndarray, f: np.ndarray, usable: np.ndarray, flat: np.ndarray) -> np.ndarray:
    """The frontmost usable triangle at each (x, y)."""
    lying = np.concatenate([v[:, :2], np.zeros((len(v), 1))], 1)
    return triangle_under(lying, f, np.concatenate([flat, np.zeros((len(flat), 1))], 1), usable)


def _on_plane(v: np.ndarray, f: np.ndarray, triangles: np.ndarray, flat: np.ndarray) -> np.ndarray:
    """The points on the triangles' planes at (x, y)."""
    n, origin = _normals(v, f)[triangles], v[f[triangles, 0]]
    z = origin[:, 2] - ((flat - origin[:, :2]) * n[:, :2]).sum(1) / n[:, 2]
    return np.concatenate([flat, z[:, None]], 1)
