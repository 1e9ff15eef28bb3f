"""The topology of the built-in head: a skin grid slit open at the lids and lips, eyeballs, teeth, tongue and ears.

The skin is a grid over the sculpt's angle and height. Along three rows (both eyes, the mouth) the columns between the
corners are doubled: the grid is slit there. The two copies are the upper and lower margin of the lids or lips; their
rims turn inwards, and the lips' rim goes on as the bag of the mouth. So a blink closes a slit, and nothing has to be cut.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from gagjax.flame.builtin_head import sculpt
from gagjax.flame.builtin_head.sculpt import BOTTOM, CROWN, EYE, EYE_RADIUS, LID_RADIUS, MOUTH_HALF_WIDTH, MOUTH_Y

LID_HALF_WIDTH = 13.5  # of the opening between the corners
UPPER_LID, LOWER_LID = 5.0, 5.4  # how far the margins stand from the line between the corners, at the middle
PARTS = ("skin", "lid_rim", "mouth_bag", "eye_left", "eye_right", "teeth_upper", "teeth_lower", "tongue", "ear")


class Mesh(NamedTuple):
    """The neutral head in millimetres.

    Attributes:
        vertices: (V, 3).
        faces: (F, 3), counter-clockwise seen from outside.
        part: (V,) index into `PARTS`.
        side: (V,) 1 on upper, -1 on lower margins and rims of lids and lips and in their neighbourhood, by which copy of
            a slit a vertex belongs to; 0 elsewhere.
        rest: (V, 2) place on the skin (x, y) before the lids were opened: what displacement fields are functions of.
    """

    vertices: np.ndarray
    faces: np.ndarray
    part: np.ndarray
    side: np.ndarray
    rest: np.ndarray


def lid_line(x: np.ndarray) -> np.ndarray:
    """Height of the closed lids' line: the outer corner a little higher than the inner one."""
    return EYE[1] - 0.6 + 0.055 * (np.abs(x) - EYE[0])


def lid_opening(x: np.ndarray, upper: bool) -> np.ndarray:
    """How far a lid's margin stands from the line at x: an almond, fuller towards the nose above, outwards below."""
    u = np.clip((np.abs(x) - EYE[0]) / LID_HALF_WIDTH, -1, 1)
    shape = np.maximum(1 - np.abs(u) ** 2.2, 0.0) ** 0.85
    return UPPER_LID * shape * (1 - 0.12 * u) if upper else LOWER_LID * shape * (1 + 0.18 * u)


def _columns() -> np.ndarray:
    """Values of x at the front (mm) turned into angles, then the sides and the back as angles; all for one side."""
    inner = [0, 2.2, 4.4, 6.6, 9, 11.6, 14.2]
    eye = EYE[0] + LID_HALF_WIDTH * np.array([-1, -0.84, -0.64, -0.43, -0.215, 0, 0.215, 0.43, 0.64, 0.84, 1])
    x = np.array([*inner, *eye, 49.5, 53.5, 57.5])
    at = np.full_like(x, EYE[1])
    front = sculpt.theta_at(x, at)
    sides = np.linspace(front[-1], np.pi, 11)[1:]
    return np.concatenate([front, sides])


def _rows() -> np.ndarray:
    lower = [BOTTOM, -196, -182, -168, -152, -134, -118, -107, -100, -94.5, -89, -83.5, -78, -72.5, -67.5, -62.5]
    mouth = [-58, -54.5, -51.5, -49, -46.6, MOUTH_Y, -41.4, -39, -36.4, -33, -29.5]
    nose = [-26.5, -24, -21.5, -19, -16, -12.5, -8.5, -4.5, -0.5, 3.5]
    eye = [7, 10, 13, 15.6, 18, 19.9, EYE[1], 23, 25, 27.3, 29.8, 32.5, 35.5, 39]
    upper = [43.5, 49, 56, 64, 73, 83, 93, 103, 112, 120, 127, 132.5, 136, CROWN - 0.05]
    return np.array([*lower, *mouth, *nose, *eye, *upper])


