"""Where MediaPipe's points lie on the built-in head: found by asking the network itself.

Identities of the built-in avatar are rendered from several sides with the lips a little open, the mesh network marks
them, and each mark is traced back to the surface that is seen there. The mean over all pictures is the embedding that
`gagjax.tracking.correspondence` ships; its spread says how firmly a point holds to one place (the outline does not).

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
from gagjax.tracking.following import Follower

SEEDS = range(11, 23)  # not the identities of tracking_quality.py
VIEWS = [(0, 0), (15, 0), (-15, 0), (28, 0), (-28, 0), (0, 12), (0, -12), (10, 8), (-10, -8)]  # yaw, pitch, degrees
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
    # Sample points of the skin, as (triangle, weights).
    triangles = np.repeat(np.flatnonzero(skin), len(SAMPLES))
    weights = np.tile(SAMPLES, (int(skin.sum()), 1))
    found: list[np.ndarray] = []
    trust: list[np.ndarray] = []
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
            found.append(places)
            trust.append(firm)
    place, w = np.array(found), np.array(trust)
    centre = np.median(place, 0)
    for _ in range(5):  # robust mean
        d = np.linalg.norm(place - centre, axis=-1)
        share = w / (1 + (d / 0.003) ** 2) + 1e-9
        centre = (share[..., None] * place).sum(0) / share.sum(0)[:, None]
    spread = np.sqrt((share * (np.linalg.norm(place - centre, axis=-1) ** 2)).sum(0) / share.sum(0))
    mirror = _mirrored(centre)
    face, bary, distance = closest(mirror, template, faces, skin)
    for side in (1, 2):
        k = np.flatnonzero(sides == side)
        face[k], bary[k], distance[k] = closest(mirror[k], template, faces, skin & (low == (side == 2)))
    print(
        f"pictures {len(place)}, spread mm median {1e3 * np.median(spread):.2f}, 90 % {1e3 * np.quantile(spread, 0.9):.2f}"
    )
    print(f"off the surface mm: median {1e3 * np.median(distance):.2f}, largest {1e3 * distance.max():.2f}")
    own = np.asarray(flame.landmarks(flame.builtin(0), template))
    gap = np.linalg.norm(mirror[numbering.IBUG] - own[:68], axis=1) * 1e3
    print("from iBUG's own places, mm:", {n: round(float(gap[s].mean()), 1) for n, s in GROUPS.items()})
    np.savez_compressed(
        target, faces=face.astype(np.int32), bary=bary.astype(np.float32), spread=spread.astype(np.float32)
    )


GROUPS = {"brows": slice(17, 27), "nose": slice(27, 36), "eyes": slice(36, 48), "lips": slice(48, 68)}


def _visible(plane: np.ndarray, depth: np.ndarray) -> np.ndarray:
    """Samples that nothing lies before: within 2 % of GAGAvatar's unit of the nearest in their 4-pixel cell."""
    cell = np.clip((plane / 4).astype(int), 0, SIZE // 4 - 1)
    nearest = np.full((SIZE // 4, SIZE // 4), np.inf)
    np.minimum.at(nearest, (cell[:, 1], cell[:, 0]), depth)
    return depth < nearest[cell[:, 1], cell[:, 0]] + 0.05


def _mirrored(centre: np.ndarray) -> np.ndarray:
    """The mean with its own mirror image: the mean head is symmetric, and so is MediaPipe's numbering."""
    flipped = centre * [-1, 1, 1]
    cost = np.linalg.norm(centre[:, None] - flipped[None], axis=-1)
    from scipy.optimize import linear_sum_assignment

    _, partner = linear_sum_assignment(cost)
    return (centre + flipped[partner]) / 2


if __name__ == "__main__":
    main(Path(sys.argv[1]))
