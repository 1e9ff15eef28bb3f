"""The tracker against a published track of the same film, beside two independent poses from the same landmarks.

Run by `python -m benchmarks.tracking_quality`; needs ../shared/footage/a. "Network's depth" is a similarity transform of
the head's rigid points onto the network's own three-dimensional landmarks; "PnP" fits pose and distance of 27 firm
points, on the canonical places of the mean head, to each frame's two-dimensional landmarks alone.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
from scipy.optimize import least_squares
from scipy.signal import butter, sosfiltfilt
from scipy.spatial.transform import Rotation

from gagjax.tracking import points as numbering
from gagjax.tracking.camera import PictureCamera
from gagjax.tracking.fit.head import Person, head_points
from gagjax.tracking.fit.shot import Subject, fit_shot
from gagjax.tracking.fit.start import first_poses

HEADER = ["pose", "r yaw, pitch, roll", "r above .3 Hz", "spread theirs, deg", "spread of the pose, deg", "slope"]
HEADER += ["difference after a constant, deg", "landmarks' error with its rotations, %"]
SLOW = 0.3  # Hz


def rows(head: Subject, landmarks: np.ndarray, folder: Path, fps: float) -> list[list[Any]]:
    """One row for each way to a pose.

    Args:
        head: The head model.
        landmarks: Pixels, (T, 478, 3).
        folder: With flame_params.json and transforms.json.
        fps: Frames per second.
    """
    told = json.loads((folder / "flame_params.json").read_text())
    frame = json.loads((folder / "transforms.json").read_text())
    frame = frame if "fl_x" in frame else frame["frames"][0]
    size, focal = float(frame["w"]), float(frame["fl_x"])
    theirs = Rotation.from_rotvec(np.array(told["rotation"])) * Rotation.from_rotvec(np.array(told["neck_pose"]))
    given = fit_shot(head, landmarks, PictureCamera.of_picture(int(size), int(size), focal / size), fixed_focal=True)
    free = fit_shot(head, landmarks, PictureCamera.of_picture(int(size), int(size)))
    mean = Person(jnp.zeros(head.head.shapes), jnp.zeros((head.head.count, 3)), jnp.float32(focal))
    idle = jnp.zeros(head.head.basis.shape[-1] - head.head.shapes)
    rest = np.full((numbering.MESH, 3), np.nan)
    rest[head.embedding.numbers] = np.asarray(head_points(head.head, mean, jnp.zeros(3), idle))
    centred = landmarks - np.array([size / 2, size / 2, 0])
    poses = {
        "ours, its focal length": _camera_to_opengl(np.asarray(given.pose.rotation)),
        "ours, focal length estimated": _camera_to_opengl(np.asarray(free.pose.rotation)),
        "network's depth": _camera_to_opengl(first_poses(rest, centred, focal)[0]),
        "PnP": _perspective(rest, centred, focal),
        "theirs": theirs,
    }
    jaw = np.array(told["jaw_pose"])[:, 0]
    made = [[name, *compared(pose, theirs, fps), fitted(pose, rest, centred, focal)] for name, pose in poses.items()]
    openings = {
        "lips": np.linalg.norm(landmarks[:, 13, :2] - landmarks[:, 14, :2], axis=1),
        "chin to nose": np.linalg.norm(landmarks[:, 152, :2] - landmarks[:, 2, :2], axis=1),
    }
    mine = np.asarray(given.pose.jaw)[:, 0]
    said = [f"{name}: theirs {_r(jaw, x):.3f}, ours {_r(mine, x):.3f}" for name, x in openings.items()]
    print(f"jaw r {_r(mine, jaw):.3f}; r of each jaw with the landmarks' openings, {'; '.join(said)}")
    return [*made, [f"jaw: r {_r(mine, jaw):.3f}", *said, "", "", "", ""]]


def compared(pose: Rotation, theirs: Rotation, fps: float) -> list[str]:
    """The columns of `HEADER` from the correlations to the difference."""
    a, b = (np.unwrap(x.as_euler("YXZ"), axis=0) for x in (pose, theirs))
    sos = butter(2, SLOW / (fps / 2), "highpass", output="sos")
    fast = [sosfiltfilt(sos, x, axis=0) for x in (a, b)]
    three = range(3)
    away = np.degrees(np.abs((a - b) - (a - b).mean(0)).mean(0))

    def said(values: Any, digits: int = 2) -> str:
        return ", ".join(f"{v:.{digits}f}" for v in values)

    return [
        said((_r(a[:, k], b[:, k]) for k in three), 3),
        said((_r(fast[0][:, k], fast[1][:, k]) for k in three), 3),
        said(np.degrees(b.std(0))),
        said(np.degrees(a.std(0))),
        said(np.polyfit(b[:, k], a[:, k], 1)[0] for k in three),
        said(away),
    ]


def fitted(pose: Rotation, rest: np.ndarray, centred: np.ndarray, focal: float) -> float:
    """How well landmarks are met with a pose's changes of rotation: a constant turn, the points' places and each
    frame's shift are free. Mean distance, % of the distance between the pupils."""
    use = _firm(rest)
    some = slice(0, len(centred), 8)
    turn, seen = pose[some], centred[some, :, :2]
    scale = np.linalg.norm(seen[:, 468] - seen[:, 473], axis=1).mean()

    def away(x: np.ndarray) -> np.ndarray:
        body = rest[use] + x[3:].reshape(-1, 3) * 1e-3
        places = np.stack([(r * Rotation.from_rotvec(x[:3])).apply(body) for r in turn]) * [1, -1, -1]
        return (_seen(places, seen[:, use], focal) - seen[:, use]) / scale

    def cost(x: np.ndarray) -> np.ndarray:
        return np.concatenate([away(x).ravel(), 0.002 * x[3:]])

    found = least_squares(cost, np.zeros(3 + 3 * len(use)), max_nfev=20)
    return 100 * float(np.linalg.norm(away(found.x), axis=-1).mean())


def _seen(places: np.ndarray, seen: np.ndarray, focal: float) -> np.ndarray:
    """Points (T, N, 3) at the distance and place at which they fit best what is seen."""
    flat = places[..., :2] - places[..., :2].mean(1, keepdims=True)
    marks = seen - seen.mean(1, keepdims=True)
    depth = focal * (flat**2).sum((1, 2)) / (flat * marks).sum((1, 2))
    shown = focal * flat / (depth[:, None, None] + places[..., 2:] - places[..., 2:].mean(1, keepdims=True))
    return shown - shown.mean(1, keepdims=True) + seen.mean(1, keepdims=True)


def _perspective(rest: np.ndarray, centred: np.ndarray, focal: float) -> Rotation:
    use, x = _firm(rest), np.array([0.0, 0, 0])
    vectors = []
    for marks in centred[:, use, :2]:

        def away(v: np.ndarray, marks: np.ndarray = marks) -> np.ndarray:
            places = Rotation.from_rotvec(v).apply(rest[use]) * [1, -1, -1]
            return (_seen(places[None], marks[None], focal)[0] - marks).ravel()

        x = least_squares(away, x, loss="soft_l1", f_scale=3.0).x
        vectors.append(x)
    return Rotation.from_rotvec(np.array(vectors))


def _firm(rest: np.ndarray) -> np.ndarray:
    return numbering.RIGID[np.isfinite(rest[numbering.RIGID]).all(1)]


def _camera_to_opengl(rotation: np.ndarray) -> Rotation:
    return Rotation.from_matrix(np.diag([-1.0, 1.0, -1.0]) @ np.swapaxes(rotation, 1, 2))


def _r(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.corrcoef(a, b)[0, 1])
