"""What holds the track at a path, and in which format: the same for every command."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from gagjax.errors import InputError
from gagjax.io import folders, suffixes
from gagjax.io.formats import fields, gagavatar, lam, liveportrait, native, numbering, transforms, vhap
from gagjax.io.formats.arkit import live_link, weight_lists
from gagjax.io.formats.catalogue import IN_FOLDERS, SAID
from gagjax.io.formats.dialects import artalk, cap4d, deca, dejavu, head_tracker, metrical, smplx
from gagjax.io.untrusted.checkpoints import load_npy, load_npz, load_pickle, load_torch, npz_names
from gagjax.io.untrusted.matlab import load_mat
from gagjax.io.untrusted.state_dicts import is_state_dict

_TRACKER = "Track it first: gagjax track FILE -o clip.npz"
_READABLE = '`gagjax info` and the page "Your files" say which tracks are read'
#: Arrays of a frame that are read from folders of archives: the others are pictures, mostly.
_FRAME_FIELDS = {*head_tracker.FIELDS, "eye_pose"}


class Found(NamedTuple):
    """A file that holds a track, once it is known which kind."""

    format: str
    file: Path
    content: Any


def find(path: str | Path, format: str | None = None) -> Found:
    """What holds the track at a path, and in which format.

    Args:
        path: A file or a folder. Of a GAGAvatar_track folder, `optim.pkl` is preferred to `smoothed.pkl`: the
            latter has been through a filter already.
        format: How to read what does not say what it is, one of `gagjax.io.formats.catalogue.SAID`.

    Returns:
        The format, the file and its content.

    Raises:
        InputError: If nothing there is a track, or `format` is none of those.
    """
    path = Path(path)
    if not path.exists():
        raise InputError("does not exist", file=path)
    if format is not None:
        return _as_said(path, format)
    if path.is_dir():
        return _in_folder(path)
    suffix = path.suffix.lower()
    if suffix == ".npz":
        return _of_archive(path, load_npz(path))
    if suffix in (".pt", ".pth", metrical.SUFFIX):
        return _of_torch(path, load_torch(path))
    if suffix in (".pkl", ".pickle"):
        return _of_pickle(path, load_pickle(path))
    if suffix == ".npy":
        return _of_codes(path, load_npy(path))
    if suffix == ".mat":
        return _of_codes(path, load_mat(path))
    if suffix == ".csv":
        return _of_table(path)
    if suffix == ".json":
        return _of_json(path, transforms.read_json(path))
    if suffixes.is_video(path):
        raise InputError("is a video, not a track", file=path, fix=_TRACKER)
    if suffixes.is_image(path):
        raise InputError("is an image, not a track", file=path, fix=_TRACKER)
    raise InputError(f"is of an unknown kind ({suffix or 'no suffix'})", file=path, fix=_READABLE)


def holds_track(folder: Path) -> bool:
    """Whether a folder is one that `find` reads as a track; its files are looked into as little as possible."""
    return (
        any((folder / name).exists() for name in IN_FOLDERS) or vhap.is_frames(folder) or _frames_in(folder) is not None
    )


def _as_said(path: Path, format: str) -> Found:
    if format not in SAID:
        raise InputError(f"{format!r} is no way of reading", field="format", fix=f"Use one of {', '.join(SAID)}")
    if format == "livelink-radians":
        return Found(format, path, live_link.load(path))
    suffix = path.suffix.lower()
    readers = {".npy": load_npy, ".npz": load_npz, ".mat": load_mat, ".pt": load_torch, ".pth": load_torch}
    content = readers.get(suffix, load_pickle)(path)
    if isinstance(content, Mapping) and len(content) == 1:
        content = next(iter(content.values()))
    if not isinstance(content, np.ndarray):
        raise InputError("holds no bare array", file=path, fix="Leave the format away: it is found out")
    return Found(format, path, content if format == "artalk" else deca.of_bare(content, path, format))


def _in_folder(folder: Path) -> Found:
    for name in IN_FOLDERS:
        if name != vhap.FOLDER and folders.has(folder, name):
            return find(folder / name)
    if folders.inner(folder, vhap.FOLDER) is not None:
        return Found("vhap", folder / vhap.FOLDER, None)
    if vhap.is_frames(folder):
        return Found("vhap", folder, None)
    frames = _frames_in(folder)
    if frames is not None:
        return frames
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


def _frames_in(folder: Path) -> Found | None:
    """The frames of a tracker that writes a file, or a folder, for each."""
    inner = folder / metrical.FOLDER
    place = inner if inner.is_dir() and not inner.is_symlink() else folder
    frames = folders.files(place, lambda file: file.suffix.lower() == metrical.SUFFIX)
    if frames:
        return Found(metrical.NAME, place, _Frames(frames, load_torch))
    numbered = folders.files(
        folder, lambda file: file.suffix.lower() in (".npz", ".npy") and numbering.number(file.stem) is not None
    )
    archives = [file for file in numbered if file.suffix.lower() == ".npz"]
    if archives and {"exp", "eye_pose"} <= set(_names(archives[0])):
        return Found(head_tracker.NAME, folder, _Frames(archives, _frame))
    arrays = [file for file in numbered if file.suffix.lower() == ".npy"]
    if arrays and not archives and head_tracker.matches(_tried(arrays[0])):
        return Found(head_tracker.NAME, folder, _Frames(arrays, load_npy))
    coded = [each for each in sorted(folder.iterdir()) if not each.is_symlink() and each.is_dir()]
    coded = [each for each in coded if any((each / name).is_file() for name in deca.FILES)]
    if coded:
        content = _Frames(coded, _codes_in)
        return Found(deca.matches({"0": content.first()}) or deca.NAME, folder, content)
    return None


class _Frames:
    """Files of frames that are read when the track is: `contents` gives them by name."""

    def __init__(self, paths: list[Path], reader: Callable[[Path], Any]) -> None:
        self.paths, self.reader = paths, reader

    def first(self) -> Any:
        return self.reader(self.paths[0])

    def contents(self) -> dict[str, Any]:
        return {path.stem if path.is_file() else path.name: self.reader(path) for path in self.paths}


def contents(found: Found) -> Any:
    """The content of what was found, files of single frames by name."""
    return found.content.contents() if isinstance(found.content, _Frames) else found.content


def _frame(file: Path) -> dict[str, np.ndarray]:
    """The arrays of a frame's archive that are read, and the names of the others."""
    left = {name: np.zeros(0) for name in npz_names(file) if name not in _FRAME_FIELDS}
    return {**left, **load_npz(file, _FRAME_FIELDS)}


