"""The expression columns of the built-in head: named controls first, then small local modes, then fine controls.

A control is a displacement of the neutral head in millimetres at unit coefficient, written as a formula of a vertex's
place at rest. Controls of one side are made for the subject's left and mirrored. The fine controls in the last columns are
one-sided or small; with the others they make up the 52 shapes of ARKit (`gagjax.expression.arkit`).
"""

from __future__ import annotations

import numpy as np

from gagjax.flame.builtin_head.jaw import JAW_OPEN
from gagjax.flame.builtin_head.mesh import PARTS, Mesh, lid_line, lid_opening
from gagjax.flame.builtin_head.rig import JAW_JOINT
from gagjax.flame.builtin_head.sculpt import EYE, LID_RADIUS, MOUTH_HALF_WIDTH, MOUTH_Y, smoothstep

NAMES = (
    "blink_left",
    "blink_right",
    "smile",
    "mouth_open",
    "pucker",
    "brow_up",
    "brow_down",
    "lips_press",
    "squint",
    "frown",
    "cheek_puff",
    "nose_wrinkle",
    "brow_inner_up",
    "upper_lip_raise",
    "lower_lip_down",
    "mouth_left",
    "mouth_right",
    "dimple",
    "chin_raise",
    "eyes_wide",
    "look_down_lids",
    "smile_left",
    "smile_right",
    "jaw_forward",
)
CONTROLS: dict[str, int] = {name: column for column, name in enumerate(NAMES)}
_FINE = (
    "squint_left",
    "frown_left",
    "dimple_left",
    "lips_press_left",
    "lower_lip_down_left",
    "upper_lip_raise_left",
    "brow_down_left",
    "nose_wrinkle_left",
    "stretch_left",
    "stretch_right",
    "brow_outer_up_left",
    "brow_outer_up_right",
    "cheek_squint_left",
    "cheek_squint_right",
    "lip_roll_lower",
    "lip_roll_upper",
    "upper_lip_shrug",
    "funnel",
    "lips_together",
    "tongue_out",
)
COUNT = 100
FINE_CONTROLS: dict[str, int] = {name: COUNT - len(_FINE) + i for i, name in enumerate(_FINE)}
_RIGID = tuple(PARTS.index(name) for name in ("eye_left", "eye_right", "teeth_upper", "ear"))


class _Face:
    """Coordinates and weights that the controls are written in."""

    def __init__(self, mesh: Mesh) -> None:
        self.mesh = mesh
        self.x, self.y = mesh.rest.T
        self.z = mesh.vertices[:, 2]
        self.a = np.abs(self.x)
        self.sign = np.sign(self.x)
        self.skin = np.isin(mesh.part, [PARTS.index(n) for n in ("skin", "lid_rim", "mouth_bag")]) & (self.z > -35)
        self.lower = np.isin(mesh.part, [PARTS.index(n) for n in ("teeth_lower", "tongue")])
        self.bag = (mesh.part == PARTS.index("mouth_bag")) & (mesh.vertices[:, 2] < 62)

    def spot(self, cx: float, cy: float, rx: float, ry: float) -> np.ndarray:
        """A hill on both sides; the two halves agree on the middle line."""
        return np.exp(-(((self.a - cx) / rx) ** 2) - ((self.y - cy) / ry) ** 2) * self.skin

    def upper_lip(self, reach: float = 13.0) -> np.ndarray:
        side = (self.mesh.side > 0) & self.skin
        return (
            side
            * np.exp(-((np.maximum(self.y - MOUTH_Y, 0) / reach) ** 2))
            * smoothstep(MOUTH_HALF_WIDTH + 3, 12, self.a)
            * (self.y < 0)
        )

    def lower_lip(self, reach: float = 15.0) -> np.ndarray:
        side = (self.mesh.side <= 0) & (self.y <= MOUTH_Y + 0.01) & self.skin
        return (
            side
            * np.exp(-((np.maximum(MOUTH_Y - self.y, 0) / reach) ** 2))
            * smoothstep(MOUTH_HALF_WIDTH + 3, 12, self.a)
        )

    def lips(self, reach: float = 15.0) -> np.ndarray:
        return self.spot(0, MOUTH_Y, 21, reach)


def _vector(x: np.ndarray | float, y: np.ndarray | float, z: np.ndarray | float, like: np.ndarray) -> np.ndarray:
    return np.stack([np.broadcast_to(v, like.shape) for v in (x, y, z)], -1).astype(float)


