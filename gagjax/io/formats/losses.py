"""Data of a track that a format cannot hold, for warnings by writers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from gagjax.conventions.head_pose import NAMES as POSE
from gagjax.conventions.head_pose import host_rotation_of, host_transform_of
from gagjax.expression.arkit.channels import EYELIDS, WEIGHTS
from gagjax.expression.arkit.names import column_of
from gagjax.io.formats import gagavatar, liveportrait, vhap
from gagjax.io.formats.arkit.live_link import RATES
from gagjax.io.formats.arkit.weight_lists import KINDS
from gagjax.io.formats.origin import Origin, of
from gagjax.track import Track

_POSES = {"rotation", "global_rotation", "translation"}
_KNOWN = {
    "gagavatar": {"bbox", "global_rotation"},
    "vhap": _POSES,
    "lam": _POSES,
    "artalk": {"rotation", "global_rotation"},
    **{name: {WEIGHTS, "rotation", "global_rotation"} for name in ("livelink", *KINDS)},
}
_NAMES = {"gagavatar": "GAGAvatar", "vhap": "VHAP", "liveportrait": "LivePortrait", "lam": "LAM", "artalk": "ARTalk",
          "livelink": "Live Link Face"}  # fmt: skip
#: Formats that hold the frame rate.
_RATED = ("liveportrait", *KINDS)
_LISTED = 8
_TURN = re.compile(r"(head|lefteye|righteye)(yaw|pitch|roll)", re.IGNORECASE)


def losses(track: Track, layout: str, *, folder: bool = False) -> list[str]:
    """The data of a track that is lost in a format, one line per kind.

    Args:
        track: The track.
        layout: The output format.
        folder: Whether the output is a folder of that format.

    Returns:
        The lines; empty for gagjax's own format, which holds everything.

    Example:
        >>> camera = np.tile(np.eye(3, 4), (2, 1, 1))
        >>> losses(Track(np.zeros((2, 100)), np.zeros((2, 3)), np.zeros((2, 6)), camera, fps=30), "gagavatar")
        ["the frame rate of 30 is not kept: GAGAvatar's files hold none"]
    """
    found: list[str] = []
    if layout == "gagjax":
        left = [name for name in _entries(track, layout, folder) if _is_unread(track)]
        return [f"left in the file it came from, unread: {_listed(left)}"] if left else []
    found += _without_head(track, layout)
    if layout in (*KINDS, "livelink", "artalk"):
        found += _beside_the_face(track, layout)
    if layout != "liveportrait" and track.source.startswith("liveportrait") and not np.any(track.expression):
        found.append("expression, jaw and eyes are zero: LivePortrait's keypoints are not FLAME's")
    if layout == "gagavatar" and track.neck is not None and np.any(track.neck):
        found.append("the neck's rotation is left out: GAGAvatar has none")
    if layout == "gagavatar" and of(track, "gagavatar") is None and _moves_itself(track):
        found.append("the head's rotation and translation go into the camera: GAGAvatar's heads stay where they are")
    if layout not in _RATED and track.fps != 25 and not (layout == "livelink" and track.fps in RATES):
        found.append(f"the frame rate of {track.fps} is not kept: {_NAMES[layout]}'s files hold none")
    lost = int((~np.asarray(track.valid)).sum())
    if layout in ("liveportrait", "lam", "artalk", "arkit", "audio2face") and lost:
        found.append(f"{lost} lost frames are written like the others: {_file_of(layout)} cannot mark them")
    if layout in ("vhap", "lam") and not folder and track.camera_known:
        found.append(
            "the camera is left out: it lies in transforms.json, which goes into a folder (an output without suffix)"
        )
    elif layout in ("vhap", "lam") and not track.camera_known and host_rotation_of(track.extra) is None:
        found.append("the camera is left out: these files hold the head's rotation alone")
    if layout in ("vhap", "lam") and of(track, layout) is None and track.shape is not None and track.shape.ndim == 2:
        found.append("the shapes of the frames become their mean: these files hold one")
    known = set(track.extra) if layout == "liveportrait" else _KNOWN[layout]
    if layout == "gagavatar" and of(track, "gagavatar") is None:
        known = {*known, *POSE}
    others = sorted(set(track.extra) - known)
    others += [name for name in _entries(track, layout, folder) if name not in others]
    others = [name for name in others if name not in (WEIGHTS, EYELIDS)]  # said above
    if others:
        found.append(f"left out, the format has no place for them: {_listed(others)}")
    return found


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return f"{', '.join(names[:_LISTED])}{more}"


def _file_of(layout: str) -> str:
    return "LivePortrait's templates" if layout == "liveportrait" else "these files"


def _without_head(track: Track, layout: str) -> list[str]:
    """What needs a head to become expression coefficients and has none."""
    found = []
    if WEIGHTS in track.extra and layout not in (*KINDS, "livelink") and not np.any(track.expression):
        found.append("ARKit's weights are left out, only jaw and eyes are kept: --flame makes an expression of them")
    if EYELIDS in track.extra and np.any(track.extra[EYELIDS]):
        found.append("the lid parameters are left out: --flame makes lid motion of them")
    return found


def _beside_the_face(track: Track, layout: str) -> list[str]:
    """What formats of the face alone leave out."""
    left = []
    if track.shape is not None and np.any(track.shape):
        left.append("shape")
    if track.neck is not None and np.any(track.neck):
        left.append("neck")
    if layout == "artalk" and np.any(track.eyes):
        left.append("eyes")
    if track.camera_known:
        left.append(
            "camera" if (host_rotation_of(track.extra) is not None) or layout != "artalk" else "the camera's place"
        )
    return [f"left out, these files hold the face alone: {', '.join(left)}"] if left else []


def _is_unread(track: Track) -> bool:
    """Whether the file that a track came from is one of which only the names of what was not read are kept."""
    origin = track.origin
    while origin is not None and origin.format == "gagjax":
        origin = origin.before
    return origin is not None and isinstance(origin.content, Mapping) and set(origin.content) == {"unread", "frames"}


def _moves_itself(track: Track) -> bool:
    return not np.array_equal(host_transform_of(track), track.transform, equal_nan=True)


def _entries(track: Track, layout: str, folder: bool) -> list[str]:
    """The entries of the track's file other than motion that cannot be written to the output."""
    origin = track.origin
    while origin is not None and origin.format == "gagjax":
        origin = origin.before
    if origin is None:
        return []
    if origin.format != layout or _is_unread(track):
        return sorted(map(str, unread(origin)))
    if layout == "vhap" and vhap.is_folder(origin) and not folder:
        return sorted(set(unread(origin)) - set(vhap.shared_entries(origin)))
    return []


