"""FLAME parameters of VHAP and GaussianAvatars: one `.npz` per sequence, or a folder `flame_param/` with one per frame.

`expr` (T, 100), `jaw_pose` (T, 3), `eyes_pose` (T, 6: left, right), `neck_pose` (T, 3), `rotation` (T, 3),
`translation` (T, 3), `shape` (300,), all angles axis-angle in radians, lengths in metres: the head rotates about its
root joint and is then translated. Cameras are in `transforms.json` beside them, see `gagjax.io.formats.transforms`.
Further content (`static_offset`, lights, textures) belongs to the person, not to the motion, and is written back
unchanged to files of this format.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from gagjax.camera import DISTANCE, UNITS_PER_METRE, Intrinsics
from gagjax.conventions import rotations
from gagjax.conventions.head_pose import host_rotation_of
from gagjax.errors import InputError
from gagjax.io import folders
from gagjax.io.formats import fields, numbering, transforms
from gagjax.io.formats.origin import Origin, merged, of
from gagjax.io.untrusted.checkpoints import load_npz
from gagjax.track import EXPRESSIONS, SHAPES, Track

FOLDER = "flame_param"
_FRAMES = {"jaw_pose": 3, "eyes_pose": 6, "neck_pose": 3, "rotation": 3, "translation": 3}
MOTION = ("expr", *_FRAMES)
_NEEDED = ("jaw_pose", "eyes_pose", "rotation")
#: Entries that belong to the clip, whatever their length.
_WHOLE = ("shape", "static_offset", "lights", "focal_length", "image_size", "tex_pca", "tex_extra")
#: `[R | t]` of every frame, (T, 3, 4), and the intrinsics, if known.
_Cameras = tuple[Float[np.ndarray, "T 3 4"], Intrinsics | None]


def is_parameters(content: object) -> bool:
    """Whether an archive's content looks like this format."""
    return isinstance(content, Mapping) and "expr" in content and ("jaw_pose" in content or "rotation" in content)


def is_frames(folder: Path) -> bool:
    """Whether a folder holds one archive of parameters per frame, whatever its name."""
    files = _frame_files(folder)
    if not files:
        return False
    try:
        return is_parameters(load_npz(files[0]))
    except InputError:
        return folder.name == FOLDER  # damaged, which is reported when read


def read(content: Mapping[str, np.ndarray], file: Path, fps: Fraction = Fraction(25), *, source: str = "vhap") -> Track:
    """The parameters as a track: the head's own pose in `extra`, and the camera in `transform`.

    The camera is that of `transforms.json` beside the file. Without one, `transform` is a frontal placeholder camera
    with GAGAvatar's intrinsics and distance from the average head position (see `Track.camera_known`). If `timestep_id`
    numbers the frames, missing numbers become invalid frames. `origin` keeps the archive unmodified. For the head's
    pose see `gagjax.conventions.head_pose`.

    Args:
        content: The arrays.
        file: Their file; `transforms.json` is searched beside it.
        fps: Frame rate; the format does not store it.
        source: `source` of the track.

    Returns:
        The track.

    Raises:
        InputError: If a field is missing or has a wrong shape, or a frame has no camera.
    """
    motion = _motion(content, file)
    names = _timesteps(content, len(motion["expr"]))
    order, numbers = (None, None) if names is None else numbering.order(names, file, strict=False)
    own = None if names is None or numbers is None else [numbering.number(name) or 0 for name in names]
    track = _track(motion, fps, source, _cameras(motion, file, own, same=False))
    track = dataclasses.replace(track, origin=Origin("vhap", content, np.arange(len(track))))
    if names is None or order is None:
        return track
    track = fields.at_frames(track, order, np.ones(len(order), bool), [names[i] for i in order])
    track = dataclasses.replace(track, origin=Origin("vhap", content, order))
    return track if numbers is None else _with_gaps(track, numbers, file)


def read_folder(folder: Path, fps: Fraction = Fraction(25)) -> Track:
    """The track of a folder `flame_param/`, one archive per frame, ordered by number; gaps are invalid frames.

    Raises:
        InputError: As `read`, or if there is no archive.
    """
    files = _frame_files(folder)
    if not files:
        raise InputError("holds no .npz file", file=folder, fix="VHAP writes 00000.npz, 00001.npz and so on")
    order, numbers = numbering.order([file.stem for file in files], folder, strict=False)
    files = [files[i] for i in order]
    contents = [load_npz(file) for file in files]
    motions = [_motion(_rows(content), file) for content, file in zip(contents, files, strict=True)]
    for motion, file in zip(motions, files, strict=True):
        if set(motion) != set(motions[0]):
            odd = sorted(set(motion) ^ set(motions[0]))
            raise InputError(f"has not the fields of {files[0].name}: {', '.join(odd)}", file=file)
        if len(motion["expr"]) != 1:
            raise InputError(f"has {len(motion['expr'])} frames, expected one", file=file, field="expr")
    joined = {name: np.concatenate([motion[name] for motion in motions]) for name in motions[0] if name != "shape"}
    if "shape" in motions[0]:
        joined["shape"] = motions[0]["shape"]
    origin = Origin("vhap", dict(zip((file.stem for file in files), contents, strict=True)), np.arange(len(files)))
    digits = all(file.stem.isdigit() for file in files)
    cameras = _cameras(joined, folder, numbers, same=digits)
    track = _track(joined, fps, "vhap", cameras)
    track = dataclasses.replace(track, names=tuple(file.stem for file in files), origin=origin)
    return track if numbers is None else _with_gaps(track, numbers, folder)


