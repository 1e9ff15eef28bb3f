"""Skinning, joints, pose correctives, landmarks and region masks of the built-in head."""

from __future__ import annotations

import numpy as np

from gagjax.flame.builtin_head.mesh import PARTS, Mesh, lid_line
from gagjax.flame.builtin_head.sculpt import EYE, MOUTH_HALF_WIDTH, MOUTH_Y, lower_lip_edge, smoothstep, upper_lip_edge

JAW_JOINT = np.array([0.0, -6.0, -8.0])
NECK_JOINT = np.array([0.0, -95.0, -36.0])
ROOT_JOINT = np.array([0.0, -190.0, -44.0])


def _is(mesh: Mesh, *names: str) -> np.ndarray:
    return np.isin(mesh.part, [PARTS.index(n) for n in names])


def weights(mesh: Mesh) -> np.ndarray:
    """Skinning weights on root, neck, jaw, left eye, right eye; (V, 5)."""
    p = mesh.vertices
    x, y, z = p.T
    a = np.abs(x)
    out = np.zeros((len(p), 5))
    head = smoothstep(-178, -108, y)
    # Below the line from the corner of the mouth to the jaw joint the skin goes with the jaw; over the lips the two
    # copies of the slit decide.
    line = MOUTH_Y + (JAW_JOINT[1] - MOUTH_Y) * smoothstep(62, -12, z)
    band = 3.0 + 17.0 * smoothstep(14, 34, a)
    jaw = smoothstep(band, -band, y - line)
    lips = smoothstep(MOUTH_HALF_WIDTH + 1, 15, a) * smoothstep(45, 58, z)
    own = np.where(mesh.side > 0, 0.0, 1.0)
    at_slit = lips * smoothstep(14, 3, np.abs(y - MOUTH_Y)) * (mesh.side != 0)
    jaw = jaw + at_slit * (own - jaw)
    jaw *= smoothstep(-30, 0, z) * smoothstep(-116, -98, y)
    bag = _is(mesh, "mouth_bag")
    jaw = np.where(
        bag,
        np.where(mesh.side > 0, 0.0, 0.85) * smoothstep(MOUTH_HALF_WIDTH + 2, 14, a)
        + 0.45 * smoothstep(14, MOUTH_HALF_WIDTH + 2, a),
        jaw,
    )
    jaw = np.where(_is(mesh, "teeth_lower", "tongue"), 1.0, jaw)
    jaw = np.where(_is(mesh, "teeth_upper", "ear"), 0.0, jaw)
    out[:, 0] = 1 - head
    out[:, 2] = head * jaw
    out[:, 1] = head * (1 - jaw)
    for joint, name in ((3, "eye_left"), (4, "eye_right")):
        ball = _is(mesh, name)
        out[ball] = 0
        out[ball, joint] = 1
    return out


def joint_regressor(mesh: Mesh) -> np.ndarray:
    """Weights on vertices whose sums are the joints, (5, V)."""
    p = mesh.vertices
    out = np.zeros((5, len(p)))
    skin = _is(mesh, "skin")
    jaw = np.zeros(len(p), bool)
    for sign in (1, -1):
        distance = np.linalg.norm(p - [sign * 66, JAW_JOINT[1], JAW_JOINT[2]], axis=1)
        jaw[np.argsort(np.where(skin, distance, np.inf))[:6]] = True
    rings = [(skin & (np.abs(p[:, 1] - joint[1]) < 13), joint) for joint in (ROOT_JOINT, NECK_JOINT)]
    balls = [(_is(mesh, name), EYE * [sign, 1, 1]) for sign, name in ((1, "eye_left"), (-1, "eye_right"))]
    for joint, (chosen, target) in enumerate([*rings, (jaw, JAW_JOINT), *balls]):
        # The weights nearest to equal ones under which the vertices balance exactly at the joint.
        system = np.vstack([p[chosen].T, np.ones(chosen.sum())])
        equal = np.full(chosen.sum(), 1 / chosen.sum())
        out[joint, chosen] = equal + np.linalg.lstsq(system, np.array([*target, 1.0]) - system @ equal, rcond=None)[0]
    return out


def pose_correctives(mesh: Mesh) -> np.ndarray:
    """Displacements in millimetres per entry of R - I of neck, jaw and eyes, (V, 3, 36)."""
    x, y, z = mesh.vertices.T
    sign = np.sign(x)
    out = np.zeros((len(x), 3, 36))
    skin = _is(mesh, "skin")
    cheek = np.exp(-(((np.abs(x) - 40) / 16) ** 2) - ((y + 38) / 20) ** 2) * skin * (z > 0)
    throat = np.exp(-((x / 30) ** 2) - ((y + 105) / 14) ** 2) * skin * (z > -20)
    # Jaw, entries (1, 2) and (2, 1) of its R - I: minus and plus the sine of the opening angle.
    for entry, way in ((9 + 5, -1.0), (9 + 7, 1.0)):
        out[:, 0, entry] += way * -5.0 * sign * cheek
        out[:, 2, entry] += way * -4.0 * cheek
        out[:, 1, entry] += way * -3.0 * throat
    # Neck: the throat bulges when the head nods.
    for entry, way in ((5, -1.0), (7, 1.0)):
        out[:, 2, entry] += way * 4.0 * throat
    return out