def unread(origin: Origin) -> list[Any]:
    """The non-empty entries of a file that are not part of a track, in file order.

    Args:
        origin: The file.

    Returns:
        Their keys.
    """
    content = origin.content
    if isinstance(content, Mapping) and set(content) == {"unread", "frames"}:
        return list(content["unread"])
    if origin.format == "artalk":
        return []
    if origin.format == "livelink":
        known = {"timecode", "blendshapecount"}
        names = [str(name).strip() for name in content["header"]]
        return [n for n in names if n.lower() not in known and column_of(n) is None and not _TURN.fullmatch(n)]
    if origin.format in KINDS:
        return []
    if origin.format == "vhap":
        parts = list(content.values()) if vhap.is_folder(origin) else [content]
        known = {*vhap.MOTION, "shape"}
    elif origin.format == "lam":
        parts, known = [content], {*vhap.MOTION, "shape"}
    elif origin.format == "liveportrait":
        frames = [frame for frame in content["motion"] if isinstance(frame, Mapping)]
        parts = [content, *frames]
        known = {"motion", "n_frames", "output_fps", *liveportrait.FIELDS}
    else:
        keys = gagavatar.frame_keys(content)
        parts = [
            {key: value for key, value in content.items() if key not in set(keys)},
            *(content[key] for key in keys),
        ]
        known = set(gagavatar.FIELDS)
    found = {key: value for part in parts for key, value in part.items() if key not in known}
    return [key for key, value in found.items() if np.size(value)]
