"""Clips of many cameras from folders: exports with `transforms.json`, or a plain folder.

Exports of VHAP (NeRSemble and the like) list every picture in `transforms.json`, with its frame (`timestep_index`), its
camera (`camera_id` or `camera_index`), its file (`file_path`) and its matte (`fg_mask_path`).

A plain folder holds

    track.npz                   the head, as the first camera sees it
    cameras.json                {"cameras": [{"name": "front", "K": 3 x 3, "width": W, "height": H,
                                              "world_to_camera": 3 x 4 or 4 x 4}, ...]}
    cameras/front/000000.png    every camera's pictures, in track order
    masks/front/000000.png      mattes, for all cameras or for none

with `K` in pixels and `world_to_camera` for column vectors in metres, OpenCV axes (x right, y down, z forward). The
cameras stand still, and the first one listed is the track's. Pictures need not be square: they are padded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8

from gagjax.avatars.personal.cameras.rig import Rig, between
from gagjax.camera import UNITS_PER_METRE, Intrinsics
from gagjax.errors import InputError
from gagjax.io import folders, suffixes
from gagjax.io.formats import fields, transforms, vhap
from gagjax.track import Track

CAMERAS = "cameras.json"
_FIX = "List the cameras as docs/guide/many_cameras.md says"


def is_rig(folder: Path) -> bool:
    """Whether a folder holds a clip of several cameras."""
    if folders.has(folder, CAMERAS):
        return True
    if not folders.has(folder, transforms.NAME):
        return False
    return len(transforms.read_rig(folder / transforms.NAME)) > 1


def pictures(
    folder: Path, track: Track, size: int
) -> tuple[UInt8[np.ndarray, "N S S 3"], UInt8[np.ndarray, "N S S"] | None, Rig]:
    """The pictures, mattes and cameras of a folder.

    Args:
        folder: A folder of either kind.
        track: Its track.
        size: Width and height of the returned pictures.

    Returns:
        Pictures and mattes (or None), camera by camera, and the rig.

    Raises:
        InputError: If a picture or a camera is missing or damaged.
    """
    if folders.has(folder, CAMERAS):
        return _plain(folder, track, size)
    return _export(folder, track, size)


def _export(folder: Path, track: Track, size: int) -> Any:
    file = folder / transforms.NAME
    listed = transforms.read_rig(file)
    place = {number: i for i, number in enumerate(vhap.numbers_of(track))}
    first, _ = next(iter(listed.values()))
    world = {int(number): transform for number, transform in zip(first.numbers, first.transform, strict=True)}
    time: list[int] = []
    camera: list[int] = []
    shown, masked = [], []
    relative = np.tile(np.eye(3, 4), (len(listed), len(track), 1, 1))
    lenses = []
    for c, (name, (cameras, entries)) in enumerate(listed.items()):
        lens = cameras.intrinsics
        if lens.K.ndim == 3:
            raise InputError("changes its lens", file=file, field=f"camera {name}", fix="Export one lens per camera")
        lenses.append(lens.squared(size).K)
        for number, transform, entry in zip(cameras.numbers.tolist(), cameras.transform, entries, strict=True):
            if number not in place or number not in world:
                continue
            relative[c, place[number]] = between(world[number], transform)
            time.append(place[number])
            camera.append(c)
            shown.append(_read(_inside(folder, entry, "file_path", file), size, lens))
            if "fg_mask_path" in entry:
                masked.append(_read(_inside(folder, entry, "fg_mask_path", file), size, None)[..., 0])
    if not shown:
        raise InputError("names no frame of the track", file=file, field="timestep_index", fix="Export both together")
    if masked and len(masked) != len(shown):
        raise InputError("has a matte for some pictures only", file=file, field="fg_mask_path", fix="Export it again")
    still = np.abs(relative - _middle(relative, time, camera)).max((1, 2, 3)) < 1e-4
    moves = relative if not still.all() else _middle(relative, time, camera)[:, 0]
    return (
        np.stack(shown),
        np.stack(masked) if masked else None,
        _rig(time, camera, moves, np.stack(lenses), tuple(listed)),
    )


def _middle(relative: np.ndarray, time: Sequence[int], camera: Sequence[int]) -> np.ndarray:
    """Each camera's pose in its first picture, for all frames; frames without a picture take it over."""
    known = np.full(len(relative), -1)
    for t, c in zip(time, camera, strict=True):
        known[c] = t if known[c] < 0 else known[c]
    middle = relative[np.arange(len(relative)), np.maximum(known, 0)][:, None]
    seen = np.zeros(relative.shape[:2], bool)
    seen[np.asarray(camera), np.asarray(time)] = True
    relative[~seen] = np.broadcast_to(middle, relative.shape)[~seen]
    return middle


