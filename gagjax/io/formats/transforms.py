"""`transforms.json`: the cameras of a tracked clip, as written by NeRF tools, VHAP, GaussianAvatars and LAM.

`frames` is a list of dicts with `transform_matrix` (4, 4): camera to world, column vectors, lengths in metres, OpenGL
axes (x right, y up, looking along -z). Intrinsics `fl_x`, `fl_y`, `cx`, `cy` are in pixels of an image of `w` x `h`,
per frame or for all frames; the horizontal field of view `camera_angle_x` is used if `fl_x` is missing.
`timestep_index` numbers the frames, `camera_index` the cameras.
"""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from gagjax.camera import UNITS_PER_METRE, Intrinsics
from gagjax.errors import InputError
from gagjax.io import folders
from gagjax.io.formats import fields
from gagjax.text.printable import quoted
from gagjax.track import Track

NAME = "transforms.json"
LIMIT = 1 << 28  # bytes
LARGEST = 1 << 53  # number of a frame
_DISTORTION = ("k1", "k2", "k3", "k4", "p1", "p2")
_FIX = "Give fl_x, fl_y, cx, cy, w, h and transform_matrix, as VHAP exports them"


class Cameras(NamedTuple):
    """The cameras of a clip.

    Attributes:
        transform: World to camera in a track's convention, (T, 3, 4).
        intrinsics: Their intrinsics.
        numbers: (T,) number of each frame.
    """

    transform: Float[np.ndarray, "T 3 4"]
    intrinsics: Intrinsics
    numbers: np.ndarray

    def at(self, numbers: np.ndarray, file: Path) -> Cameras:
        """The cameras of frames by number; a static camera is also used for unlisted frames.

        Raises:
            InputError: If a frame has no camera.
        """
        place = {int(number): i for i, number in enumerate(self.numbers)}
        index = [place.get(int(number), -1) for number in numbers]
        if min(index) < 0:
            still = not np.ptp(self.transform, axis=0).any() and self.intrinsics.K.ndim == 2
            if not still:
                missing = int(numbers[index.index(-1)])
                raise InputError(f"has no camera for frame {missing}", file=file, field="frames", fix="Export it again")
            index = [max(i, 0) for i in index]
        k = self.intrinsics.K
        lens = self.intrinsics if k.ndim == 2 else Intrinsics(k[index], self.intrinsics.width, self.intrinsics.height)
        return Cameras(self.transform[index], lens, np.asarray(numbers))


def beside(path: Path) -> Path | None:
    """The camera file for a parameter file: in the same folder, or in the parent of a folder `flame_param`.

    Raises:
        InputError: If it is a link or not a file.
    """
    folder = path.parent if path.is_file() or path.name == "flame_param" else path
    return folder / NAME if folders.has(folder, NAME) else None


def read_json(file: Path) -> Any:
    """The content of a JSON file.

    Raises:
        InputError: If it is too large or not JSON.
    """
    if file.stat().st_size > LIMIT:
        raise InputError(f"is larger than {LIMIT >> 20} MiB", file=file, fix="Split the clip")
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, RecursionError, OSError) as error:
        raise InputError("is no readable JSON", file=file, fix="Export it again") from error


def read(file: Path) -> Cameras:
    """The cameras of a file, ordered by frame number.

    Of several simultaneous cameras the first is used, with a warning.

    Raises:
        InputError: If a field is missing, has a wrong shape or is not finite, or a frame is listed twice.
    """
    content, frames, matrices = _listed(file)
    frames, matrices = _first_camera(frames, matrices, file)
    return _cameras(content, frames, matrices, file)


def read_rig(file: Path) -> dict[str, tuple[Cameras, list[Mapping[str, Any]]]]:
    """The cameras of a file by name (`camera_id`, or else `camera_index`), in the order in which they are listed first.

    Returns:
        Each camera's frames by increasing number, and their entries, which name pictures (`file_path`) and mattes
        (`fg_mask_path`) relative to the file.

    Raises:
        InputError: As `read`.
    """
    content, frames, matrices = _listed(file)
    names = [_camera_name(frame, file) for frame in frames]
    found: dict[str, tuple[Cameras, list[Mapping[str, Any]]]] = {}
    for name in dict.fromkeys(names):
        own = [i for i, other in enumerate(names) if other == name]
        cameras = _cameras(content, [frames[i] for i in own], matrices[own], file)
        entry = {_integer(frames[i].get("timestep_index", k), file): frames[i] for k, i in enumerate(own)}
        found[name] = cameras, [entry[int(number)] for number in cameras.numbers]
    return found