def landmarks(mesh: Mesh) -> np.ndarray:
    """The vertex of each of the 70 landmarks: iBUG 68, then the right and the left eye's centre as seen from outside."""
    p, rest, side = mesh.vertices, mesh.rest, mesh.side
    skin = _is(mesh, "skin")
    front = skin & (p[:, 2] > 0)

    def nearest(x: float, y: float, mask: np.ndarray = front, at: np.ndarray | None = None) -> int:
        q = rest if at is None else at
        return int(np.argmin(np.where(mask, (q[:, 0] - x) ** 2 + (q[:, 1] - y) ** 2, np.inf)))

    chosen: list[int] = []
    for angle in np.linspace(-1.38, 1.38, 17):  # the contour, from the subject's right ear over the chin to the left
        target = np.array([66 * np.sin(angle), -6 - 80 * np.cos(angle) ** 1.15, -12 + 76 * np.cos(angle) ** 0.9])
        chosen.append(int(np.argmin(np.where(skin, ((p - target) ** 2).sum(1), np.inf))))
    brow = [(47, 40), (40, 44), (31, 45), (22, 43.5), (13, 40)]
    chosen += [nearest(-x, y) for x, y in brow] + [nearest(x, y) for x, y in brow[::-1]]
    chosen += [nearest(0, y, at=p[:, :2]) for y in (20, 9, -2, -12)]
    chosen += [nearest(x, -23, at=p[:, :2]) for x in (-13, -6.5, 0, 6.5, 13)]

    def lid(sign: int, offset: float, way: int) -> int:
        x = sign * (EYE[0] + offset)
        line = np.abs(rest[:, 1] - lid_line(rest[:, 0])) < 0.05
        return nearest(x, EYE[1], front & line & (side == way))

    def corner(sign: int, offset: float) -> int:
        x = sign * (EYE[0] + offset)
        return nearest(x, float(lid_line(np.array([x]))[0]))

    # Right eye: outer corner, two upper, inner corner, two lower; left eye: inner corner first.
    chosen += [
        corner(-1, 13.5),
        lid(-1, 5.8, 1),
        lid(-1, -5.8, 1),
        corner(-1, -13.5),
        lid(-1, -5.8, -1),
        lid(-1, 5.8, -1),
    ]
    chosen += [corner(1, -13.5), lid(1, -5.8, 1), lid(1, 5.8, 1), corner(1, 13.5), lid(1, 5.8, -1), lid(1, -5.8, -1)]
    xs = np.array([-16, -6, 0, 6, 16], float)
    mouth = MOUTH_HALF_WIDTH + 1

    def border(x: float, upper: bool) -> int:
        edge = upper_lip_edge if upper else lower_lip_edge
        return nearest(x, float(edge(np.array([x]))[0]))

    chosen += [nearest(-mouth, MOUTH_Y), *(border(x, True) for x in xs), nearest(mouth, MOUTH_Y)]
    chosen += [border(x, False) for x in xs[::-1]]
    slit = np.abs(rest[:, 1] - MOUTH_Y) < 0.05

    def inner(x: float, way: int) -> int:
        return nearest(x, MOUTH_Y, front & slit & (side == way))

    chosen += [nearest(-mouth + 2, MOUTH_Y), *(inner(x, 1) for x in (-9, 0, 9)), nearest(mouth - 2, MOUTH_Y)]
    chosen += [inner(x, -1) for x in (9, 0, -9)]
    chosen += [int(np.argmax(np.where(_is(mesh, name), p[:, 2], -np.inf))) for name in ("eye_right", "eye_left")]
    return np.array(chosen)


def masks(mesh: Mesh) -> dict[str, np.ndarray]:
    """Soft region weights that sum to one at every vertex."""
    p = mesh.vertices
    x, y, z = p.T
    a = np.abs(x)

    def spot(cx: float, cy: float, cz: float, rx: float, ry: float, rz: float) -> np.ndarray:
        return np.exp(-(((a - cx) / rx) ** 2) - ((y - cy) / ry) ** 2 - ((z - cz) / rz) ** 2)

    skin = _is(mesh, "skin", "lid_rim")
    score = {
        "lids": 1.6 * spot(31.5, 21, 50, 16, 10, 16) * skin,
        "brows": 1.2 * spot(29, 41, 62, 20, 6.5, 20) * skin,
        "forehead": 0.9 * spot(0, 74, 60, 50, 28, 45) * skin,
        "nose": 1.4 * spot(0, 0, 76, 14, 25, 20) * skin,
        "mouth": 1.5 * spot(0, MOUTH_Y, 72, 27, 13, 25) * skin,
        "cheeks": 0.8 * spot(44, -14, 38, 20, 26, 34) * skin,
        "jaw": 0.9 * spot(0, -84, 50, 42, 17, 60) * skin + 0.6 * spot(50, -62, 0, 20, 26, 40) * skin,
        "neck": (smoothstep(-95, -118, y) + 1e-6) * skin,
        "scalp": (0.8 * smoothstep(95, 120, y) + 0.8 * smoothstep(15, -35, z) * smoothstep(-85, -40, y)) * skin,
    }
    score = {name: value**2 for name, value in score.items()}
    score["eyes"] = 1.0 * _is(mesh, "eye_left", "eye_right")
    score["ears"] = 1.0 * _is(mesh, "ear")
    score["mouth"] = score["mouth"] + _is(mesh, "mouth_bag", "teeth_upper", "teeth_lower", "tongue")
    total = sum(score.values())
    # Where no region reaches, the nearest of scalp and neck takes all.
    score["scalp"] = score["scalp"] + (total < 1e-4) * (y > -80)
    score["neck"] = score["neck"] + (total < 1e-4) * (y <= -80)
    total = sum(score.values())
    return {name: (value / total).astype(np.float32) for name, value in sorted(score.items())}