def _codes_in(folder: Path) -> dict[str, Any]:
    return {
        file.stem: load_npy(file)
        for file in folders.files(folder, lambda f: f.name.endswith(".npy") and f.stem in deca.KNOWN)
    }


def _names(file: Path) -> list[str]:
    try:
        return npz_names(file)
    except InputError:
        return []


def _tried(file: Path) -> Any:
    try:
        return load_npy(file)
    except InputError:
        return None


def _of_archive(path: Path, content: dict[str, np.ndarray]) -> Found:
    if native.is_native(content):
        return Found("gagjax", path, content)
    if vhap.is_parameters(content):
        return Found("vhap", path, content)
    found = _dialect(content)
    if found is not None:
        return Found(found, path, content)
    raise InputError(f"holds no track (it has {fields.names_in(content, 8)})", file=path, fix=_READABLE)


def _of_json(path: Path, content: object) -> Found:
    if lam.is_parameters(content):
        return Found("lam", path, content)
    kind = weight_lists.kind_of(content)
    if kind is not None:
        return Found(kind, path, content)
    if isinstance(content, dict) and "frames" in content:
        raise InputError("holds cameras, not a track", file=path, fix="Pass the folder that holds it")
    raise InputError("holds no track", file=path, fix=_READABLE)


def _of_table(path: Path) -> Found:
    content = live_link.load(path)
    if not live_link.is_take(content):
        raise InputError(
            "is a table without ARKit's shapes", file=path, fix="Live Link Face names them EyeBlinkLeft ..."
        )
    return Found("livelink", path, content)


def _of_torch(path: Path, content: object) -> Found:
    if artalk.matches(content):
        return Found(artalk.NAME, path, content)
    found = _dialect(content)
    if found is not None:
        return Found(found, path, content)
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
    found = _dialect(content)
    if found is not None:
        return Found(found, path, content)
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


def _of_codes(path: Path, content: object) -> Found:
    found = _dialect(content)
    if found is None:
        raise _no_track(path, content)
    return Found(found, path, content)


def _dialect(content: object) -> str | None:
    """The format of another tracker that a content looks like."""
    if metrical.matches(content):
        return metrical.NAME
    if cap4d.matches(content):
        return cap4d.NAME
    if smplx.matches(content):
        return smplx.NAME
    if head_tracker.matches(content):
        return head_tracker.NAME
    codes = deca.matches(content)
    if codes is not None and not (gagavatar.is_records(content) and not _has_camera(content)):
        return codes
    return dejavu.NAME if dejavu.matches(content) else None


def _has_camera(content: object) -> bool:
    """Whether records hold the camera of a face crop, which tells EMOCA's from GAGAvatar_track's."""
    values = list(content.values()) if isinstance(content, Mapping) else []
    return bool(values) and isinstance(values[0], Mapping) and "cam" in values[0]


def _no_track(path: Path, content: object) -> InputError:
    kind = type(content).__name__
    if isinstance(content, dict):
        kind = f"a dict with {fields.names_in(content, 6)}"
    elif isinstance(content, np.ndarray):
        kind = f"an array of shape {content.shape}"
        bare = {width: name for name, widths in deca.BARE.items() for width in widths} | {artalk.COLUMNS: artalk.NAME}
        if content.ndim == 2 and content.shape[1] in bare:
            said = bare[content.shape[1]]
            return InputError(
                f"holds a bare array of {content.shape[1]} columns, which does not say what they are",
                file=path,
                fix=f"Where it is {SAID[said]}: gagjax convert {path.name} clip.npz --from-format {said}",
            )
    return InputError(f"holds no track (it is {kind})", file=path, fix=_READABLE)
