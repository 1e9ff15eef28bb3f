"""Tracks and files for the tests of this folder."""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

from gagjax.track import Track


def track(frames: int = 6, seed: int = 0, **changes) -> Track:
    rng = np.random.default_rng(seed)
    rotation = Rotation.from_rotvec(0.3 * rng.normal(size=(frames, 3))).as_matrix()
    fields = {
        "expression": rng.normal(size=(frames, 100)),
        "jaw": 0.1 * rng.normal(size=(frames, 3)),
        "eyes": 0.1 * rng.normal(size=(frames, 6)),
        "transform": np.concatenate([rotation, rng.normal(size=(frames, 3, 1))], 2),
    }
    return Track(**{**fields, **changes})


def records(frames: int = 6, video: str = "clip", numbers=None, seed: int = 0) -> dict:
    """The content of an `optim.pkl`, as GAGAvatar_track writes it."""
    rng = np.random.default_rng(seed)
    made = track(frames, seed)
    shape = rng.normal(size=300).astype(np.float32)
    return {
        f"{video}_{number}": {
            "bbox": np.array([0.1, 0.1, 0.9, 0.9], np.float32),
            "shapecode": shape.copy(),
            "expcode": np.array(made.expression[i]),
            "posecode": np.concatenate([np.zeros(3, np.float32), made.jaw[i]]),
            "eyecode": np.array(made.eyes[i]),
            "transform_matrix": np.array(made.transform[i]),
        }
        for i, number in enumerate(range(frames) if numbers is None else numbers)
    }


def template(frames: int = 5, key: str = "R", ratios: str | None = None, keypoints: bool = False, fps=25) -> dict:
    """The content of a LivePortrait template."""
    rng = np.random.default_rng(1)

    def draw(*shape):
        return rng.normal(size=shape).astype(np.float32)

    rotation = Rotation.from_rotvec(0.3 * rng.normal(size=(frames, 3))).as_matrix().astype(np.float32)
    motion = [
        {"scale": 1 + 0.1 * draw(1, 1), key: rotation[i : i + 1], "exp": draw(1, 21, 3), "t": draw(1, 3)}
        for i in range(frames)
    ]
    if keypoints:
        for frame in motion:
            kp = draw(1, 21, 3)
            frame["kp"] = kp
            frame["x_s"] = frame["scale"][..., None] * (kp @ frame[key] + frame["exp"]) + frame["t"][:, None]
    content = {"n_frames": frames, "output_fps": fps, "motion": motion}
    if ratios is not None:
        content[f"c_{ratios}eyes_lst"] = [draw(1, 2) for _ in range(frames)]
        content[f"c_{ratios}lip_lst"] = [draw(1, 1) for _ in range(frames)]
    return content


def parameters(frames: int = 4) -> dict:
    """The arrays of a VHAP `flame_param.npz`."""
    rng = np.random.default_rng(2)
    columns = {"expr": 100, "jaw_pose": 3, "eyes_pose": 6, "neck_pose": 3, "rotation": 3, "translation": 3}
    made = {name: 0.3 * rng.normal(size=(frames, n)).astype(np.float32) for name, n in columns.items()}
    return made | {
        "shape": rng.normal(size=300).astype(np.float32),
        "static_offset": np.zeros((1, 5143, 3), np.float32),
    }