def _camera_name(frame: object, file: Path) -> str:
    value = frame.get("camera_id", frame.get("camera_index", 0)) if isinstance(frame, Mapping) else 0
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise InputError(f"is {quoted(value)}", file=file, field="camera_id", fix=_FIX)
    return str(value)


def _listed(file: Path) -> tuple[Any, list[Any], Float[np.ndarray, "N 4 4"]]:
    content = read_json(file)
    frames = fields.member(content, "frames", file)
    if not isinstance(frames, list) or not frames:
        raise InputError("has no frames", file=file, field="frames", fix=_FIX)
    places = [f"frames[{i}]" for i in range(len(frames))]
    return content, frames, fields.stacked(frames, "transform_matrix", (4, 4), file, places).astype(np.float64)


def _cameras(content: Any, frames: list[Any], matrices: Float[np.ndarray, "N 4 4"], file: Path) -> Cameras:
    numbers = np.asarray([_integer(frame.get("timestep_index", i), file) for i, frame in enumerate(frames)])
    order = np.argsort(numbers, kind="stable")
    if len(set(numbers.tolist())) != len(numbers):
        raise InputError("has two cameras for one frame", file=file, field="timestep_index", fix="Export it again")
    lens = [_lens(frames[i], content, file) for i in order]
    if len({(width, height) for _, width, height in lens}) != 1:
        raise InputError("holds pictures of several sizes", file=file, field="w, h", fix="Track one clip at a time")
    each = np.asarray([k for k, _, _ in lens], np.float32)
    moving = bool(np.ptp(each, axis=0).any())
    intrinsics = Intrinsics(each if moving else each[0], lens[0][1], lens[0][2])
    return Cameras(_world_to_camera(matrices[order], file), intrinsics, numbers[order])


def write(track: Track, numbers: Sequence[int], file: Path, stems: Sequence[str] | None = None) -> None:
    """The cameras of a track as a file of this kind. One that is there already is changed only where cameras moved.

    Args:
        track: The track.
        numbers: The number of each frame.
        file: The file.
        stems: Names of the frames' archives in a folder `flame_param`, where there is one.
    """
    lens = track.intrinsics if track.intrinsics is not None else Intrinsics.of_focal()
    matrices = _camera_to_world(np.asarray(track.transform))
    if file.exists() and _kept(file, track, matrices, numbers):
        return
    each = np.broadcast_to(np.asarray(lens.K, np.float64), (len(track), 3, 3))
    frames = []
    for i, number in enumerate(numbers):
        frame: dict[str, Any] = {
            "timestep_index": number,
            "timestep_id": f"{number:05d}",
            "camera_index": 0,
            "camera_id": "0",
            **_lens_fields(each[i], lens),
            "transform_matrix": matrices[i].tolist(),
        }
        if stems is not None:
            frame["flame_param_path"] = f"flame_param/{stems[i]}.npz"
        frames.append(frame)
    content = {
        "frames": frames,
        **_lens_fields(each[0], lens),
        "timestep_indices": list(numbers),
        "camera_indices": [0],
    }
    file.write_text(json.dumps(content, indent=1), encoding="utf-8")


def _lens_fields(k: Float[np.ndarray, "3 3"], lens: Intrinsics) -> dict[str, Any]:
    return {
        "fl_x": float(k[0, 0]),
        "fl_y": float(k[1, 1]),
        "cx": float(k[0, 2]),
        "cy": float(k[1, 2]),
        "w": lens.width,
        "h": lens.height,
        "camera_angle_x": 2 * math.atan(0.5 * lens.width / float(k[0, 0])),
        "camera_angle_y": 2 * math.atan(0.5 * lens.height / float(k[1, 1])),
    }


def _camera_to_world(transform: Float[np.ndarray, "T 3 4"]) -> Float[np.ndarray, "T 4 4"]:
    """The inverse of `_world_to_camera`; exact also where a rotation is one only to float32."""
    rotation = np.asarray(transform[:, :, :3], np.float64)
    made = np.tile(np.eye(4), (len(rotation), 1, 1))
    made[:, :3, :3] = rotation @ np.diag([-1.0, 1.0, -1.0])
    place = np.linalg.solve(rotation.transpose(0, 2, 1), np.asarray(transform[:, :, 3:], np.float64))
    made[:, :3, 3] = -place[:, :, 0] / UNITS_PER_METRE
    return made


