"""Every track format: what it is called, and under which suffixes it is written."""

from __future__ import annotations

from typing import Literal, get_args

from gagjax.io.formats import lam, vhap

#: Formats that are written.
Format = Literal[
    "gagjax",
    "gagavatar",
    "liveportrait",
    "vhap",
    "lam",
    "artalk",
    "livelink",
    "arkit",
    "audio2face",
    "mediapipe",
]
#: Formats by name, with what each is.
FORMATS: dict[str, str] = {
    "gagjax": "gagjax track (.npz)",
    "gagavatar": "GAGAvatar_track (folder, .pkl or .pt)",
    "portraits": "GAGAvatar_track portraits (tracked.pt)",
    "liveportrait": "LivePortrait motion template (.pkl)",
    "vhap": "VHAP / GaussianAvatars FLAME parameters (.npz or folder)",
    "lam": "LAM's FLAME parameters (flame_params.json)",
    "artalk": "ARTalk motion (_motions.pt)",
    "livelink": "ARKit weights of Live Link Face (.csv)",
    "arkit": "ARKit weights of LAM's Audio2Expression (.json)",
    "audio2face": "ARKit weights of NVIDIA Audio2Face (.json)",
    "mediapipe": "ARKit weights as MediaPipe's scores (.json)",
    "deca": "DECA, EMOCA or INFERNO codes (.npz, .pkl, .mat, .npy or folder)",
    "smirk": "SMIRK codes (.npz, .pkl, .mat, .npy or folder)",
    "metrical": "metrical-tracker frames (.frame, FlashAvatar, INSTA)",
    "head-tracker": "flame-head-tracker frames (.npz)",
    "cap4d": "CAP4D fit (fit.npz)",
    "smplx": "SMPL-X face of BEAT2 or TalkSHOW (.npz, .pkl)",
    "dejavu": "Gaussian Deja-vu driving signals (.npy)",
}
#: The suffixes of the formats that are written; "" is a folder.
SUFFIXES: dict[str, tuple[str, ...]] = {
    "gagjax": (".npz",),
    "gagavatar": (".pkl", ".pickle", ".pt", ".pth", ""),
    "liveportrait": (".pkl", ".pickle"),
    "vhap": (".npz", ""),
    "lam": (".json", ""),
    "artalk": (".pt", ".pth"),
    "livelink": (".csv",),
    "arkit": (".json",),
    "audio2face": (".json",),
    "mediapipe": (".json",),
}
assert set(SUFFIXES) == set(get_args(Format))
#: What a folder's track is in, the first that is there.
IN_FOLDERS = ("optim.pkl", "smoothed.pkl", "tracked.pt", "flame_param.npz", lam.NAME, vhap.FOLDER)
#: Ways of reading that a file's content does not tell apart from others: said by name.
SAID: dict[str, str] = {
    "deca": "a bare array of DECA's or EMOCA's codes: expression (50), pose (6), maybe camera (3)",
    "smirk": "a bare array of SMIRK's codes: expression (50), jaw (3), lids (2)",
    "artalk": "a bare array of ARTalk's motion: expression (100), head rotation (3), jaw (3)",
    "livelink-radians": "Live Link Face columns whose angles are radians, not half turns",
}