def _plain(folder: Path, track: Track, size: int) -> Any:
    file = folder / CAMERAS
    listed = fields.member(transforms.read_json(file), "cameras", file)
    if not isinstance(listed, list) or not listed:
        raise InputError("lists no camera", file=file, field="cameras", fix=_FIX)
    names, lenses, world, shown, masked = [], [], [], [], []
    time: list[int] = []
    camera: list[int] = []
    for c, each in enumerate(listed):
        name, lens, transform = _camera(each, f"cameras[{c}]", file)
        if name in names:
            raise InputError("is listed twice", file=file, field=name, fix=_FIX)
        names.append(name)
        lenses.append(lens.squared(size).K)
        world.append(transform)
        own = _files(folder / "cameras" / name, len(track))
        shown += [_read(path, size, lens) for path in own]
        time += range(len(own))
        camera += [c] * len(own)
        if (folder / "masks").is_dir():
            masked += [_read(path, size, None)[..., 0] for path in _files(folder / "masks" / name, len(track))]
    relative = between(np.stack([world[0]] * len(world)), np.stack(world))
    return (
        np.stack(shown),
        np.stack(masked) if masked else None,
        _rig(time, camera, relative, np.stack(lenses), tuple(names)),
    )


def _rig(time: Any, camera: Any, relative: np.ndarray, lens: np.ndarray, names: tuple[str, ...]) -> Rig:
    return Rig(
        np.asarray(time, np.int32),
        np.asarray(camera, np.int32),
        relative.astype(np.float32),
        lens.astype(np.float32),
        names=names,
    )


def _camera(each: object, where: str, file: Path) -> tuple[str, Intrinsics, Float[np.ndarray, "3 4"]]:
    if not isinstance(each, Mapping):
        raise InputError("is no camera", file=file, field=where, fix=_FIX)
    name = each.get("name")
    if not isinstance(name, str) or Path(name).name != name or name in ("", ".", ".."):
        raise InputError("is no plain name", file=file, field=f"{where}.name", fix=_FIX)
    values = {}
    for field, shapes in (("K", [(3, 3)]), ("world_to_camera", [(3, 4), (4, 4)])):
        try:
            values[field] = np.asarray(each.get(field), np.float64)
        except (TypeError, ValueError) as error:
            raise InputError("holds no numbers", file=file, field=f"{where}.{field}", fix=_FIX) from error
        if values[field].shape not in shapes or not np.isfinite(values[field]).all():
            raise InputError("has a wrong shape", file=file, field=f"{where}.{field}", fix=_FIX)
    extent = [each.get("width"), each.get("height")]
    if not all(type(x) is int and 1 <= x <= 1 << 16 for x in extent):
        raise InputError(f"are {extent}", file=file, field=f"{where}.width, height", fix=_FIX)
    turn, shift = values["world_to_camera"][:3, :3], values["world_to_camera"][:3, 3]
    if np.abs(turn @ turn.T - np.eye(3)).max() > 1e-2 or np.linalg.det(turn) < 0:
        raise InputError("holds no rotation", file=file, field=f"{where}.world_to_camera", fix=_FIX)
    flip = np.diag([-1.0, -1.0, 1.0])  # a track's camera has x left and y up
    transform = np.concatenate([(flip @ turn).T, (UNITS_PER_METRE * flip @ shift)[:, None]], 1)
    return name, Intrinsics(values["K"].astype(np.float32), int(extent[0]), int(extent[1])), transform  # type: ignore[arg-type]


def _files(folder: Path, count: int) -> list[Path]:
    if folders.inner(folder.parent, folder.name) is None:
        raise InputError("does not exist", file=folder, fix=_FIX)
    found = folders.files(folder, suffixes.is_image)
    if len(found) != count:
        raise InputError(f"holds {len(found)} pictures for a track of {count} frames", file=folder, fix="One a frame")
    return found


def _inside(folder: Path, entry: Mapping[str, Any], field: str, file: Path) -> Path:
    """The file that an entry names, which must lie in the folder and be no link."""
    name = entry.get(field)
    if not isinstance(name, str) or not name:
        raise InputError("names no picture", file=file, field=field, fix="Export the pictures with the cameras")
    parts = Path(name.replace("\\", "/")).parts
    if Path(name).is_absolute() or ".." in parts:
        raise InputError(f"lies outside the folder: {name[:60]!r}", file=file, field=field, fix="Export it again")
    place = folder
    for part in parts[:-1]:
        inner = folders.inner(place, part)
        if inner is None:
            raise InputError("does not exist", file=place / part, fix="Export the pictures with the cameras")
        place = inner
    return folders.regular(place / parts[-1])


def _read(path: Path, size: int, lens: Intrinsics | None) -> UInt8[np.ndarray, "S S 3"]:
    """A picture, padded to a square as `Intrinsics.squared` says; the border is continued."""
    from PIL import Image

    from gagjax.io import images

    picture = images.read(path)
    height, width = picture.shape[:2]
    if lens is not None and (width, height) != (lens.width, lens.height):
        raise InputError(
            f"is {width} x {height} pixels, its camera {lens.width} x {lens.height}", file=path, fix="Export it again"
        )
    longest = max(height, width)
    down, across = longest - height, longest - width
    picture = np.pad(picture, ((down // 2, down - down // 2), (across // 2, across - across // 2), (0, 0)), "edge")
    if longest == size:
        return picture
    kind = Image.Resampling.BOX if longest > size else Image.Resampling.BILINEAR
    return np.asarray(Image.fromarray(picture).resize((size, size), kind))