def build() -> Mesh:
    """The neutral head."""
    half = _columns()
    theta = np.concatenate([-half[:0:-1], half[:-1]])  # the back seam is one column, joined below
    rows = _rows()
    grid_t, grid_y = np.meshgrid(theta, rows)
    count_y, count_t = grid_t.shape
    index = np.arange(count_y * count_t).reshape(count_y, count_t)
    eye_row, mouth_row = int(np.argmin(np.abs(rows - EYE[1]))), int(np.argmin(np.abs(rows - MOUTH_Y)))

    # The eye row follows the line between the corners of the lids; rows beside it follow with it.
    x_guess = sculpt.loft(grid_t.ravel(), grid_y.ravel())[:, 0].reshape(grid_t.shape)
    near = np.exp(-(((grid_y - EYE[1]) / 14) ** 2)) * np.exp(
        -((np.maximum(np.abs(np.abs(x_guess) - EYE[0]) - 12, 0) / 14) ** 2)
    )
    height = grid_y + (lid_line(x_guess) - EYE[1]) * near
    rest = np.stack([x_guess, height], -1)

    side = np.zeros(grid_y.shape, int)
    front = np.abs(grid_t) < 1.0
    side[eye_row + 1 :][front[eye_row + 1 :] & (rows[eye_row + 1 :, None] < 45)] = 1
    side[mouth_row:eye_row][front[mouth_row:eye_row]] = -1
    side[mouth_row + 1 : mouth_row + 6][front[mouth_row + 1 : mouth_row + 6]] = 1

    faces = _grid_faces(index, closed=True)
    points = {"t": [grid_t.ravel()], "y": [height.ravel()], "rest": [rest.reshape(-1, 2)], "side": [side.ravel()]}
    total = index.size

    # Slit the grid: the row itself becomes the lower margin, its double the upper one.
    slits = []
    x_row = x_guess[eye_row]
    for sign in (1, -1):
        cols = np.flatnonzero((np.abs(sign * x_row - EYE[0]) <= LID_HALF_WIDTH + 0.05) & (np.abs(theta) < 1.5))
        slits.append(("lid", eye_row, cols))
    x_mouth = x_guess[mouth_row]
    cols = np.flatnonzero((np.abs(x_mouth) <= MOUTH_HALF_WIDTH + 0.9) & (np.abs(theta) < 1.5))
    slits.append(("lip", mouth_row, cols))
    doubled = []
    for kind, row, cols in slits:
        inside = cols[1:-1]
        double = total + np.arange(len(inside))
        total += len(inside)
        points["t"].append(grid_t[row, inside])
        points["y"].append(height[row, inside])
        points["rest"].append(rest[row, inside])
        points["side"].append(np.ones(len(inside), int))
        points["side"][0][index[row, inside]] = -1
        swap = dict(zip(index[row, inside], double, strict=True))
        above = np.isin(faces, index[row + 1]).any(1)
        faces[above] = np.vectorize(lambda v, s=swap: s.get(v, v))(faces[above])
        upper = np.concatenate([[index[row, cols[0]]], double, [index[row, cols[-1]]]])
        doubled.append((kind, upper, index[row, cols]))

    t, y = np.concatenate(points["t"]), np.concatenate(points["y"])
    rest_all, side_all = np.concatenate(points["rest"]), np.concatenate(points["side"])
    opened = _open_lids(rest_all, y, side_all)
    skin = sculpt.skin(t, opened)
    # The seam of lids and lips at their corners belongs to both margins.
    builder = _Builder(skin, faces, rest_all, side_all)
    for kind, upper, lower in doubled:
        if kind == "lid":
            builder.lid_rim(upper, lower)
        else:
            builder.mouth(upper, lower)
    builder.crown(index[-1])
    for sign, name in ((1, "eye_left"), (-1, "eye_right")):
        builder.eyeball(sign, name)
    builder.teeth()
    builder.tongue()
    for sign in (1, -1):
        builder.ear(sign)
    return builder.finish()


def _open_lids(rest: np.ndarray, y: np.ndarray, side: np.ndarray) -> np.ndarray:
    """Heights with the lids open: rows above the line move up, rows below it down, fading with distance."""
    x = rest[:, 0]
    from_line = y - lid_line(x)
    beside = np.maximum(np.abs(np.abs(x) - EYE[0]) - LID_HALF_WIDTH, 0)
    fade = np.exp(-np.abs(from_line) / 9.5) * (beside == 0) * (np.abs(from_line) < 26)
    upper = np.where(np.abs(from_line) < 1e-6, side > 0, from_line > 0)
    return y + np.where(upper, lid_opening(x, True), -lid_opening(x, False)) * fade


def _grid_faces(index: np.ndarray, closed: bool = False) -> np.ndarray:
    """Two triangles a cell; rows run upwards, columns to +x."""
    right = np.roll(index, -1, 1) if closed else index[:, 1:]
    left = index if closed else index[:, :-1]
    a, b, c, d = left[:-1], right[:-1], right[1:], left[1:]
    return np.concatenate([np.stack([a, b, c], -1).reshape(-1, 3), np.stack([a, c, d], -1).reshape(-1, 3)])