def _kept(file: Path, track: Track, matrices: Float[np.ndarray, "T 4 4"], numbers: Sequence[int]) -> bool:
    """Whether a file of cameras has the frames of a track; its matrices are replaced where they differ."""
    content = read_json(file)
    try:
        was = read(file).at(np.asarray(numbers), file)
    except InputError:
        return False
    moved = np.flatnonzero(np.abs(was.transform - np.asarray(track.transform)).max((1, 2)) > 1e-6).tolist()
    if not moved:
        return True
    changed = {numbers[i]: matrices[i].tolist() for i in moved}
    first = content["frames"][0].get("camera_index", 0)
    for i, frame in enumerate(content["frames"]):
        number = frame.get("timestep_index", i)
        if number in changed and frame.get("camera_index", 0) == first:
            frame["transform_matrix"] = changed[number]
    file.write_text(json.dumps(content, indent=1), encoding="utf-8")
    return True


def _world_to_camera(matrices: Float[np.ndarray, "T 4 4"], file: Path) -> Float[np.ndarray, "T 3 4"]:
    if not np.isfinite(matrices).all():
        raise InputError("is not finite", file=file, field="transform_matrix", fix="Export it again")
    turn = matrices[:, :3, :3]
    off = np.abs(turn @ turn.transpose(0, 2, 1) - np.eye(3)).max()
    if off > 1e-2 or (np.linalg.det(turn) < 0).any():
        raise InputError(f"holds no rotation (off by {off:.3g})", file=file, field="transform_matrix", fix=_FIX)
    # A track's camera has x left, y up, z forward; OpenGL's x right, y up, z back. Row vectors: X @ R + t.
    rotation = turn @ np.diag([-1.0, 1.0, -1.0])
    shift = -UNITS_PER_METRE * np.einsum("ta,tab->tb", matrices[:, :3, 3], rotation)
    return np.concatenate([rotation, shift[:, :, None]], 2).astype(np.float32)


def _first_camera(frames: list[Any], matrices: np.ndarray, file: Path) -> tuple[list[Any], np.ndarray]:
    cameras = [frame.get("camera_index", 0) if isinstance(frame, Mapping) else 0 for frame in frames]
    first = cameras[0]
    kept = [i for i, camera in enumerate(cameras) if camera == first]
    if len(kept) < len(frames):
        count = len({str(camera) for camera in cameras})
        warnings.warn(f"{file}: holds {count} cameras; number {quoted(first)} is used", stacklevel=4)
    return [frames[i] for i in kept], matrices[kept]


def _lens(frame: Mapping[str, Any], whole: Mapping[str, Any], file: Path) -> tuple[list[list[float]], int, int]:
    def get(name: str) -> float | None:
        value = frame.get(name, whole.get(name))
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise InputError(f"is {quoted(value)}", file=file, field=name, fix=_FIX)
        return float(value)

    def needed(name: str) -> float:
        value = get(name)
        if value is None:
            raise InputError("is missing", file=file, field=name, fix=_FIX)
        return value

    width, height = needed("w"), needed("h")
    if not (1 <= width <= 1 << 16 and 1 <= height <= 1 << 16):
        raise InputError(f"are {width:g} x {height:g}", file=file, field="w, h", fix=_FIX)
    across = _focal(get("fl_x"), get("camera_angle_x"), width)
    down = _focal(get("fl_y"), get("camera_angle_y"), height)
    across = needed("fl_x") if across is None else across
    down = across if down is None else down
    if across <= 0 or down <= 0:
        raise InputError(f"are {across:g} and {down:g}", file=file, field="fl_x, fl_y", fix=_FIX)
    if any(get(name) for name in _DISTORTION):
        raise InputError("bends straight lines, which no head here is drawn with", file=file, field="k1 ... p2",
                         fix="Undistort the pictures and export the cameras without it")  # fmt: skip
    x, y = get("cx"), get("cy")
    centre = width / 2 if x is None else x, height / 2 if y is None else y
    return [[across, 0.0, centre[0]], [0.0, down, centre[1]], [0.0, 0.0, 1.0]], int(width), int(height)


def _focal(pixels: float | None, angle: float | None, extent: float) -> float | None:
    if pixels is not None or angle is None:
        return pixels
    return 0.5 * extent / math.tan(0.5 * angle) if 0 < angle < math.pi else None


def _integer(value: object, file: Path) -> int:
    if type(value) is not int or abs(value) > LARGEST:
        raise InputError(
            f"is {quoted(value)}, no number of a frame", file=file, field="timestep_index", fix="Export it again"
        )
    return value
