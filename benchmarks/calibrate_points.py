"""Calibrate the positions of MediaPipe's landmarks on the built-in head, using the network itself.

Identities of the built-in avatar are rendered from several views with slightly parted lips, the mesh network detects
the landmarks, and each landmark is traced back to the visible surface. The mean over all images is the embedding shipped in
`gagjax.tracking.correspondence`; its spread shows how well a landmark is bound to one place (the outline is not).

Run: `python -m benchmarks.calibrate_points gagjax/tracking/data/builtin_head.npz`
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from gagjax import avatars, flame, so3
from gagjax.flame.builtin_head import neutral_mesh
from gagjax.flame.builtin_head.mesh import PARTS
from gagjax.track import Track
from gagjax.tracking import points as numbering
from gagjax.tracking.correspondence import closest
from gagjax.tracking.faces.following import Follower

SEEDS = range(11, 20)  # disjoint from the identities in tracking_quality.py
VIEWS = [
    (0, 0),
    (15, 0),
    (-15, 0),
    (28, 0),
    (-28, 0),
    (0, 9),
    (0, 18),
    (0, -9),
    (0, -18),
    (12, 12),
    (-12, -12),
]  # yaw, pitch, degrees
DISTANCE, SIZE = 9.0, 640
FRONT = np.diag([-1.0, 1.0, -1.0])
JAW = 0.06
SAMPLES = np.array([[4, 1, 1], [1, 4, 1], [1, 1, 4], [2, 2, 2], [1, 2.5, 2.5], [2.5, 1, 2.5], [2.5, 2.5, 1]]) / 6


def main(target: Path) -> None:
    mesh, faces = neutral_mesh(), np.asarray(flame.builtin(0).faces)
    part = mesh.part[faces]
    skin = np.isin(part, [PARTS.index("skin"), PARTS.index("lid_rim")]).all(1)
    low = np.asarray(flame.builtin(0).weights)[faces, 2].mean(1) > 0.5
    sides = np.zeros(numbering.MESH, int)
    sides[numbering.UPPER_LIP], sides[numbering.LOWER_LIP] = 1, 2
    template = np.asarray(flame.builtin(0).v_template, float)
    # Sample points on the skin, as (triangle, barycentric weights).
    triangles = np.repeat(np.flatnonzero(skin), len(SAMPLES))
    weights = np.tile(SAMPLES, (int(skin.sum()), 1))
    found: list[np.ndarray] = []
    trust: list[np.ndarray] = []
    turns: list[tuple[float, float]] = []
    for seed in SEEDS:
        avatar = avatars.builtin(seed)
        for yaw, pitch in VIEWS:
            turn = np.asarray(so3.exp(np.radians([pitch, yaw, 0]).astype(np.float32)))
            rotation = turn.T @ FRONT
            pose = np.concatenate([rotation, [[0], [0.2], [DISTANCE]]], 1)[None]
            track = Track(np.zeros((1, 100)), [[JAW, 0, 0]], np.zeros((1, 6)), pose)
            picture = (np.clip(avatars.render(avatar, track, size=SIZE)[0], 0, 1) * 255).astype(np.uint8)
            look = Follower()(picture)
            if not look.confidence:
                print("no face", seed, yaw, pitch)
                continue
            v = np.asarray(flame.vertices(avatar.model, np.zeros(1), np.zeros(1), [0, 0, 0, JAW, 0, 0], np.zeros(6)))
            camera = 5 * v @ rotation + [0, 0.2, DISTANCE]
            n = np.asarray(flame.normals(avatar.model, v)) @ rotation
            at = (camera[faces[triangles]] * weights[..., None]).sum(1)
            facing = -(n[faces[triangles]] * weights[..., None]).sum(1)[:, 2]
            plane = (0.5 - 6 * at[:, :2] / at[:, 2:]) * SIZE
            seen = _visible(plane, at[:, 2]) & (facing > 0.1)
            places, firm = np.zeros((numbering.MESH, 3)), np.zeros(numbering.MESH)
            for k in range(numbering.MESH):
                ok = seen & ((sides[k] == 0) | (low[triangles] == (sides[k] == 2)))
                far = np.where(ok, np.linalg.norm(plane - look.points[k, :2], axis=1), np.inf)
                near = np.argsort(far)[:6]
                share = np.exp(-0.5 * ((far[near] - far[near[0]]) / 1.5) ** 2)
                share /= share.sum()
                body = (template[faces[triangles[near]]] * weights[near][..., None]).sum(1)
                places[k] = share @ body
                firm[k] = np.exp(-0.5 * (far[near[0]] / 3) ** 2) * (share @ facing[near])
            turns.append((np.radians(yaw), np.radians(pitch)))
            found.append(places)
            trust.append(firm)
    place, w = np.array(found), np.array(trust)
    centre, slides, share = _regressed(place, w, np.array(turns))
    away = place - centre - np.einsum("vk,knc->vnc", np.array(turns), slides)
    spread = np.sqrt((share * (np.linalg.norm(away, axis=-1) ** 2)).sum(0) / share.sum(0))
    partner = _partners(centre)
    mirror, slides = _symmetric(centre, slides, partner)
    face, bary, distance = closest(mirror, template, faces, skin)
    for side in (1, 2):
        k = np.flatnonzero(sides == side)
        face[k], bary[k], distance[k] = closest(mirror[k], template, faces, skin & (low == (side == 2)))
    print(
        f"pictures {len(place)}, spread mm median {1e3 * np.median(spread):.2f}, 90 % {1e3 * np.quantile(spread, 0.9):.2f}"
    )
    print(f"off the surface mm: median {1e3 * np.median(distance):.2f}, largest {1e3 * distance.max():.2f}")
    for name, k in zip(("yaw", "pitch"), slides, strict=True):
        print(f"slide with {name}, mm a degree: median {17.5 * np.median(np.linalg.norm(k, axis=-1)):.3f}")
    own = np.asarray(flame.landmarks(flame.builtin(0), template))
    gap = np.linalg.norm(mirror[numbering.IBUG] - own[:68], axis=1) * 1e3
    print("from iBUG's own places, mm:", {n: round(float(gap[s].mean()), 1) for n, s in GROUPS.items()})
    np.savez_compressed(
        target,
        faces=face.astype(np.int32),
        bary=bary.astype(np.float32),
        spread=spread.astype(np.float32),
        slides=slides.astype(np.float32),
    )


GROUPS = {"brows": slice(17, 27), "nose": slice(27, 36), "eyes": slice(36, 48), "lips": slice(48, 68)}


def _visible(plane: np.ndarray, depth: np.ndarray) -> np.ndarray:
    """Unoccluded samples: within 2 % of GAGAvatar's unit of the nearest sample in their 4-pixel cell."""
    cell = np.clip((plane / 4).astype(int), 0, SIZE // 4 - 1)
    nearest = np.full((SIZE // 4, SIZE // 4), np.inf)
    np.minimum.at(nearest, (cell[:, 1], cell[:, 0]), depth)
    return depth < nearest[cell[:, 1], cell[:, 0]] + 0.05


def _regressed(place: np.ndarray, weights: np.ndarray, turns: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Position of each landmark on the head, and its slide with yaw and pitch: robust least squares over the images."""
    design = np.concatenate([np.ones((len(turns), 1)), turns], 1)
    share = weights + 1e-9
    solved = np.zeros((3, *place.shape[1:]))
    for _ in range(6):
        for n in range(place.shape[1]):
            root = np.sqrt(share[:, n])[:, None]
            ridge = np.diag([0.0, 1e-3, 1e-3])
            left = (design * root).T @ (design * root) + ridge
            solved[:, n] = np.linalg.solve(left, (design * root).T @ (place[:, n] * root))
        away = np.linalg.norm(place - np.einsum("vk,knc->vnc", design, solved), axis=-1)
        share = weights / (1 + (away / 0.003) ** 2) + 1e-9
    return solved[0], solved[1:], share


def _partners(centre: np.ndarray) -> np.ndarray:
    """The index of each landmark's mirror landmark: MediaPipe's numbering is symmetric."""
    from scipy.optimize import linear_sum_assignment

    cost = np.linalg.norm(centre[:, None] - (centre * [-1, 1, 1])[None], axis=-1)
    return linear_sum_assignment(cost)[1]


def _symmetric(centre: np.ndarray, slides: np.ndarray, partner: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Average with the mirror image: positions, slides with yaw (which change sign) and with pitch."""
    flip = np.array([-1, 1, 1])
    sign = np.array([-1, 1])[:, None, None]
    return (centre + (centre * flip)[partner]) / 2, (slides + sign * (slides * flip)[:, partner]) / 2


if __name__ == "__main__":
    main(Path(sys.argv[1]))