def write(track: Track, path: Path, *, fill_gaps: bool = False, camera: bool = False) -> None:
    """The motion of a track as one archive of this format.

    If the track was read from an archive, only modified values are changed. Invalid frames are omitted, and
    `timestep_id` lists the remaining ones.

    Args:
        track: The track.
        path: The file to write.
        fill_gaps: Write the frames marked invalid as well.
        camera: The camera is written beside it.

    Raises:
        InputError: If there is no frame to write.
    """
    kept = _kept(track, fill_gaps, path)
    new = parameters_of(track, camera=camera)
    origin = of(track, "vhap")
    if origin is None or is_folder(origin):
        made = _fresh({name: value if name == "shape" else value[kept] for name, value in new.items()})
        if len(kept) < len(track):
            made["timestep_id"] = np.array([f"{i:05d}" for i in kept])
        if origin is not None:
            made |= shared_entries(origin)
    else:
        made = _changed(
            origin.content, origin.frames[kept], {k: v if k == "shape" else v[kept] for k, v in new.items()}
        )
        if len(kept) < len(track) and "timestep_id" not in made:
            made["timestep_id"] = np.array([f"{i:05d}" for i in kept])
    with path.open("wb") as file:
        np.savez(file, **made)


def write_folder(track: Track, folder: Path, *, fill_gaps: bool = False, camera: bool = False) -> None:
    """The motion of a track as the archives of a folder `flame_param/`: 00000.npz and so on.

    If the track was read from such a folder, only modified values are changed, and file names are kept. Invalid frames
    are omitted: their numbers are missing.

    Args:
        track: The track.
        folder: Where to put the archives; it is there.
        fill_gaps: Write the frames marked invalid as well.
        camera: The camera is written beside it.

    Raises:
        InputError: If there is no frame to write.
    """
    kept = _kept(track, fill_gaps, folder)
    new = parameters_of(track, camera=camera)
    origin = of(track, "vhap")
    stems = frame_names(track)
    for i in kept:
        row: dict[str, Any] = {name: value if name == "shape" else value[i : i + 1] for name, value in new.items()}
        if origin is not None and is_folder(origin) and origin.frames[i] >= 0:
            content = list(origin.content.values())[origin.frames[i]]
            row = _changed(content, np.zeros(1, int), row)
        elif origin is not None and not is_folder(origin) and origin.frames[i] >= 0:
            row = _changed(origin.content, origin.frames[i : i + 1], row)
        else:
            row = _fresh(row)
        np.savez(folder / f"{stems[i]}.npz", **row)


def frame_names(track: Track) -> list[str]:
    """The names of a track's frames in a folder `flame_param/`, without suffix."""
    origin = of(track, "vhap")
    if origin is not None and is_folder(origin) and track.names is not None:
        return list(track.names)
    return [f"{i:05d}" for i in range(len(track))]


def numbers_of(track: Track) -> list[int]:
    """The number by which the camera of each frame is found in `transforms.json`."""
    names = frame_names(track) if track.names is None or of(track, "vhap") is None else list(track.names)
    numbers = [numbering.number(name) for name in names]
    return [i if number is None else number for i, number in enumerate(numbers)]


def stems_in(folder: Path) -> set[str]:
    """The names of the frames in a folder `flame_param/`, without suffix; empty if there is no such folder."""
    return {file.stem for file in _frame_files(folder)} if folder.is_dir() else set()


def is_folder(origin: Origin) -> bool:
    """Whether an origin of this format is a folder with one archive per frame, not a single archive."""
    return all(isinstance(value, Mapping) for value in origin.content.values())


def shared_entries(origin: Origin) -> dict[str, np.ndarray]:
    """The entries of a folder other than motion that are the same in every frame, by name."""
    first, *others = origin.content.values()
    return {
        name: value
        for name, value in first.items()
        if name not in (*MOTION, "shape") and all(np.array_equal(value, other.get(name)) for other in others)
    }


