"""Read tracks of any known format into a `Track`; `track_output` writes them."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from gagjax.conventions import track_units
from gagjax.errors import InputError
from gagjax.io import folders, suffixes
from gagjax.io.formats import fields, gagavatar, lam, liveportrait, native, transforms, vhap
from gagjax.io.formats.gagavatar import Portrait
from gagjax.io.track_output import FORMATS, IN_FOLDERS, check_output, layout_of, save_track
from gagjax.io.untrusted.checkpoints import load_npz, load_pickle, load_torch
from gagjax.io.untrusted.state_dicts import is_state_dict
from gagjax.track import Track, as_rate
from gagjax.typing import FrameRate

__all__ = [
    "FORMATS",
    "Portrait",
    "check_output",
    "find",
    "holds_track",
    "layout_of",
    "load_portraits",
    "load_track",
    "save_track",
]

_TRACKER = "Track the video with GAGAvatar_track and pass the folder that it writes"
_READABLE = "A track is a GAGAvatar_track folder, its optim.pkl or smoothed.pkl, tracked.pt, a LivePortrait .pkl, a VHAP .npz or flame_param/ folder, or a gagjax .npz"


class Found(NamedTuple):
    """A file that holds a track, with its detected format."""

    format: str
    file: Path
    content: Any


def find(path: str | Path) -> Found:
    """Find the file that holds the track at a path, and its format.

    Args:
        path: A file or a folder. In a GAGAvatar_track folder, `optim.pkl` is preferred to `smoothed.pkl`, which has
            already been filtered.

    Raises:
        InputError: If nothing there is a track.
    """
    path = Path(path)
    if not path.exists():
        raise InputError("does not exist", file=path)
    if path.is_dir():
        return _find_in_folder(path)
    suffix = path.suffix.lower()
    if suffix == ".npz":
        return _of_archive(path, load_npz(path))
    if suffix in (".pt", ".pth"):
        return _of_torch(path, load_torch(path))
    if suffix in (".pkl", ".pickle"):
        return _of_pickle(path, load_pickle(path))
    if suffixes.is_video(path):
        raise InputError("is a video, not a track", file=path, fix=_TRACKER)
    if suffixes.is_image(path):
        raise InputError("is an image, not a track", file=path, fix=_TRACKER)
    if suffix == ".json":
        return _of_json(path, transforms.read_json(path))
    raise InputError(f"is of an unknown kind ({suffix or 'no suffix'})", file=path, fix=_READABLE)


def holds_track(folder: Path) -> bool:
    """Whether `find` treats a folder as a track; its files are not opened."""
    return any((folder / name).exists() for name in IN_FOLDERS) or vhap.is_frames(folder)


def load_track(
    path: str | Path, *, fps: FrameRate | None = None, nonfinite: Literal["error", "drop"] = "error"
) -> Track:
    """Read a track of any known format.

    Args:
        path: A GAGAvatar_track folder (with or without `img_lmdb`), `optim.pkl`, `smoothed.pkl`, `tracked.pt`, a
            LivePortrait template, VHAP's FLAME parameters, or gagjax's own `.npz`.
        fps: Frame rate, if the file has none (default 25) or a wrong one.
        nonfinite: Handling of frames with NaN or infinity: "error", or "drop" to mark them as missing (`valid` False)
            and fill them from the previous frame.

    Returns:
        The track, every value finite; `source` names the program that wrote it. Gaps in frame numbers are frames with
        `valid` False.

    Raises:
        InputError: If it is not a track, or a field is missing, has a wrong shape or is not finite.
    """
    return read(find(path), fps=fps, nonfinite=nonfinite)


def read(found: Found, *, fps: FrameRate | None = None, nonfinite: Literal["error", "drop"] = "error") -> Track:
    """The track of a file found by `find`. See `load_track`."""
    rate = None if fps is None else as_rate(fps)
    file, content = found.file, found.content
    if found.format == "gagjax":
        track = native.read(content, file)
    elif found.format == "liveportrait":
        track = liveportrait.read(content, file)
    elif found.format == "lam":
        track = lam.read(content, file)
    elif found.format == "vhap":
        track = vhap.read_folder(file) if file.is_dir() else vhap.read(content, file)
    elif found.format == "portraits":
        track = gagavatar.read(content, file, "gagavatar-portraits")
    else:
        variant = "smoothed" if "smoothed" in file.stem else "optim"
        track = gagavatar.read(content, file, f"gagavatar-{variant}")
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


def _find_in_folder(folder: Path) -> Found:
    for name in IN_FOLDERS:
        if name != vhap.FOLDER and folders.has(folder, name):
            return find(folder / name)
    if folders.inner(folder, vhap.FOLDER) is not None:
        return Found("vhap", folder / vhap.FOLDER, None)
    if vhap.is_frames(folder):
        return Found("vhap", folder, None)
    if (folder / "data.mdb").is_file():
        raise InputError("is a database of frames, not a track", file=folder, fix="Pass the folder that holds it")
    if (folder / "base.pkl").is_file():
        raise InputError(
            "holds base.pkl but no optim.pkl", file=folder, fix="Let GAGAvatar_track finish its optimisation"
        )
    found = ", ".join(sorted(item.name for item in folder.iterdir())[:6])
    raise InputError(
        f"holds no track ({'it has ' + found if found else 'it is empty'})",
        file=folder,
        fix="A GAGAvatar_track folder holds optim.pkl or smoothed.pkl",
    )


def _of_archive(path: Path, content: dict[str, np.ndarray]) -> Found:
    if native.is_native(content):
        return Found("gagjax", path, content)
    if vhap.is_parameters(content):
        return Found("vhap", path, content)
    found = fields.names_in(content, 8)
    raise InputError(f"holds no track (it has {found})", file=path, fix=_READABLE)


def _of_json(path: Path, content: object) -> Found:
    if lam.is_parameters(content):
        return Found("lam", path, content)
    if isinstance(content, dict) and "frames" in content:
        raise InputError("holds cameras, not a track", file=path, fix="Pass the folder that holds it")
    raise InputError("holds no track", file=path, fix=_READABLE)


def _of_torch(path: Path, content: object) -> Found:
    if gagavatar.is_records(content):
        return Found("gagavatar" if gagavatar.is_clip(content) else "portraits", path, content)
    if isinstance(content, dict) and "flame_model" in content:
        raise InputError("is a FLAME model, not a track", file=path, fix="Pass it with --flame")
    if is_state_dict(content) or (isinstance(content, dict) and is_state_dict(content.get("model"))):
        raise InputError("is a network's checkpoint, not a track", file=path, fix="Pass it with -r")
    raise _no_track(path, content)


def _of_pickle(path: Path, content: object) -> Found:
    if liveportrait.is_template(content):
        return Found("liveportrait", path, content)
    if gagavatar.is_records(content):
        return Found("gagavatar", path, content)
    if isinstance(content, dict) and not content:
        raise InputError("has no frames (an empty dict)", file=path, fix="Track the video again")
    if isinstance(content, dict) and "v_template" in content:
        raise InputError("is a FLAME model, not a track", file=path, fix="Pass it with --flame")
    if isinstance(content, dict) and any(isinstance(v, dict) and "emica_results" in v for v in content.values()):
        raise InputError(
            "is GAGAvatar_track's base.pkl, before its optimisation", file=path, fix="Pass optim.pkl or smoothed.pkl"
        )
    raise _no_track(path, content)


def _no_track(path: Path, content: object) -> InputError:
    kind = type(content).__name__
    if isinstance(content, dict):
        kind = f"a dict with {fields.names_in(content, 6)}"
    elif isinstance(content, np.ndarray):
        kind = f"an array of shape {content.shape}"
    return InputError(f"holds no track (it is {kind})", file=path, fix=_READABLE)


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
