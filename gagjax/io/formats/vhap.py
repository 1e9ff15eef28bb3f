"""VHAP's and GaussianAvatars' FLAME parameters: one `.npz` for a sequence, or a folder `flame_param/` with one a frame.

`expr` (T, 100), `jaw_pose` (T, 3), `eyes_pose` (T, 6: left, right), `neck_pose` (T, 3), `rotation` (T, 3),
`translation` (T, 3), `shape` (300,), all angles axis-angle in radians, lengths in metres: the head turns about its root
joint, then moves. Cameras are in `transforms.json` beside them, see `gagjax.io.formats.transforms`. What else the file holds
(`static_offset`, lights, textures) belongs to the person, not to the motion, and is not carried.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from gagjax.camera import UNITS_PER_METRE
from gagjax.errors import InputError
from gagjax.io.formats import fields, transforms
from gagjax.io.formats.liveportrait import DISTANCE
from gagjax.io.untrusted.checkpoints import load_npz
from gagjax.track import Track

_FRAMES = {"expr": 100, "jaw_pose": 3, "eyes_pose": 6, "neck_pose": 3, "rotation": 3, "translation": 3}


def is_parameters(content: Any) -> bool:
    """Whether an archive's content looks like this format."""
    return isinstance(content, Mapping) and "expr" in content and ("jaw_pose" in content or "rotation" in content)


def read(
    content: Mapping[str, np.ndarray],
    file: Path,
    fps: Fraction = Fraction(25),
    *,
    source: str = "vhap",
    numbers: np.ndarray | None = None,
) -> Track:
    """The parameters as a track: the head's own pose in `extra`, see `gagjax.head_pose`, and the camera in `transform`.

    The camera is that of `transforms.json` beside the file. Without one, `transform` is a frontal camera with GAGAvatar's
    lens and at its distance from where the head is on the whole, which is known to be made up (`Track.camera_known`).

    Args:
        content: The arrays.
        file: Where they come from; `transforms.json` is looked for beside it.
        fps: The format holds no frame rate.
        source: What the track says of its origin.
        numbers: (T,) the frames' numbers in `transforms.json`; None counts from zero.

    Returns:
        The track.

    Raises:
        InputError: If a field is missing or has a wrong shape, or a frame has no camera.
    """
    expression = _columns(fields.member(content, "expr", file), 100, file, "expr")
    frames = len(expression)
    if frames == 0:
        raise InputError("has no frames", file=file, field="expr", fix="Track the video again")

    def get(name: str, needed: bool = True) -> np.ndarray | None:
        if not needed and name not in content:
            return None
        return fields.sequence(fields.member(content, name, file), (_FRAMES[name],), file, name, frames)

    neck, translation = get("neck_pose", needed=False), get("translation", needed=False)
    rotation = get("rotation")
    assert rotation is not None
    # A frame that is not finite is found and named later; here it only must not stop the conversion.
    turned = Rotation.from_rotvec(np.where(np.isfinite(rotation), rotation, 0.0)).as_matrix().astype(np.float32)
    turned[~np.isfinite(rotation).all(1)] = np.nan
    shape = None
    if "shape" in content:
        person = np.asarray(content["shape"])
        rows = _columns(person[None] if person.ndim == 1 else person, 300, file, "shape")
        if not len(rows):
            raise InputError("is empty", file=file, field="shape", fix="Track the video again")
        shape = rows[0]
    where = transforms.beside(file)
    if where is None:
        transform, lens = frontal(np.zeros((frames, 3), np.float32) if translation is None else translation), None
    else:
        found = transforms.read(where)
        counted = np.arange(frames) + found.numbers[0] if numbers is None else numbers
        cameras = found.at(counted, where)
        transform, lens = cameras.transform, cameras.intrinsics
    return Track(
        expression,
        get("jaw_pose"),
        get("eyes_pose"),
        transform,
        shape=shape,
        neck=neck,
        extra={"rotation": turned} | ({} if translation is None else {"translation": translation}),
        fps=fps,
        rotations=("rotation",),
        source=source,
        intrinsics=lens,
    )