def _lids(face: _Face, close: float) -> np.ndarray:
    """The upper lid slides down its sphere by the share `close` of the opening, the lower one comes up a little."""
    v = face.mesh.vertices
    from_line = face.y - lid_line(face.x)
    upper = (face.mesh.side > 0) & (np.abs(from_line) < 24)
    lower = (face.mesh.side < 0) & (np.abs(from_line) < 18) & (from_line < 0.01)
    fade = np.exp(-np.abs(from_line) / 9.5) * (np.abs(face.a - EYE[0]) < 13.6) * face.skin
    up, down = lid_opening(face.x, True), lid_opening(face.x, False)
    # Margins meet a little above the lower one: upper goes down by all but a fifth of the lower opening.
    dy = np.where(upper, -(up + 0.8 * down), np.where(lower, 0.2 * down, 0.0)) * fade * close
    moved = v.copy()
    moved[:, 1] += dy
    # Depth on the lid's sphere before and after; the rim stays its own distance under it.
    centre_x, centre_y = np.sign(face.x) * EYE[0], EYE[1]

    def depth(p: np.ndarray) -> np.ndarray:
        return np.sqrt(np.maximum(LID_RADIUS**2 - (p[:, 0] - centre_x) ** 2 - (p[:, 1] - centre_y) ** 2, 9.0))

    near = smoothstep(15.0, 11.5, np.hypot(v[:, 0] - centre_x, v[:, 1] - centre_y))
    dz = (depth(moved) - depth(v)) * near * (np.abs(dy) > 1e-9)
    return _vector(0.0, dy, dz, dy)


def _smile(face: _Face) -> np.ndarray:
    corner = face.spot(MOUTH_HALF_WIDTH + 1, MOUTH_Y + 1, 15, 13)
    cheek = face.spot(36, -8, 15, 14)
    under_eye = face.spot(32, 6, 15, 7)
    thin = face.lips(10)
    fold = face.spot(33, -26, 5, 15)
    d = _vector(face.sign * 6.0, 7.2, -3.0, corner) * corner[:, None]
    d += _vector(face.sign * 1.2, 3.4, 2.6, cheek) * cheek[:, None]
    d += _vector(0, 1.5, 0.6, cheek) * under_eye[:, None]
    d += _vector(0, 0, -1.6, thin) * thin[:, None]
    return d + _vector(0, 0, -1.4, fold) * fold[:, None]


def _jaw_region(face: _Face) -> np.ndarray:
    return smoothstep(MOUTH_Y + 1, MOUTH_Y - 14, face.y) * smoothstep(-150, -100, face.y) * (face.z > -30)


def _formulas(face: _Face) -> dict[str, np.ndarray]:
    up, low, lips = face.upper_lip(), face.lower_lip(), face.lips()
    brow = face.spot(30, 40, 20, 9) + face.spot(26, 52, 22, 10)
    inner = face.spot(11, 40, 11, 10)
    corner = face.spot(MOUTH_HALF_WIDTH, MOUTH_Y, 11, 10)
    smile = _smile(face)
    left, right = (smoothstep(-6, 6, s * face.x)[:, None] for s in (1, -1))
    blink = _lids(face, 1.0)
    made: dict[str, np.ndarray] = {
        "blink_left": blink * (face.x > 0)[:, None],
        "blink_right": blink * (face.x < 0)[:, None],
        "smile": smile,
        "mouth_open": _vector(0, 1.6, 0.4, up) * up[:, None] + _vector(0, -4.2, -0.6, low) * low[:, None],
        "pucker": _vector(-0.33 * face.x, 0, 0, lips) * face.spot(0, MOUTH_Y, 30, 15)[:, None]
        + _vector(0, 0, 6.0, lips) * face.spot(0, MOUTH_Y, 15, 13)[:, None],
        "brow_up": _vector(0, 6.0, 0.6, brow) * np.minimum(brow, 1)[:, None],
        "brow_down": _vector(-face.sign * 1.2, -4.2, 0.5, brow) * np.minimum(brow, 1)[:, None]
        + _vector(-face.sign * 1.6, -1.5, 0.8, inner) * inner[:, None],
        "lips_press": _vector(0, -0.9, -2.6, up) * up[:, None] * (face.y < MOUTH_Y + 11)[:, None]
        + _vector(0, 0.9, -2.6, low) * low[:, None],
        "squint": _lids(face, 0.35) + _vector(0, 1.6, 0.8, lips) * face.spot(34, 8, 14, 7)[:, None],
        "frown": _vector(face.sign * 1.0, -6.0, -1.0, corner) * corner[:, None]
        + _vector(0, 0.8, 0.5, low) * low[:, None],
        "cheek_puff": _vector(face.sign * 6.5, 0, 4.5, corner) * face.spot(41, -40, 15, 15)[:, None],
        "nose_wrinkle": _vector(0, 3.0, 0.8, corner) * face.spot(12, -8, 8, 11)[:, None]
        + _vector(0, 1.4, 0.3, up) * up[:, None],
        "brow_inner_up": _vector(0, 5.0, 0.5, inner) * inner[:, None],
        "upper_lip_raise": _vector(0, 4.2, 0.5, up) * up[:, None],
        "lower_lip_down": _vector(0, -5.0, 0.3, low) * low[:, None],
        "dimple": _vector(face.sign * 3.4, 0.6, -2.4, corner) * corner[:, None],
        "chin_raise": _vector(0, 3.6, 1.2, corner) * face.spot(0, -72, 17, 12)[:, None]
        + _vector(0, 1.8, 1.6, low) * low[:, None],
        "eyes_wide": _lids(face, -0.3),
        "look_down_lids": _lids(face, 0.45),
        "smile_left": smile * left,
        "smile_right": smile * right,
        "jaw_forward": _vector(0, 0, 5.0, corner) * np.where(face.lower, 1.0, _jaw_region(face))[:, None],
    }
    for name, way in (("mouth_left", 1.0), ("mouth_right", -1.0)):
        made[name] = _vector(way * 7.0, 0, -0.6, lips) * face.spot(0, MOUTH_Y - 2, 30, 17)[:, None]
    return made


