"""Read tracks of any known format into a `Track`; `track_output` writes them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np

from gagjax.conventions import track_units
from gagjax.errors import InputError
from gagjax.io.finding import Found, contents, find, holds_track
from gagjax.io.formats import fields, gagavatar, lam, liveportrait, native, vhap
from gagjax.io.formats.arkit import live_link, weight_lists
from gagjax.io.formats.catalogue import FORMATS
from gagjax.io.formats.dialects import artalk, cap4d, deca, dejavu, head_tracker, metrical, smplx
from gagjax.io.formats.gagavatar import Portrait
from gagjax.io.track_output import check_output, layout_of, save_track
from gagjax.track import Track, as_rate
from gagjax.typing import FrameRate

__all__ = [
    "FORMATS",
    "Found",
    "Portrait",
    "check_output",
    "find",
    "holds_track",
    "layout_of",
    "load_portraits",
    "load_track",
    "read",
    "save_track",
]

_READERS: dict[str, Callable[[Any, Path], Track]] = {
    "gagjax": native.read,
    "liveportrait": liveportrait.read,
    "lam": lam.read,
    "vhap": lambda content, file: vhap.read_folder(file) if file.is_dir() else vhap.read(content, file),
    "portraits": lambda content, file: gagavatar.read(content, file, "gagavatar-portraits"),
    "gagavatar": lambda content, file: gagavatar.read(
        content, file, f"gagavatar-{'smoothed' if 'smoothed' in file.stem else 'optim'}"
    ),
    "livelink": live_link.read,
    "livelink-radians": lambda content, file: live_link.read(content, file, radians=True),
    "artalk": artalk.read,
    "deca": lambda content, file: deca.read(content, file, "deca"),
    "smirk": lambda content, file: deca.read(content, file, "smirk"),
    "metrical": metrical.read,
    "head-tracker": head_tracker.read,
    "cap4d": cap4d.read,
    "smplx": smplx.read,
    "dejavu": dejavu.read,
    "arkit": lambda content, file: weight_lists.read(content, file, "arkit"),
    "audio2face": lambda content, file: weight_lists.read(content, file, "audio2face"),
    "mediapipe": lambda content, file: weight_lists.read(content, file, "mediapipe"),
}


def load_track(
    path: str | Path,
    *,
    fps: FrameRate | None = None,
    nonfinite: Literal["error", "drop"] = "error",
    format: str | None = None,
) -> Track:
    """Read a track of any known format.

    Args:
        path: A file or a folder of a format of `gagjax.io.formats.catalogue.FORMATS`.
        fps: Frame rate where the file holds none (25 otherwise) or a wrong one.
        nonfinite: What to do with frames that hold NaN or infinity: "error", or "drop" to mark them as missing
            (`valid` False) and fill them from the frame before.
        format: How to read a file whose content does not say it (`gagjax.io.formats.catalogue.SAID`).

    Returns:
        The track, every value finite; `source` names the program that wrote it. Gaps in frame numbers are frames with
        `valid` False.

    Raises:
        InputError: If it is not a track, or a field is missing, has a wrong shape or is not finite.
    """
    return read(find(path, format), fps=fps, nonfinite=nonfinite)


def read(found: Found, *, fps: FrameRate | None = None, nonfinite: Literal["error", "drop"] = "error") -> Track:
    """The track of a file found by `find`. See `load_track`."""
    rate = None if fps is None else as_rate(fps)
    file = found.file
    track = _READERS[found.format](contents(found), file)
    if rate is not None:
        track = dataclasses.replace(track, fps=rate)
    track = _finite(track, file, drop=nonfinite == "drop")
    track_units.warn(track.channels, track.valid, file)
    return track


def load_portraits(path: str | Path) -> dict[str, Portrait]:
    """The tracked images of `tracked.pt`, or of the `optim.pkl` of GAGAvatar_track's image tracking.

    Args:
        path: The file, or a folder that holds one.

    Returns:
        Portraits by image name.

    Raises:
        InputError: If it is not such a file, or a field is missing, has a wrong shape or is not finite.
    """
    found = find(path)
    if found.format not in ("gagavatar", "portraits"):
        raise InputError(
            f"is a {FORMATS[found.format]}, which holds no portraits",
            file=found.file,
            fix="Pass GAGAvatar's tracked.pt",
        )
    portraits = gagavatar.read_portraits(found.content, found.file)
    for name, portrait in portraits.items():
        _finite(portrait.track, found.file, drop=False)
        if portrait.image is not None and not np.isfinite(portrait.image).all():
            raise InputError("is not finite", file=found.file, field=f"{name}.image")
    return portraits


def _finite(track: Track, file: Path, *, drop: bool) -> Track:
    """The track with only finite values, or an error that names the first that is not."""
    per_frame = [x for x in (*track.channels[:5], *track.extra.values()) if x is not None]
    if track.shape is not None and track.shape.ndim == 2:
        per_frame.append(track.shape)
    elif track.shape is not None and not np.isfinite(np.asarray(track.shape)).all():
        raise InputError("is not finite", file=file, field="shape", fix="Track the clip again")
    finite = np.all([np.isfinite(np.asarray(x)).reshape(len(track), -1).all(1) for x in per_frame], axis=0)
    valid = np.asarray(track.valid) & finite
    if not drop:
        track.validate(str(file))
        if (np.asarray(track.valid) & ~finite).any():  # validate checks everything but the shape
            raise InputError("is not finite", file=file, field="shape", fix="Pass --drop-nonfinite")
    if not valid.any():
        raise InputError("has no frame with finite values", file=file, fix="Track the clip again")
    if finite.all():
        return track.validate(str(file))
    # Missing frames are filled with the previous frame, or the first finite one.
    index = np.maximum.accumulate(np.where(finite, np.arange(len(track)), -1))
    index[index < 0] = int(np.argmax(finite))
    filled = fields.at_frames(track, index, valid, track.names)
    return dataclasses.replace(filled, origin=track.origin).validate(str(file))
