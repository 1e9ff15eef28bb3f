"""gagjax's own `.npz`: the arrays of a track and JSON metadata, no pickle.

Arrays: `expression`, `jaw`, `eyes`, `transform`, `valid`, optionally `shape`, `neck` and `camera` (intrinsics in pixels
for the image size in the metadata's `picture`), and `extra.<name>`. For a track read from another format, the file's
content is stored as `origin` and `origin.frames` (see `packing`), so that it can be written back to that format without
loss. Other arrays and metadata are preserved.

Version 2 separates the head's pose from the camera (`gagjax.conventions.head_pose`); in version 1 a VHAP head's
rotation was in both. A track with neither pose nor intrinsics is still written as version 1.
"""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import numpy as np

from gagjax import __version__
from gagjax.camera import Intrinsics
from gagjax.conventions.head_pose import has_pose
from gagjax.errors import InputError
from gagjax.io.formats import fields, gagavatar, packing, vhap
from gagjax.io.formats.arkit import weight_lists
from gagjax.io.formats.dialects import artalk
from gagjax.io.formats.origin import Origin, merged
from gagjax.track import EXPRESSIONS, SHAPES, Track, as_rate

FORMAT, VERSION = "gagjax-track", 2
UNITS = {
    "expression": "FLAME coefficients",
    "jaw": "axis-angle, radians",
    "eyes": "axis-angle, radians, left then right",
    "neck": "axis-angle, radians",
    "transform": "[R | t], X_camera = X_world @ R + t, x left, y up, z forward, FLAME metres times 5",
    "shape": "FLAME coefficients",
    "fps": "frames per second, a ratio",
}
_EXTRA, _ORIGIN, _ORIGIN_FRAMES = "extra.", "origin", "origin.frames"
#: The number of frames of an origin, by format; raises for content of another format.
FRAMES_OF: dict[str, Callable[[Any], int]] = {
    "gagavatar": lambda content: len(gagavatar.frame_keys(content)),
    "liveportrait": lambda content: len(content["motion"]),
    "vhap": vhap.frame_count,
    "lam": lambda content: len(content["rotation"]),
    "artalk": lambda content: len(np.asarray(content).reshape(-1, artalk.COLUMNS)),
    "livelink": lambda content: len(content["rows"]),
    **{kind: functools.partial(weight_lists.frame_count, kind=kind) for kind in weight_lists.KINDS},
}


def _unread_count(content: Mapping[str, Any]) -> int:
    """How many frames an origin has of which only the names of unread fields are kept."""
    count = content["frames"]
    if type(count) is not int:
        raise ValueError("no number of frames")
    return count


def is_native(content: object) -> bool:
    """Whether an archive's content looks like this format."""
    return isinstance(content, Mapping) and "metadata" in content and "expression" in content


def read(content: Mapping[str, np.ndarray], file: Path) -> Track:
    """The track of an archive.

    Raises:
        InputError: If a field is missing or has a wrong shape, or it was written by a newer version.
    """
    data = _metadata(content, file)
    get = lambda name: fields.member(content, name, file)  # noqa: E731
    extra = {unquote(name.removeprefix(_EXTRA)): v for name, v in content.items() if name.startswith(_EXTRA)}
    names, rotations = data.get("names"), data.get("rotations", [])
    for field, value in (("names", names or []), ("rotations", rotations)):
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise InputError("is not a list of texts", file=file, field=f"metadata.{field}")
    expression, shape = get("expression"), content.get("shape")
    if np.ndim(expression) == 2:
        expression = _wide(expression, EXPRESSIONS, file, "expression")
    if shape is not None and np.ndim(shape) in (1, 2):
        shape = _wide(shape, SHAPES, file, "shape")
    try:
        track = Track(
            expression,
            get("jaw"),
            get("eyes"),
            get("transform"),
            shape=shape,
            neck=content.get("neck"),
            extra=extra,
            valid=content.get("valid"),
            fps=as_rate(str(data.get("fps", "25"))),
            names=None if names is None else tuple(names),
            rotations=tuple(rotations),
            source=str(data.get("source", "")) or "gagjax",
            intrinsics=_intrinsics(content, data, file),
        )
    except InputError as error:
        raise InputError(error.problem, file=file, field=error.field, fix=error.fix) from error
    if data["version"] == 1 and track.source.startswith("vhap") and "rotation" in track.extra:
        camera = vhap.frontal(np.asarray(track.extra.get("translation", np.zeros((len(track), 3))), np.float32))
        track = dataclasses.replace(track, transform=camera)
    before = _foreign(content, data, len(track), file)
    origin = Origin("gagjax", {"arrays": content, "metadata": data}, np.arange(len(track)), before)
    return dataclasses.replace(track, origin=origin)


def _wide(value: np.ndarray, columns: int, file: Path, field: str) -> np.ndarray:
    """Coefficients padded to their full number; invalid values are left for the track to refuse."""
    if not 0 < value.shape[-1] < columns or value.dtype.kind not in "fiub":
        return value
    return fields.coefficients(value if value.ndim == 2 else value[None], columns, file, field).reshape(
        *value.shape[:-1], columns
    )