def _fine(face: _Face, made: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The fine controls: left halves of the others, so that whole minus left is right, and what has no other."""
    up, low, lips = face.upper_lip(), face.lower_lip(), face.lips()
    left, right = (smoothstep(-6, 6, s * face.x)[:, None] for s in (1, -1))
    halves = {
        f"{name}_left": made[name] * left for name in (each.removesuffix("_left") for each in _FINE) if name in made
    }
    corner = face.spot(MOUTH_HALF_WIDTH + 2, MOUTH_Y - 4, 13, 12)
    outer = face.spot(42, 43, 14, 10)
    cheek = face.spot(36, 0, 16, 11)
    stretch = _vector(face.sign * 6.0, -3.0, -3.0, corner) * corner[:, None]
    raised = _vector(0, 5.5, 0.4, outer) * outer[:, None]
    bunched = _vector(0, 3.6, 1.8, cheek) * cheek[:, None]
    ring = face.spot(0, MOUTH_Y, 24, 15)[:, None]
    # With the jaw open, the upper lip comes down by three tenths of the gap and the lower one up by the rest.
    arm = face.mesh.vertices - JAW_JOINT
    turn = np.array([[1, 0, 0], [0, np.cos(JAW_OPEN), -np.sin(JAW_OPEN)], [0, np.sin(JAW_OPEN), np.cos(JAW_OPEN)]])
    dropped, lifted = arm @ turn.T - arm, arm @ turn - arm
    return halves | {
        "stretch_left": stretch * left,
        "stretch_right": stretch * right,
        "brow_outer_up_left": raised * left,
        "brow_outer_up_right": raised * right,
        "cheek_squint_left": bunched * left,
        "cheek_squint_right": bunched * right,
        "lip_roll_lower": _vector(0, 2.4, -4.2, low) * face.lower_lip(9.0)[:, None],
        "lip_roll_upper": _vector(0, -2.4, -4.2, up) * face.upper_lip(8.0)[:, None],
        "upper_lip_shrug": _vector(0, 2.4, 2.6, up) * up[:, None],
        "funnel": _vector(-0.22 * face.x, 0, 5.0, lips) * ring
        + _vector(0, 3.2, 0.6, up) * up[:, None]
        + _vector(0, -4.2, 0.4, low) * low[:, None],
        "lips_together": 0.7 * lifted * low[:, None] + 0.3 * dropped * up[:, None],
        "tongue_out": _vector(0, -4.0, 34.0, lips)
        * (face.mesh.part == PARTS.index("tongue"))[:, None]
        * smoothstep(10, 60, face.z)[:, None],
    }


def columns(mesh: Mesh, count: int = COUNT, seed: int = 0) -> np.ndarray:
    """All expression columns, (V, 3, count), millimetres at unit coefficient."""
    face = _Face(mesh)
    made = _formulas(face)
    made |= _fine(face, made)
    fine = {name: column for name, column in FINE_CONTROLS.items() if column < count}
    out = np.zeros((len(mesh.vertices), 3, count))
    for name, column in {**CONTROLS, **fine}.items():
        out[:, :, column] = made[name]
    # The rest: smooth local motions of the face, smaller and smaller, as the later columns of FLAME are.
    rng = np.random.default_rng([seed, 100])
    # Corners of lids and lips tie two copies of a slit together, so modes must be equal on both: functions of place.
    calm = 1 - np.exp(-((np.hypot(face.a - EYE[0], face.y - EYE[1]) / 17.0) ** 6))
    reach = smoothstep(-112, -96, face.y) * smoothstep(105, 80, face.y) * smoothstep(-25, 10, face.z)
    places = np.flatnonzero(reach * calm * face.skin > 0.5)
    for column in range(len(CONTROLS), min(count, COUNT - len(_FINE))):
        cx, cy = mesh.rest[rng.choice(places)]
        radius = rng.uniform(12, 24)
        direction = rng.normal(size=3) * [1, 1, 0.7]
        hill = np.exp(-((face.x - cx) ** 2 + (face.y - cy) ** 2) / radius**2) * calm * reach * face.skin
        size = 1.1 * (1 + column - len(CONTROLS)) ** -0.35
        out[:, :, column] = size * hill[:, None] * direction / np.linalg.norm(direction)
    out[np.isin(mesh.part, _RIGID)] = 0
    # The back of the mouth and the lower teeth follow only what moves the whole jaw.
    still = face.lower | face.bag
    keep = [CONTROLS["jaw_forward"], *([FINE_CONTROLS["tongue_out"]] if fine else [])]
    moved = out[:, :, keep].copy()
    out[still] *= 0.25 * face.bag[still, None, None]
    out[:, :, keep] = np.where(still[:, None, None], np.where(face.lower[:, None, None], moved, out[:, :, keep]), moved)
    return out