def frontal(translation: Float[np.ndarray, "T 3"]) -> Float[np.ndarray, "T 3 4"]:
    """A still camera at GAGAvatar's distance in front of where the head is on the whole.

    Args:
        translation: Of the head, (T, 3), metres.

    Returns:
        `[R | t]` of a track, (T, 3, 4).
    """
    finite = translation[np.isfinite(translation).all(1)]
    middle = np.median(finite, axis=0) if len(finite) else np.zeros(3)
    transform = np.zeros((len(translation), 3, 4), np.float32)
    transform[:, :, :3] = np.diag([-1.0, 1.0, -1.0])
    transform[:, :, 3] = [0, 0, DISTANCE] - UNITS_PER_METRE * middle * [-1.0, 1.0, -1.0]
    return transform


def read_folder(folder: Path, fps: Fraction = Fraction(25)) -> Track:
    """The track of a folder `flame_param/`, one archive a frame, in order of their numbers.

    Raises:
        InputError: As `read`, or if there is no archive.
    """
    files = sorted(folder.glob("*.npz"), key=lambda file: (len(file.stem), file.stem))
    if not files:
        raise InputError("holds no .npz file", file=folder)
    contents = [load_npz(file) for file in files]
    joined = {
        name: np.concatenate(
            [
                fields.sequence(fields.member(c, name, f), (_FRAMES[name],), f, name)
                for c, f in zip(contents, files, strict=True)
            ]
        )
        for name in _FRAMES
        if name in contents[0]
    }
    numbered = all(file.stem.isdigit() for file in files) and len(joined["expr"]) == len(files)
    numbers = np.array([int(file.stem[-12:]) for file in files]) if numbered else None
    return read(
        joined | ({"shape": contents[0]["shape"]} if "shape" in contents[0] else {}), folder, fps, numbers=numbers
    )


def write(track: Track, path: Path) -> None:
    """The motion of a track as one archive of this format.

    Raises:
        InputError: If the track is no FLAME motion with a head rotation.
    """
    frames = len(track)
    rotation = np.asarray(track.extra.get("rotation", _head_rotation(track)), np.float64)
    np.savez(
        path,
        expr=np.asarray(track.expression, np.float32),
        jaw_pose=np.asarray(track.jaw, np.float32),
        eyes_pose=np.asarray(track.eyes, np.float32),
        neck_pose=np.asarray(np.zeros((frames, 3)) if track.neck is None else track.neck, np.float32),
        rotation=Rotation.from_matrix(rotation).as_rotvec().astype(np.float32),
        translation=np.asarray(track.extra.get("translation", np.zeros((frames, 3))), np.float32),
        shape=_clip_shape(track),
    )


def _head_rotation(track: Track) -> np.ndarray:
    """The head's rotation in front of a frontal camera, out of the camera's: for tracks whose head is at rest."""
    camera = np.asarray(track.transform, np.float64)[:, :, :3]
    return (camera @ np.diag([-1.0, 1.0, -1.0])).transpose(0, 2, 1)


def _clip_shape(track: Track) -> np.ndarray:
    shape = np.zeros(300) if track.shape is None else np.asarray(track.shape)
    return (shape if shape.ndim == 1 else shape.mean(0)).astype(np.float32)


def _columns(value: Any, columns: int, file: Path, field: str) -> np.ndarray:
    """(T, columns): trackers may estimate fewer coefficients; the others are zero."""
    value = np.asarray(value)
    if value.ndim != 2 or not 0 < value.shape[1] <= columns:
        raise InputError(f"has shape {value.shape}, expected (T, {columns}) or fewer columns", file=file, field=field)
    value = fields.sequence(value, value.shape[1:], file, field)
    return np.pad(value, ((0, 0), (0, columns - value.shape[1])))