def write(track: Track, path: Path) -> None:
    """Write all fields of the track, and further content of its source file."""
    origin = track.origin
    own = origin if origin is not None and origin.format == "gagjax" else None
    foreign = origin if own is None else own.before
    lens = track.intrinsics
    arrays = {
        "expression": track.expression,
        "jaw": track.jaw,
        "eyes": track.eyes,
        "transform": track.transform,
        "valid": track.valid,
        "shape": track.shape,
        "neck": track.neck,
        "camera": None if lens is None else lens.K,
        **{_EXTRA + quote(name, safe=""): value for name, value in track.extra.items()},
    }
    made: dict[str, Any] = {name: np.asarray(value) for name, value in arrays.items() if value is not None}
    metadata = {
        "format": FORMAT,
        "version": VERSION if lens is not None or has_pose(track.extra) else 1,
        "writer": f"gagjax {__version__}",
        "fps": str(track.fps),
        "source": track.source,
        "names": None if track.names is None else list(track.names),
        "rotations": list(track.rotations),
        "units": UNITS,
    }
    if own is not None:
        made = _unknown(own) | {name: _kept(own, name, value) for name, value in made.items()}
        metadata = {**own.content["metadata"], **metadata}
    metadata.pop("origin", None)
    metadata.pop("picture", None)
    if lens is not None:
        metadata["picture"] = [lens.width, lens.height]
    if foreign is not None:
        text, data = packing.packed(foreign.content)
        metadata["origin"] = {"format": foreign.format, "content": text}
        made |= {_ORIGIN: data, _ORIGIN_FRAMES: np.asarray(foreign.frames, np.int64)}
    with path.open("wb") as file:
        np.savez(file, metadata=np.array(json.dumps(metadata)), **made)


def _unknown(own: Origin) -> dict[str, np.ndarray]:
    """Unknown arrays; of those with one row per frame, the rows of the remaining frames."""
    arrays = own.content["arrays"]
    frames = len(arrays["expression"])
    whole = np.array_equal(own.frames, np.arange(frames))
    known = {*UNITS, "valid", "camera", "metadata", _ORIGIN, _ORIGIN_FRAMES}
    return {
        name: value if whole or not value.ndim or len(value) != frames or (own.frames < 0).any() else value[own.frames]
        for name, value in arrays.items()
        if name not in known and not name.startswith(_EXTRA)
    }


def _kept(own: Origin, name: str, value: np.ndarray) -> np.ndarray:
    """An array in its file's dtype, with unmodified numbers taken from the file."""
    held = own.content["arrays"].get(name)
    per_frame = value.ndim == {"shape": 2, "camera": 3}.get(name, value.ndim)
    if held is None or held.dtype.kind not in "fb" or held.dtype == value.dtype or (own.frames < 0).any():
        return value
    held = held[own.frames] if per_frame and len(held) > own.frames.max() else held
    if held.shape[:-1] != value.shape[:-1] or held.shape[-1] > value.shape[-1]:
        return value
    with np.errstate(over="ignore"):
        read = np.zeros(value.shape, np.float32)
        read[..., : held.shape[-1]] = held
    return merged(held, read, value)


def _foreign(content: Mapping[str, np.ndarray], data: Mapping[str, Any], frames: int, file: Path) -> Origin | None:
    """The stored origin of the written track; None if there is none."""
    said = data.get("origin")
    if said is None and _ORIGIN not in content:
        return None
    index = content.get(_ORIGIN_FRAMES)
    if not isinstance(said, Mapping) or index is None or index.shape != (frames,) or index.dtype.kind != "i":
        raise InputError("does not fit the track", file=file, field="origin", fix="Write the file again")
    try:
        inner = packing.unpacked(said["content"], content[_ORIGIN])
        count = FRAMES_OF.get(said["format"], _unread_count)(inner)
        if (index < -1).any() or (index >= count).any():
            raise ValueError("frames outside")
    except (LookupError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise InputError("does not fit the track", file=file, field="origin", fix="Write the file again") from error
    return Origin(said["format"], inner, index)


def _intrinsics(content: Mapping[str, np.ndarray], data: Mapping[str, Any], file: Path) -> Intrinsics | None:
    if "camera" not in content:
        return None
    size = data.get("picture")
    if not isinstance(size, list) or len(size) != 2 or not all(type(n) is int for n in size):
        raise InputError("is no width and height", file=file, field="metadata.picture", fix="Convert the track again")
    return Intrinsics(np.asarray(content["camera"], np.float32), *size)


def _metadata(content: Mapping[str, np.ndarray], file: Path) -> dict[str, Any]:
    text = content["metadata"]
    try:
        data = json.loads(str(text[()]))
    except (ValueError, RecursionError) as error:
        raise InputError("is no JSON text", file=file, field="metadata") from error
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise InputError(f"does not say {FORMAT!r}", file=file, field="metadata.format")
    version = data.get("version")
    if not isinstance(version, int) or version > VERSION:
        raise InputError(
            f"is {version!r}; this gagjax reads up to {VERSION}",
            file=file,
            field="metadata.version",
            fix="Install a newer gagjax",
        )
    return data
