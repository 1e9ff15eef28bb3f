"""Files of other trackers, written from the formats' public descriptions, and the values that a reader has to find in them.

Each maker takes a folder and returns the path, the frames, and the fields as they should come out: `expression` (T, 100), `jaw`
(T, 3), `eyes` (T, 6) and more. Angles here are rotation vectors; makers turn them into what the format wants with SciPy.
"""

from __future__ import annotations

import csv
import json
import pickle
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import scipy.io
from scipy.spatial.transform import Rotation

FRAMES = 4
#: Apple's names in the order in which Live Link Face writes them.
LIVE_LINK = (  # noqa: SIM905
    "EyeBlinkLeft EyeLookDownLeft EyeLookInLeft EyeLookOutLeft EyeLookUpLeft EyeSquintLeft EyeWideLeft EyeBlinkRight "
    "EyeLookDownRight EyeLookInRight EyeLookOutRight EyeLookUpRight EyeSquintRight EyeWideRight JawForward JawRight JawLeft "
    "JawOpen MouthClose MouthFunnel MouthPucker MouthRight MouthLeft MouthSmileLeft MouthSmileRight MouthFrownLeft "
    "MouthFrownRight MouthDimpleLeft MouthDimpleRight MouthStretchLeft MouthStretchRight MouthRollLower MouthRollUpper "
    "MouthShrugLower MouthShrugUpper MouthPressLeft MouthPressRight MouthLowerDownLeft MouthLowerDownRight MouthUpperUpLeft "
    "MouthUpperUpRight BrowDownLeft BrowDownRight BrowInnerUp BrowOuterUpLeft BrowOuterUpRight CheekPuff CheekSquintLeft "
    "CheekSquintRight NoseSneerLeft NoseSneerRight TongueOut"
).split()
TURNS = [f"{part}{angle}" for part in ("Head", "LeftEye", "RightEye") for angle in ("Yaw", "Pitch", "Roll")]


class Made(NamedTuple):
    path: Path
    fields: dict[str, Any]


def drawn(seed: int = 0, frames: int = FRAMES, expressions: int = 50) -> dict[str, np.ndarray]:
    """Values of a clip, those that a format does not have are left away by its maker."""
    rng = np.random.default_rng(seed)

    def draw(*shape: int, size: float = 0.2) -> np.ndarray:
        return (size * rng.normal(size=(frames, *shape))).astype(np.float32)

    return {
        "expression": np.pad(draw(expressions, size=1.0), ((0, 0), (0, 100 - expressions))),
        "jaw": abs(draw(3, size=0.1)),
        "eyes": draw(6),
        "head": draw(3),
        "neck": draw(3, size=0.1),
        "translation": draw(3, size=0.05),
        "lids": rng.uniform(0, 1, (frames, 2)).astype(np.float32),
        "shape": np.pad(rng.normal(size=100).astype(np.float32), (0, 200)),
        "cam": np.c_[7 + draw(1, size=0.2), draw(2, size=0.02)].astype(np.float32),
    }


def six(vectors: np.ndarray) -> np.ndarray:
    """The first two rows of the rotation matrices of vectors, (T, 6)."""
    return Rotation.from_rotvec(vectors).as_matrix()[:, :2].reshape(-1, 6).astype(np.float32)


def artalk(folder: Path) -> Made:
    torch = pytest.importorskip("torch", reason="needs torch, which writes such files")

    v = drawn(1, expressions=100)
    path = folder / "hello_natural_0_mesh_motions.pt"
    torch.save(torch.from_numpy(np.concatenate([v["expression"], v["head"], v["jaw"]], 1)), path)
    return Made(path, {"expression": v["expression"], "jaw": v["jaw"], "head": v["head"], "fps": 25})


def deca(folder: Path, kind: str = "npz", names: str = "deca") -> Made:
    v = drawn(2)
    pose = np.concatenate([v["head"], v["jaw"]], 1)
    words = {
        "deca": ("shape", "exp", "pose", "cam", "tex"),
        "emoca": ("shapecode", "expcode", "posecode", "cam", "texcode"),
    }[names]
    shape = np.tile(v["shape"][:100], (FRAMES, 1))
    codes = dict(zip(words, (shape, v["expression"][:, :50], pose, v["cam"], np.zeros((FRAMES, 50))), strict=True))
    path = folder / f"codes.{kind}"
    if kind == "npz":
        np.savez(path, **codes)
    elif kind == "pkl":
        path.write_bytes(
            pickle.dumps([{name: value[i : i + 1] for name, value in codes.items()} for i in range(FRAMES)])
        )
    elif kind == "mat":
        scipy.io.savemat(path, codes | {"name": "a clip"}, do_compression=True)
    elif kind == "npy":
        np.save(path, codes, allow_pickle=True)
    else:
        path = folder / "EMOCA_v2_lr_mse_20"
        for i in range(FRAMES):
            (path / f"{i + 7:06d}_000").mkdir(parents=True)
            for name, value in codes.items():
                np.save(path / f"{i + 7:06d}_000" / f"{name}.npy", value[i])
    return Made(path, {name: v[name] for name in ("expression", "jaw", "cam", "head")} | {"shape": v["shape"]})


