"""Data of a track that a format cannot hold, for warnings by writers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from gagjax.conventions.head_pose import NAMES as POSE
from gagjax.conventions.head_pose import transform_of
from gagjax.io.formats import gagavatar, liveportrait, vhap
from gagjax.io.formats.origin import Origin, of
from gagjax.track import Track

_KNOWN = {"gagavatar": {"bbox", "global_rotation"}, "vhap": {"rotation", "translation"}}
_NAMES = {"gagavatar": "GAGAvatar", "vhap": "VHAP", "liveportrait": "LivePortrait"}
_LISTED = 8


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
    if layout == "gagjax":
        return []
    found: list[str] = []
    if layout != "liveportrait" and track.source.startswith("liveportrait") and not np.any(track.expression):
        found.append("expression, jaw and eyes are zero: LivePortrait's keypoints are not FLAME's")
    if layout == "gagavatar" and track.neck is not None and np.any(track.neck):
        found.append("the neck's rotation is left out: GAGAvatar has none")
    if layout == "gagavatar" and of(track, "gagavatar") is None and _moves_itself(track):
        found.append("the head's rotation and translation go into the camera: GAGAvatar's heads stay where they are")
    if layout != "liveportrait" and track.fps != 25:
        found.append(f"the frame rate of {track.fps} is not kept: {_NAMES[layout]}'s files hold none")
    lost = int((~np.asarray(track.valid)).sum())
    if layout == "liveportrait" and lost:
        found.append(f"{lost} lost frames are written like the others: LivePortrait's templates cannot mark them")
    if layout == "vhap" and of(track, "vhap") is None:
        if track.camera_known or "rotation" not in track.extra:  # not a placeholder
            found.append("the camera is left out: these files hold the head's rotation alone")
        if track.shape is not None and track.shape.ndim == 2:
            found.append("the shapes of the frames become their mean: these files hold one")
    known = set(track.extra) if layout == "liveportrait" else _KNOWN[layout]
    if layout == "gagavatar" and of(track, "gagavatar") is None:
        known = {*known, *POSE}
    others = sorted(set(track.extra) - known)
    others += [name for name in _entries(track, layout, folder) if name not in others]
    if others:
        more = f" and {len(others) - _LISTED} more" if len(others) > _LISTED else ""
        found.append(f"left out, the format has no place for them: {', '.join(others[:_LISTED])}{more}")
    return found


def _moves_itself(track: Track) -> bool:
    return not np.array_equal(transform_of(track.channels), track.transform, equal_nan=True)


def _entries(track: Track, layout: str, folder: bool) -> list[str]:
    """The entries of the track's file other than motion that cannot be written to the output."""
    origin = track.origin
    while origin is not None and origin.format == "gagjax":
        origin = origin.before
    if origin is None:
        return []
    if origin.format != layout:
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