def frame_count(content: Mapping[str, Any]) -> int:
    """The number of frames of an origin's content."""
    return len(content) if all(isinstance(value, Mapping) for value in content.values()) else len(content["expr"])


def _motion(content: Mapping[str, np.ndarray], file: Path) -> dict[str, np.ndarray]:
    """The motion fields and the person's shape, validated."""
    motion = {"expr": fields.coefficients(fields.member(content, "expr", file), EXPRESSIONS, file, "expr")}
    frames = len(motion["expr"])
    if frames == 0:
        raise InputError("has no frames", file=file, field="expr", fix="Track the video again")
    for name, columns in _FRAMES.items():
        if name in content or name in _NEEDED:
            motion[name] = fields.sequence(fields.member(content, name, file), (columns,), file, name, frames)
    if "shape" in content:
        person = fields.array(content["shape"], file, "shape")
        rows = fields.coefficients(person[None] if person.ndim == 1 else person, SHAPES, file, "shape")
        if not len(rows):
            raise InputError("is empty", file=file, field="shape", fix="Track the video again")
        motion["shape"] = rows[0]
    return motion


def _track(motion: Mapping[str, np.ndarray], fps: Fraction, source: str, cameras: _Cameras) -> Track:
    turned = _matrices(motion["rotation"])
    transform, lens = cameras
    return Track(
        motion["expr"],
        motion["jaw_pose"],
        motion["eyes_pose"],
        transform,
        shape=motion.get("shape"),
        neck=motion.get("neck_pose"),
        extra={"rotation": turned} | ({"translation": motion["translation"]} if "translation" in motion else {}),
        fps=fps,
        rotations=("rotation",),
        source=source,
        intrinsics=lens,
    )


def _cameras(motion: Mapping[str, np.ndarray], file: Path, numbers: Sequence[int] | None, *, same: bool) -> _Cameras:
    """The camera of every frame and its intrinsics: from `transforms.json`, or a frontal camera without intrinsics.

    Args:
        motion: The motion fields.
        file: Their file.
        numbers: The frames' own numbers, if any.
        same: Whether these are the numbers of `transforms.json`. If False, they are used only if all of them occur
            there; otherwise frames are matched in order.
    """
    frames = len(motion["expr"])
    where = transforms.beside(file)
    if where is None:
        return frontal(motion.get("translation", np.zeros((frames, 3), np.float32))), None
    found = transforms.read(where)
    if numbers is None or not (same or set(numbers) <= set(found.numbers.tolist())):
        numbers = range(int(found.numbers[0]), int(found.numbers[0]) + frames)
    cameras = found.at(np.asarray(numbers), where)
    return cameras.transform, cameras.intrinsics


def frontal(translation: Float[np.ndarray, "T 3"]) -> Float[np.ndarray, "T 3 4"]:
    """A static camera at GAGAvatar's distance in front of the average head position.

    Args:
        translation: Translation of the head, (T, 3), metres.

    Returns:
        `[R | t]` of a track, (T, 3, 4).
    """
    finite = translation[np.isfinite(translation).all(1)]
    middle = np.median(finite, axis=0) if len(finite) else np.zeros(3)
    transform = np.zeros((len(translation), 3, 4), np.float32)
    transform[:, :, :3] = np.diag([-1.0, 1.0, -1.0])
    transform[:, :, 3] = [0, 0, DISTANCE] - UNITS_PER_METRE * middle * [-1.0, 1.0, -1.0]
    return transform


def _matrices(rotation: np.ndarray) -> np.ndarray:
    # Non-finite frames are reported later; here they must not abort the conversion.
    finite = np.isfinite(rotation).all(1)
    turned = rotations.matrices(np.where(finite[:, None], rotation, 0.0)).astype(np.float32)
    turned[~finite] = np.nan
    return turned


def parameters_of(track: Track, *, camera: bool = False) -> dict[str, np.ndarray]:
    """A track's fields by their names in the file, the rotation as matrices.

    Args:
        track: The track.
        camera: The camera is written beside them. Otherwise a head at rest takes the camera's turns over.
    """
    frames = len(track)
    held = host_rotation_of(track.extra)
    at_rest = np.tile(np.eye(3), (frames, 1, 1)) if camera else head_rotation(track)
    turned = at_rest if held is None else held
    return {
        "expr": np.asarray(track.expression, np.float32),
        "jaw_pose": np.asarray(track.jaw, np.float32),
        "eyes_pose": np.asarray(track.eyes, np.float32),
        "neck_pose": np.asarray(np.zeros((frames, 3)) if track.neck is None else track.neck, np.float32),
        "rotation": np.asarray(turned, np.float32),
        "translation": np.asarray(track.extra.get("translation", np.zeros((frames, 3))), np.float32),
        "shape": _clip_shape(track),
    }