def inferno(folder: Path) -> Made:
    v = drawn(3)
    path = folder / "codes.npz"
    np.savez(path, shapecode=v["shape"][None, :100], expcode=v["expression"][:, :50], globalpose=v["head"], jawpose=v["jaw"],
             cam=v["cam"])  # fmt: skip
    return Made(path, {name: v[name] for name in ("expression", "jaw", "cam", "head", "shape")})


def smirk(folder: Path, kind: str = "npz") -> Made:
    v = drawn(4)
    codes = {
        "pose_params": v["head"],
        "cam": v["cam"],
        "shape_params": np.tile(v["shape"], (FRAMES, 1)),
        "expression_params": v["expression"][:, :50],
        "eyelid_params": v["lids"],
        "jaw_params": v["jaw"],
    }
    path = folder / f"smirk.{kind}"
    if kind == "npz":
        np.savez(path, **codes)
    else:
        path.write_bytes(
            pickle.dumps([{name: value[i : i + 1] for name, value in codes.items()} for i in range(FRAMES)])
        )
    return Made(path, {name: v[name] for name in ("expression", "jaw", "cam", "head", "shape", "lids")})


def metrical(folder: Path, missing: int | None = None) -> Made:
    torch = pytest.importorskip("torch", reason="needs torch, which writes such files")

    v = drawn(5, expressions=100)
    place = folder / "actor" / "checkpoint"
    place.mkdir(parents=True)
    turn = Rotation.from_rotvec(v["head"]).as_matrix() @ np.diag(
        [1.0, -1.0, -1.0]
    )  # OpenCV's camera in front of the face
    shift = np.float32([0.01, -0.02, 0.9]) + v["translation"]
    k = np.float32([[1400, 0, 256], [0, 1410, 250], [0, 0, 1]])
    for i in range(FRAMES):
        if i == missing:
            continue
        frame = {
            "flame": {
                "exp": v["expression"][i : i + 1],
                "shape": v["shape"][None],
                "tex": np.zeros((1, 140), np.float32),
                "sh": np.zeros((1, 9, 3), np.float32),
                "eyes": np.concatenate([six(v["eyes"][i : i + 1, :3]), six(v["eyes"][i : i + 1, 3:])], 1),
                "eyelids": v["lids"][i : i + 1],
                "jaw": six(v["jaw"][i : i + 1]),
            },
            "camera": {
                "R": six(v["head"][i : i + 1]),
                "t": shift[i : i + 1],
                "fl": np.ones((1, 1)),
                "pp": np.zeros((1, 2)),
            },
            "opencv": {"R": turn[i : i + 1].astype(np.float32), "t": shift[i : i + 1].astype(np.float32), "K": k[None]},
            "img_size": np.array([512, 512]),
            "frame_id": f"{i:05d}",
            "global_step": 10,
        }
        torch.save(frame, place / f"{i:05d}.frame")
    fields = {name: v[name] for name in ("expression", "jaw", "eyes", "lids", "shape")}
    return Made(folder / "actor", fields | {"R": turn, "t": shift, "K": k})