class _Builder:
    """Collects vertices and faces part by part."""

    def __init__(self, skin: np.ndarray, faces: np.ndarray, rest: np.ndarray, side: np.ndarray) -> None:
        self.vertices, self.faces = [skin], [faces]
        self.part, self.side, self.rest = [np.zeros(len(skin), int)], [side], [rest]
        self.count = len(skin)

    def add(
        self, points: np.ndarray, part: str, side: np.ndarray | int = 0, rest: np.ndarray | None = None
    ) -> np.ndarray:
        self.vertices.append(points)
        self.part.append(np.full(len(points), PARTS.index(part)))
        self.side.append(np.broadcast_to(side, len(points)).astype(int))
        self.rest.append(points[:, :2] if rest is None else rest)
        self.count += len(points)
        return np.arange(self.count - len(points), self.count)

    def at(self, index: np.ndarray) -> np.ndarray:
        return np.concatenate(self.vertices)[index]

    def rest_at(self, index: np.ndarray) -> np.ndarray:
        return np.concatenate(self.rest)[index]

    def strip(self, first: np.ndarray, second: np.ndarray) -> None:
        """Join two rows of the same length."""
        self.faces.append(_grid_faces(np.stack([first, second])))

    def lid_rim(self, upper: np.ndarray, lower: np.ndarray) -> None:
        """The thickness of the lids: the margins go in to just above the eyeball."""
        for line, way in ((upper, 1), (lower, -1)):
            edge = self.at(line[1:-1])
            centre = np.array([np.sign(edge[:, 0].mean()) * EYE[0], EYE[1], EYE[2]])
            out = edge - centre
            inner = centre + out / np.linalg.norm(out, axis=1, keepdims=True) * (EYE_RADIUS + 0.25)
            inner[:, 1] += 0.25 * way
            ring = self.add(inner, "lid_rim", way, self.rest_at(line[1:-1]))
            ring = np.concatenate([line[:1], ring, line[-1:]])
            self.strip(*((line, ring) if way < 0 else (ring, line)))

    def mouth(self, upper: np.ndarray, lower: np.ndarray) -> None:
        """The inside of the lips and the bag of the mouth, from the slit backwards to a dark wall."""
        last = []
        for line, way in ((upper, 1), (lower, -1)):
            before, rest = line, self.rest_at(line[1:-1])
            for dz, dy, narrow in (
                (-2.2, 0.5, 1.0),
                (-5.0, 2.8, 0.99),
                (-11.0, 8.0, 0.96),
                (-24.0, 14.0, 0.9),
                (-42.0, 12.0, 0.75),
            ):
                points = self.at(line[1:-1]).copy()
                taper = 1 - np.abs(points[:, 0] / (MOUTH_HALF_WIDTH + 2)) ** 4
                points[:, 0] *= narrow
                points[:, 1] += way * dy * taper
                points[:, 2] += dz * (0.35 + 0.65 * taper)
                ring = self.add(points, "mouth_bag", way, rest)
                ring = np.concatenate([line[:1], ring, line[-1:]])
                self.strip(*((before, ring) if way < 0 else (ring, before)))
                before = ring
            last.append(before)
        self.strip(last[1], last[0])

    def crown(self, top: np.ndarray) -> None:
        pole = self.add(self.at(top).mean(0, keepdims=True) + [[0, 0.3, 0]], "skin")[0]
        self.faces.append(np.stack([top, np.roll(top, -1), np.full(len(top), pole)], 1))

    def eyeball(self, sign: int, name: str) -> None:
        """A sphere with its pole at the pupil, rings dense at the front, the vertex in the pupil exactly on +z."""
        polar = np.radians([10, 18, 25, 33, 43, 55, 70, 90, 115, 145])
        around = 2 * np.pi * np.arange(20) / 20
        centre = EYE * [sign, 1, 1]
        rings = [
            centre
            + EYE_RADIUS
            * np.stack([np.sin(p) * np.cos(around), np.sin(p) * np.sin(around), np.full(20, np.cos(p))], -1)
            for p in polar
        ]
        front = self.add(centre[None] + [[0, 0, EYE_RADIUS]], name)[0]
        index = self.add(np.concatenate(rings), name).reshape(len(polar), 20)
        back = self.add(centre[None] - [[0, 0, EYE_RADIUS]], name)[0]
        self.faces.append(np.stack([np.full(20, front), index[0], np.roll(index[0], -1)], 1))
        self.faces.append(_grid_faces(index[::-1], closed=True))
        self.faces.append(np.stack([np.full(20, back), np.roll(index[-1], -1), index[-1]], 1))

    def teeth(self) -> None:
        """Two rows of teeth on an arch behind the lips."""
        u = np.linspace(-1, 1, 17)
        arch = np.stack([20.5 * np.sin(u * 1.25), np.zeros_like(u), 61.5 - 20 * (1 - np.cos(u * 1.25))], -1)
        for name, edge, root, shift in (
            ("teeth_upper", MOUTH_Y - 3.4, MOUTH_Y + 7.5, 0.0),
            ("teeth_lower", MOUTH_Y - 1.8, MOUTH_Y - 10.5, -2.8),
        ):
            rows = [arch * [1, 0, 1] + [0, y, shift + dz] for y, dz in ((edge, -2.0), (edge, 0.0), (root, 1.0))]
            index = self.add(np.concatenate(rows), name).reshape(3, -1)
            self.faces.append(_grid_faces(index if name == "teeth_upper" else index[::-1]))

    def tongue(self) -> None:
        v, u = np.meshgrid(np.linspace(0, 1, 6), np.linspace(-1, 1, 7), indexing="ij")
        x = 15 * u * (1 - 0.35 * v**2)
        z = 28 + 26 * v - 3 * u**2 * v
        y = MOUTH_Y - 9 + 3.5 * np.sin(np.pi * (0.2 + 0.6 * v)) - 3.5 * u**2
        index = self.add(np.stack([x, y, z], -1).reshape(-1, 3), "tongue").reshape(6, 7)
        self.faces.append(_grid_faces(index[:, ::-1]))
        tip = self.add(self.at(index[-1]).mean(0, keepdims=True) + [[0, -1.5, 2.5]], "tongue")[0]
        self.faces.append(np.stack([index[-1, 1:], index[-1, :-1], np.full(6, tip)], 1))

    def ear(self, sign: int) -> None:
        """A shell with a rolled rim, set on the side of the head."""
        radial, around = np.linspace(0, 1, 8), 2 * np.pi * np.arange(22) / 22
        r, a = np.meshgrid(radial[1:], around, indexing="ij")
        outline = 1 - 0.16 * np.exp(-(((a - 1.25 * np.pi) / 0.7) ** 2)) * 1.2  # the lobe is narrower
        forward, up = 15.5 * r * outline * np.cos(a), 30 * r * outline * np.sin(a)
        bowl = -3.2 * np.exp(-((r / 0.45) ** 2))
        inner_fold = 2.6 * np.exp(-(((r - 0.62) / 0.13) ** 2)) * (np.cos(a) < 0.55)
        rim = 4.4 * np.exp(-(((r - 0.9) / 0.12) ** 2)) * (1 - 0.75 * np.exp(-((np.abs(a - 1.5 * np.pi) / 0.6) ** 2)))
        out = 4.0 + bowl + inner_fold + rim - 5.0 * np.clip((r - 0.93) / 0.07, 0, 1)
        # The front edge lies on the head; the back stands off.
        flare = 7.5 * np.clip(-np.cos(a) * r, -0.6, 1) + 3.0
        local = np.stack([out + flare, up, forward], -1).reshape(-1, 3)
        centre = np.array([[0.8 + 3.0, 0, 0]])
        tilt = 0.16
        rotate = np.array([[1, 0, 0], [0, np.cos(tilt), np.sin(tilt)], [0, -np.sin(tilt), np.cos(tilt)]])
        place = np.array([67.0, 6.0, -22.0])
        points = np.concatenate([centre, local]) @ rotate.T + place
        points[:, 0] *= sign
        index = self.add(points, "ear")
        first, rings = index[0], index[1:].reshape(7, 22)
        fan = np.stack([np.full(22, first), np.roll(rings[0], -1), rings[0]], 1)
        shell = _grid_faces(rings, closed=True)
        both = np.concatenate([fan, shell])
        self.faces.append(both if sign > 0 else both[:, ::-1])

    def finish(self) -> Mesh:
        faces = np.concatenate(self.faces).astype(np.int32)
        # Strips that end in the corner of a slit have a triangle there whose ends are one vertex.
        faces = faces[(faces != np.roll(faces, 1, axis=1)).all(1)]
        return Mesh(
            np.concatenate(self.vertices),
            faces,
            np.concatenate(self.part),
            np.concatenate(self.side),
            np.concatenate(self.rest),
        )


__all__ = ["LID_RADIUS", "PARTS", "Mesh", "build", "lid_line", "lid_opening"]