def _fresh(new: Mapping[str, np.ndarray]) -> dict[str, Any]:
    return {name: vectors(value) if name == "rotation" else value for name, value in new.items()}


def vectors(matrices: Float[np.ndarray, "T 3 3"]) -> Float[np.ndarray, "T 3"]:
    """Axis-angle vectors of rotation matrices; NaN where those are not finite."""
    finite = np.isfinite(matrices).all((1, 2))
    made = rotations.vectors(np.where(finite[:, None, None], matrices, np.eye(3))).astype(np.float32)
    made[~finite] = np.nan
    return made


def _changed(content: Mapping[str, np.ndarray], rows: np.ndarray, new: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Some frames of an archive with updated numbers; entries other than motion are unchanged."""
    motion = _motion(_rows(content), Path("origin"))
    frames = len(motion["expr"])
    whole = len(rows) == frames and np.array_equal(rows, np.arange(frames))
    made: dict[str, np.ndarray] = {}
    for name, value in content.items():
        held = np.asarray(value)
        if not whole and held.ndim and len(held) == frames and name not in _WHOLE:
            held = held[rows]
        if name == "shape":
            person = new["shape"] if held.ndim == 1 else np.broadcast_to(new["shape"], (*held.shape[:-1], SHAPES))
            read = motion["shape"] if held.ndim == 1 else np.broadcast_to(motion["shape"], person.shape)
            held = merged(held, read, person)
        elif name == "rotation":
            held = turned_back(held, motion[name][rows], new[name])
        elif name in motion:
            held = merged(held, motion[name][rows], new[name])
        made[name] = held
    # Fields missing in the archive are added only if the track uses them.
    return made | {name: value for name, value in new.items() if name not in content and value.any()}


def turned_back(
    held: Float[np.ndarray, "T 3"], read: Float[np.ndarray, "T 3"], matrices: Float[np.ndarray, "T 3 3"]
) -> Float[np.ndarray, "T 3"]:
    """Rotation vectors with those frames replaced whose rotation changed, each on the turn of the old one.

    Args:
        held: As the file has them.
        read: As they were read.
        matrices: What the rotations are now.
    """
    new = vectors(matrices)
    angle = np.linalg.norm(new, axis=1, keepdims=True)
    axis = new / np.maximum(angle, 1e-12)
    # Vectors that differ by whole turns are the same rotation.
    turns = np.round((np.sum(read * axis, 1, keepdims=True) - angle) / (2 * np.pi))
    near = np.where(np.isfinite(turns) & (angle > 1e-6), axis * (angle + 2 * np.pi * turns), new)
    same = (_matrices(read) == matrices).all((1, 2))
    return merged(held, read, np.where(same[:, None], read, near).astype(np.float32))


def _rows(content: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """An archive of one frame, with a time axis added to fields that lack it."""
    if np.ndim(content.get("expr", 0)) != 1:
        return dict(content)
    return {
        name: np.asarray(value)[None] if name == "expr" or name in _FRAMES else value for name, value in content.items()
    }


def _timesteps(content: Mapping[str, np.ndarray], frames: int) -> list[str] | None:
    value = content.get("timestep_id")
    if value is None or np.shape(value) != (frames,):
        return None
    return [str(each) for each in np.asarray(value)]


def _with_gaps(track: Track, numbers: list[int], file: Path) -> Track:
    filled = numbering.filled(numbers, file)
    if filled is None:
        return track
    assert track.names is not None and track.origin is not None
    names = numbering.names(track.names, numbers)
    origin = track.origin.at(np.where(filled.valid, filled.before, -1))
    return dataclasses.replace(fields.at_frames(track, filled.before, filled.valid, names), origin=origin)


def _kept(track: Track, fill_gaps: bool, path: Path) -> np.ndarray:
    kept = np.flatnonzero(np.asarray(track.valid) | fill_gaps)
    if not kept.size:
        raise InputError("has no valid frame to write", file=path)
    return kept


def _frame_files(folder: Path) -> list[Path]:
    return folders.files(folder, lambda file: file.suffix.lower() == ".npz" and numbering.number(file.stem) is not None)


def head_rotation(track: Track) -> np.ndarray:
    """The head's rotation in front of a frontal camera, out of the camera's: for tracks whose head is at rest."""
    camera = np.asarray(track.transform, np.float64)[:, :, :3]
    return (camera @ np.diag([-1.0, 1.0, -1.0])).transpose(0, 2, 1)


def _clip_shape(track: Track) -> np.ndarray:
    shape = np.zeros(300) if track.shape is None else np.asarray(track.shape)
    return (shape if shape.ndim == 1 else shape.mean(0)).astype(np.float32)
