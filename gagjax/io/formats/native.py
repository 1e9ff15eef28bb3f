"""Our own `.npz`: the arrays of a track and one JSON text of metadata, no pickle.

Arrays: `expression`, `jaw`, `eyes`, `transform`, `valid`, where present `shape`, `neck` and `camera` (the intrinsics in
pixels, for a picture of the metadata's `picture`), and `extra.<name>`. Version 2 keeps the head's pose apart from the camera
(`gagjax.head_pose`); in version 1 a VHAP head's rotation was in both. A track without either is still written as version 1.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import numpy as np

from gagjax import __version__
from gagjax.camera import Intrinsics
from gagjax.errors import InputError
from gagjax.head_pose import has_pose
from gagjax.io.formats import fields, vhap
from gagjax.track import Track, as_rate

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
_EXTRA = "extra."


def is_native(content: Any) -> bool:
    """Whether an archive's content looks like this format."""
    return isinstance(content, Mapping) and "metadata" in content and "expression" in content


def read(content: Mapping[str, np.ndarray], file: Path) -> Track:
    """The track of an archive.

    Raises:
        InputError: If a field is missing or has a wrong shape, or a newer version wrote it.
    """
    data = _metadata(content, file)
    get = lambda name: fields.member(content, name, file)  # noqa: E731
    extra = {unquote(name.removeprefix(_EXTRA)): v for name, v in content.items() if name.startswith(_EXTRA)}
    names, rotations = data.get("names"), data.get("rotations", [])
    for field, value in (("names", names or []), ("rotations", rotations)):
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise InputError("is not a list of texts", file=file, field=f"metadata.{field}")
    try:
        track = Track(
            get("expression"),
            get("jaw"),
            get("eyes"),
            get("transform"),
            shape=content.get("shape"),
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
        return dataclasses.replace(track, transform=camera)
    return track


def write(track: Track, path: Path) -> None:
    """The whole track, every field of it."""
    metadata = {
        "format": FORMAT,
        "version": VERSION if track.intrinsics is not None or has_pose(track.extra) else 1,
        "writer": f"gagjax {__version__}",
        "fps": str(track.fps),
        "source": track.source,
        "names": None if track.names is None else list(track.names),
        "rotations": list(track.rotations),
        "units": UNITS,
    }
    lens = track.intrinsics
    if lens is not None:
        metadata["picture"] = [lens.width, lens.height]
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
    with path.open("wb") as file:
        np.savez(
            file,
            metadata=np.array(json.dumps(metadata)),
            **{name: np.asarray(value) for name, value in arrays.items() if value is not None},
        )


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
