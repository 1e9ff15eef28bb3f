"""Write tracks: choose the format by path, check the output, and write it."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np

from gagjax.errors import InputError
from gagjax.io import atomic, folders
from gagjax.io.formats import gagavatar, lam, liveportrait, losses, native, transforms, vhap
from gagjax.io.formats.arkit import live_link, weight_lists
from gagjax.io.formats.catalogue import FORMATS, IN_FOLDERS, SUFFIXES, Format
from gagjax.io.formats.dialects import artalk
from gagjax.io.formats.origin import of
from gagjax.track import Track

#: Files of a VHAP export that tell of the clip and go with its parameters.
_COMPANIONS = ("transforms*.json", "canonical_flame_param.npz")
#: Formats whose folders hold the camera beside the motion.
_WITH_CAMERAS = ("vhap", "lam")


def save_track(
    track: Track,
    path: str | Path,
    *,
    format: Format | None = None,
    force: bool = False,
    fill_gaps: bool = False,
    frames_from: str | Path | None = None,
) -> None:
    """Write a track.

    Args:
        track: The track.
        path: The output. The suffix chooses the format: `.npz` is gagjax's; `.pkl` is LivePortrait's for a track read
            from a template and GAGAvatar's `smoothed.pkl` otherwise; no suffix is a GAGAvatar driver folder for the
            original's inference.
        format: The format, if the suffix is ambiguous: "vhap" also writes `.npz`, and folders `flame_param/`.
        force: Replace an existing output.
        fill_gaps: Also write invalid frames to formats that can omit them (by default they are omitted).
        frames_from: The folder from which the track was read: its `img_lmdb`, or VHAP's `transforms.json`, is copied
            into the output folder.

    Warns of data that the format cannot hold. Further fields of a source file in the same format are kept unchanged.

    Raises:
        InputError: If it exists and `force` is False, or the track does not fit the format.

    Example:
        >>> import tempfile, numpy as np
        >>> camera = np.tile(np.eye(3, 4), (4, 1, 1))
        >>> path = tempfile.mkdtemp() + "/clip.npz"
        >>> save_track(Track(np.zeros((4, 100)), np.zeros((4, 3)), np.zeros((4, 6)), camera, fps=30), path)
        >>> from gagjax.io.tracks import load_track
        >>> load_track(path).fps
        Fraction(30, 1)
    """
    path = Path(path)
    layout = format or layout_of(track, path)
    check_output(path, layout, force, track=track)
    track.validate()
    folder = not _suffix(path)
    for loss in losses.losses(track, layout, folder=folder):
        warnings.warn(loss, stacklevel=2)
    if not folder:
        with atomic.output(path, force) as temporary:
            _write(track, temporary, layout, fill_gaps)
        return
    camera = layout in _WITH_CAMERAS and track.camera_known and path.name != vhap.FOLDER
    with atomic.output(path, force, folder=True) as temporary:
        entry = _entry(track, layout)
        if entry == vhap.FOLDER:
            place = temporary if path.name == vhap.FOLDER else temporary / entry
            place.mkdir(exist_ok=True)
            vhap.write_folder(track, place, fill_gaps=fill_gaps, camera=camera)
        else:
            _write(track, temporary / entry, layout, fill_gaps, camera=camera)
        if frames_from is not None and Path(frames_from).resolve() != path.resolve():
            _copy_companions(Path(frames_from), temporary, layout)
        if camera:
            _write_cameras(track, temporary, layout, fill_gaps, entry)


def _write_cameras(track: Track, folder: Path, layout: str, fill_gaps: bool, entry: str) -> None:
    kept = np.flatnonzero(np.asarray(track.valid) | fill_gaps | (layout == "lam"))
    numbers = list(range(len(track))) if layout == "lam" else vhap.numbers_of(track)
    stems = [vhap.frame_names(track)[i] for i in kept] if entry == vhap.FOLDER else None
    transforms.write(track.take(kept), [numbers[i] for i in kept], folder / transforms.NAME, stems)


def _copy_companions(source: Path, target: Path, layout: str) -> None:
    if layout in _WITH_CAMERAS:
        folders.copy_files(folders.files(source, lambda file: any(map(file.match, _COMPANIONS))), target)
    else:
        database = folders.inner(source, "img_lmdb")
        if database is not None:
            folders.copy(database, target / "img_lmdb", leave_out=("lock.mdb",))


def _entry(track: Track, layout: str) -> str:
    """What a folder of a format holds its track in."""
    if layout == "lam":
        return lam.NAME
    if layout != "vhap":
        return "smoothed.pkl"
    origin = of(track, "vhap")
    return vhap.FOLDER if origin is None or vhap.is_folder(origin) else "flame_param.npz"


def _write(track: Track, path: Path, format: str, fill_gaps: bool, *, camera: bool = False) -> None:
    if format == "gagjax":
        native.write(track, path)
    elif format == "liveportrait":
        liveportrait.write(track, path)
    elif format == "vhap":
        vhap.write(track, path, fill_gaps=fill_gaps, camera=camera)
    elif format == "lam":
        lam.write(track, path, camera=camera)
    elif format == "artalk":
        artalk.write(track, path)
    elif format == "livelink":
        live_link.write(track, path)
    elif format in weight_lists.KINDS:
        weight_lists.write(track, path, format)
    else:
        gagavatar.write(track, path, fill_gaps=fill_gaps)


def layout_of(track: Track, path: str | Path, *, like: str | None = None) -> Format:
    """The format in which a track is written at a path.

    Args:
        track: The track.
        path: The output.
        like: A format to keep if the suffix allows it.

    Raises:
        InputError: If no format has this suffix.
    """
    suffix = _suffix(Path(path))
    if like in SUFFIXES and suffix in SUFFIXES[like]:
        return like  # type: ignore[return-value]
    if suffix == ".npz":
        return "gagjax"
    if suffix in (".pkl", ".pickle"):
        return "liveportrait" if liveportrait.is_from_template(track) else "gagavatar"
    if suffix == "":
        return "gagavatar"
    if suffix in (".pt", ".pth"):
        return "artalk" if of(track, "artalk") is not None or Path(path).stem.endswith("_motions") else "gagavatar"
    if suffix == ".csv":
        return "livelink"
    if suffix == ".json":
        before = next((each for each in (*weight_lists.KINDS, "lam") if of(track, each) is not None), None)
        return "lam" if before is None and Path(path).name == lam.NAME else before or "arkit"  # type: ignore[return-value]
    raise InputError(
        f"no track format has the suffix {suffix}",
        file=path,
        fix="Use .npz, .pkl, .pt, .csv, .json, or none for a folder",
    )


def check_output(path: str | Path, layout: str, force: bool = False, *, track: Track | None = None) -> None:
    """Check that `save_track` can write there, before long work.

    Args:
        path: The output.
        layout: Its format.
        force: Replace an existing output.
        track: The track to write, if known.

    Raises:
        InputError: If the suffix is not the format's, the output exists and `force` is False, or it is a folder with
            another entry that would take precedence over the written one.
    """
    path = Path(path)
    if layout not in SUFFIXES:
        raise InputError(f"{layout!r} is no format to write", file=path, fix=f"Use one of {', '.join(SUFFIXES)}")
    suffix = _suffix(path)
    if suffix not in SUFFIXES[layout]:
        names = " or ".join(suffix or "no suffix (a folder)" for suffix in SUFFIXES[layout])
        raise InputError(f"a {FORMATS[layout]} has {names}", file=path, fix="Change the suffix of the output")
    atomic.check(path, force, folder=not suffix)
    if path.is_dir():
        _check_folder(path, layout, track)


def _check_folder(path: Path, layout: str, track: Track | None) -> None:
    """Check that reading the folder would find the track written into it."""
    entry = "smoothed.pkl" if track is None else _entry(track, layout)
    if path.name != vhap.FOLDER:
        before = IN_FOLDERS[: IN_FOLDERS.index(entry)]
        other = next((name for name in before if (path / name).exists()), None)
        if other is not None:
            raise InputError(
                f"holds {other}, which every command would go on to read instead of the {entry} written beside it",
                file=path,
                fix="Choose another folder",
            )
    if track is not None and entry == vhap.FOLDER:
        place = path if path.name == vhap.FOLDER else path / vhap.FOLDER
        kept = np.flatnonzero(np.asarray(track.valid))
        stems = vhap.frame_names(track)
        others = vhap.stems_in(place) - {stems[i] for i in kept}
        if others:
            raise InputError(
                f"holds frames that would stay among those written: {', '.join(sorted(others)[:4])}",
                file=place,
                fix="Choose another folder",
            )


def _suffix(path: Path) -> str:
    return "" if path.is_dir() else path.suffix.lower()
