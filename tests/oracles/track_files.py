"""Readers of track files written from the formats' public descriptions, with nothing of gagjax: float64, plain NumPy.

GAGAvatar_track: a pickle of `{"<video>_<number>": record}`, read by the number after the last underscore. LivePortrait: a
pickle of `{"n_frames", "output_fps", "motion": [{"scale", "R" or "R_d", "exp", "t"}], "c_eyes_lst", "c_lip_lst"}`. VHAP and
GaussianAvatars: an archive of `expr, rotation, neck_pose, jaw_pose, eyes_pose, translation` (T, n) and `shape`, or a folder
of archives with one frame each, named by numbers. gagjax: an archive of named arrays and a JSON text.
"""

from __future__ import annotations

import json
import pickle
from fractions import Fraction
from pathlib import Path

import numpy as np


def gagavatar(path: Path) -> dict[int, dict[str, np.ndarray]]:
    """Fields by frame number."""
    content = pickle.loads(Path(path).read_bytes())
    numbers = {key: int(str(key).split("_")[-1]) for key in content if "_" in str(key)}
    return {
        number: {name: np.asarray(value, np.float64) for name, value in content[key].items() if name != "note"}
        for key, number in sorted(numbers.items(), key=lambda item: item[1])
    }


def liveportrait(path: Path) -> dict[str, np.ndarray]:
    """Fields as (T, ...), `fps` and `frames` as the file says them."""
    content = pickle.loads(Path(path).read_bytes())
    motion = content["motion"]
    turn = "R" if "R" in motion[0] else "R_d"
    made = {name: np.concatenate([np.asarray(frame[name], np.float64) for frame in motion]) for name in motion[0]}
    made["rotation"] = made.pop(turn)
    for name in ("c_eyes_lst", "c_d_eyes_lst", "c_lip_lst", "c_d_lip_lst"):
        if content.get(name):
            made[name[:3].rstrip("_") + name[-9:]] = np.concatenate([np.asarray(v, np.float64) for v in content[name]])
    return made | {"fps": np.asarray(content["output_fps"]), "frames": np.asarray(content["n_frames"])}


def vhap(path: Path) -> dict[str, np.ndarray]:
    """Fields as (T, ...); `number` (T,) of each frame."""
    path = Path(path)
    if path.is_dir():
        files = sorted(path.glob("*.npz"), key=lambda file: int(file.stem))
        archives = [dict(np.load(file, allow_pickle=False)) for file in files]
        names = [name for name in archives[0] if archives[0][name].ndim == 2 and len(archives[0][name]) == 1]
        made = {name: np.concatenate([archive[name] for archive in archives]).astype(np.float64) for name in names}
        return made | {"shape": archives[0]["shape"], "number": np.array([int(file.stem) for file in files])}
    archive = dict(np.load(path, allow_pickle=False))
    steps = archive.pop("timestep_id", np.arange(len(archive["expr"])))
    return archive | {"number": np.array([int(step) for step in steps])}


def native(path: Path) -> dict[str, object]:
    """The arrays, the rate as a ratio, the names."""
    archive = dict(np.load(path, allow_pickle=False))
    said = json.loads(str(archive.pop("metadata")))
    return archive | {"fps": Fraction(said["fps"]), "names": said["names"]}