def head_tracker(folder: Path) -> Made:
    v = drawn(6, expressions=100)
    place = folder / "IMG_2647"
    place.mkdir()
    turn = Rotation.from_rotvec(v["head"])
    spot = np.float32([0.02, 0.01, 1.0]) + v["translation"]
    k = np.float32([[725, 0, 128], [0, 725, 128], [0, 0, 1]])
    for i in range(FRAMES):
        np.savez_compressed(
            place / f"{i}.npz",
            shape=v["shape"][None], exp=v["expression"][i : i + 1], head_pose=np.zeros((1, 3), np.float32),
            jaw_pose=v["jaw"][i : i + 1], eye_pose=v["eyes"][i : i + 1], tex=np.zeros((1, 50)), light=np.zeros((1, 9, 3)),
            cam=np.concatenate([turn[i].as_rotvec(), spot[i]])[None], fov=np.array([20.0]), K=k[None],
            img=np.zeros((1, 8, 8, 3), np.uint8), lmks_68=np.zeros((1, 68, 3)), blendshape_scores=np.zeros((1, 52)),
        )  # fmt: skip
    # From camera to world with OpenGL's axes, to OpenCV's world to camera.
    inverse = np.diag([1.0, -1.0, -1.0]) @ turn.inv().as_matrix()
    fields = {name: v[name] for name in ("expression", "jaw", "eyes", "shape")}
    return Made(place, fields | {"R": inverse, "t": -np.einsum("tij,tj->ti", inverse, spot), "K": k})


def head_tracker_old(folder: Path) -> Made:
    v = drawn(7)
    place = folder / "old"
    place.mkdir()
    for i in range(FRAMES):
        pose = np.concatenate([np.zeros((1, 3), np.float32), v["jaw"][i : i + 1]], 1)
        frame = {"shape": v["shape"][None, :100], "exp": v["expression"][i : i + 1, :50], "pose": pose,
                 "eye_pose": v["eyes"][i : i + 1], "cam": np.zeros(6), "vertices": np.zeros((3, 3))}  # fmt: skip
        np.save(place / f"{i}.npy", frame, allow_pickle=True)
    return Made(place, {name: v[name] for name in ("expression", "jaw", "eyes", "shape")})


def cap4d(folder: Path) -> Made:
    v = drawn(8, expressions=65)
    v["head"][:, 0] += np.pi  # the face looks at OpenCV's camera
    path = folder / "fit.npz"
    k = {"fx": 2000.0, "fy": 2010.0, "cx": 512.0, "cy": 500.0}
    extr = np.eye(4)
    extr[:3, :3], extr[:3, 3] = Rotation.from_rotvec([0.1, 0.2, 0]).as_matrix(), [0.1, 0.0, 1.2]
    turn, world = Rotation.from_rotvec(v["head"]).as_matrix(), np.diag([1.0, -1.0, -1.0])
    np.savez(path, **{name: np.float32([[value]]) for name, value in k.items()}, extr=extr[None].astype(np.float32),
             resolutions=np.array([[1024, 1080]]), camera_order=np.array(["cam0"]), rot=v["head"], tra=v["translation"],
             shape=v["shape"][:150], expr=v["expression"][:, :65], neck_rot=v["neck"], eye_rot=v["eyes"][:, :3])  # fmt: skip
    fields = {
        "expression": v["expression"], "jaw": 0 * v["jaw"], "eyes": np.tile(v["eyes"][:, :3], 2), "shape": v["shape"],
        "neck_about_root": v["neck"],
        "R": extr[:3, :3] @ world @ turn,
        "t": (extr[:3, :3] @ world @ v["translation"].T).T + extr[:3, 3],
        "K": np.float32([[2000, 0, 512], [0, 2010, 500], [0, 0, 1]]),
    }  # fmt: skip
    return Made(path, fields)


def beat2(folder: Path) -> Made:
    v = drawn(9, expressions=100)
    poses = np.zeros((FRAMES, 165), np.float32)
    poses[:, 36:39], poses[:, 45:48] = v["neck"], v["head"]
    poses[:, 66:69], poses[:, 69:75] = v["jaw"], v["eyes"]
    path = folder / "2_scott_0_1_1.npz"
    np.savez(path, betas=np.zeros(300), poses=poses, expressions=v["expression"], trans=np.zeros((FRAMES, 3)),
             model="smplx2020", gender="neutral", mocap_frame_rate=30)  # fmt: skip
    both = (Rotation.from_rotvec(v["neck"]) * Rotation.from_rotvec(v["head"])).as_rotvec()
    return Made(path, {name: v[name] for name in ("expression", "jaw", "eyes")} | {"neck": both, "fps": 30})


def talkshow(folder: Path) -> Made:
    v = drawn(10, expressions=100)
    body = np.zeros((FRAMES, 63), np.float32)
    body[:, 33:36], body[:, 42:45] = v["neck"], v["head"]
    path = folder / "talkshow.pkl"
    path.write_bytes(pickle.dumps({
        "betas": np.zeros((1, 300)), "expression": v["expression"][:, None], "jaw_pose": v["jaw"][:, None],
        "leye_pose": v["eyes"][:, None, :3], "reye_pose": v["eyes"][:, None, 3:], "body_pose_axis": body,
        "global_orient": np.zeros((FRAMES, 1, 3)), "transl": np.zeros((FRAMES, 3)),
    }))  # fmt: skip
    both = (Rotation.from_rotvec(v["neck"]) * Rotation.from_rotvec(v["head"])).as_rotvec()
    return Made(path, {name: v[name] for name in ("expression", "jaw", "eyes")} | {"neck": both, "fps": 30})


def dejavu(folder: Path) -> Made:
    v = drawn(11, expressions=100)
    path = folder / "signals.npy"
    path.write_bytes(pickle.dumps({"exp": v["expression"], "jaw": v["jaw"], "fps": 30}))
    return Made(path, {"expression": v["expression"], "jaw": v["jaw"], "fps": 30})


def weights(frames: int, seed: int = 0) -> np.ndarray:
    """Weights of the 52 shapes, (T, 52), three in ten of them not zero, written with four digits."""
    rng = np.random.default_rng(seed)
    return np.round(rng.uniform(0, 1, (frames, 52)) * (rng.uniform(size=(frames, 52)) < 0.3), 4)


def live_link(
    folder: Path, frames: int = 90, fps: int = 60, lost: tuple[int, ...] = (), gap: tuple[int, ...] = ()
) -> Made:
    """A take; frames of `lost` have no face, frames of `gap` have no line."""
    values, rng = weights(frames), np.random.default_rng(1)
    turns = np.round(0.1 * rng.normal(size=(frames, 9)), 5)  # half turns
    path = folder / "MySlate_1_iPhone.csv"
    with path.open("w", newline="") as file:
        lines = csv.writer(file)
        lines.writerow(["Timecode", "BlendShapeCount", *LIVE_LINK, *TURNS])
        for i in range(frames):
            if i in gap:
                continue
            second, rest = divmod(i + 17 * fps, fps)
            cells = ["0"] * 61 if i in lost else [f"{x:.10f}" for x in (*values[i], *turns[i])]
            lines.writerow([f"14:03:{second:02d}:{rest:02d}.207", 0 if i in lost else 61, *cells])
    angles = np.pi * turns.reshape(frames, 3, 3)
    return Made(path, {"arkit": values, "angles": angles, "fps": fps})


def lam_weights(folder: Path) -> Made:
    values = weights(FRAMES, 2)
    names = [name[0].lower() + name[1:] for name in LIVE_LINK]
    order = np.random.default_rng(0).permutation(52)
    path = folder / "bsData.json"
    path.write_text(json.dumps({
        "names": [names[i] for i in order],
        "metadata": {"fps": 30.0, "frame_count": FRAMES, "blendshape_names": [names[i] for i in order]},
        "frames": [{"weights": values[i, order].tolist(), "time": i / 30, "rotation": []} for i in range(FRAMES)],
    }))  # fmt: skip
    return Made(path, {"arkit": values, "fps": 30})


def audio2face(folder: Path) -> Made:
    values = weights(FRAMES, 3)
    names = [name[0].lower() + name[1:] for name in LIVE_LINK]
    path = folder / "a2f_export.json"
    path.write_text(json.dumps({"exportFps": 60.0, "trackPath": "voice.wav", "numPoses": 52, "numFrames": FRAMES,
                                "facsNames": names, "weightMat": values.tolist(), "joints": []}))  # fmt: skip
    return Made(path, {"arkit": values, "fps": 60})


def mediapipe(folder: Path, held: str = "list") -> Made:
    values = weights(FRAMES, 4)
    values[:, LIVE_LINK.index("TongueOut")] = 0  # MediaPipe has no such score
    names = [name[0].lower() + name[1:] for name in LIVE_LINK]

    def scores(row: np.ndarray, key: str) -> list[dict[str, Any]]:
        neutral = [{"index": 0, "score": 1e-6, key: "_neutral", "displayName": ""}]
        return neutral + [{key: n, "score": float(x)} for n, x in zip(names, row, strict=True) if n != "tongueOut"]

    forms: dict[str, Any] = {
        "list": [scores(row, "category_name") for row in values],
        "result": {"frames": [{"timestamp_ms": 33 * i, "faceBlendshapes": [{"categories": scores(row, "categoryName")}]}
                              for i, row in enumerate(values)]},
        "dict": [dict(zip(names, row.tolist(), strict=True)) for row in values],
    }  # fmt: skip
    path = folder / "scores.json"
    path.write_text(json.dumps(forms[held]))
    return Made(path, {"arkit": values, "fps": 30})
