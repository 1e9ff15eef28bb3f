"""LAM's `flame_params.json`: VHAP's parameters of a clip as nested lists, with `transforms.json` beside it.

`rotation`, `translation`, `neck_pose`, `jaw_pose` (T, 3) and `eyes_pose` (T, 6) as in VHAP; `expr` is a list of dicts
`{"expr0": number, ...}` or of lists; `shape` is one list. LAM's exporter drops the first frame's expression, so `expr`
may be one shorter: entry i then belongs to frame i + 1, and the first is repeated.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from gagjax.errors import InputError
from gagjax.io.formats import fields, vhap
from gagjax.io.formats.origin import Origin, merged, of
from gagjax.track import EXPRESSIONS, Track

NAME = "flame_params.json"
_COEFFICIENT = re.compile(r"expr(\d{1,3})")


def is_parameters(content: object) -> bool:
    """Whether a JSON file's content looks like this format."""
    return isinstance(content, Mapping) and "expr" in content and "rotation" in content and "jaw_pose" in content


def read(content: Mapping[str, Any], file: Path, fps: Fraction = Fraction(25)) -> Track:
    """The parameters as a track, with the cameras of `transforms.json` if it is beside the file.

    Args:
        content: The file's content.
        file: The file.
        fps: Frame rate; the format does not store it.

    Returns:
        The track; see `gagjax.io.formats.vhap.read`.

    Raises:
        InputError: If a field is missing, has a wrong shape, or differs in length from the others.
    """
    rotation = fields.sequence(fields.member(content, "rotation", file), (3,), file, "rotation")
    expression = _expression(fields.member(content, "expr", file), len(rotation), file)
    arrays = {name: np.asarray(value) for name, value in content.items() if name != "expr" and _is_numbers(value)}
    track = vhap.read(arrays | {"expr": expression}, file, fps, source="lam")
    assert track.origin is not None
    return dataclasses.replace(track, origin=Origin("lam", content, track.origin.frames))


def write(track: Track, path: Path, *, camera: bool = False) -> None:
    """The motion of a track as a file of this format; one that it came from changes only where the track does.

    Args:
        track: The track; lost frames are written like the others, the format cannot mark them.
        path: The file to write.
        camera: The camera is written beside it. Otherwise a head at rest takes the camera's turns over.
    """
    new = vhap.parameters_of(track, camera=camera)
    origin = of(track, "lam")
    if origin is None or (origin.frames < 0).any():
        made: dict[str, Any] = {
            name: (vhap.vectors(value) if name == "rotation" else value).tolist() for name, value in new.items()
        }
        made["expr"] = [{f"expr{k}": value for k, value in enumerate(row)} for row in new["expr"].tolist()]
    else:
        made = _changed(origin.content, origin.frames, new, path)
    path.write_text(json.dumps(made), encoding="utf-8")


def _changed(
    content: Mapping[str, Any], frames: np.ndarray, new: Mapping[str, np.ndarray], path: Path
) -> dict[str, Any]:
    """The content with the numbers that changed put in, and only the frames that are left."""
    count = len(content["rotation"])
    read_expression = _padded(_expression(content["expr"], count, path))
    made: dict[str, Any] = {}
    for name, value in content.items():
        if name == "expr":
            made[name] = _changed_expression(value, count, frames, read_expression, new["expr"])
        elif name == "shape":
            held = np.asarray(value, np.float64)
            person = np.float32(held).reshape(-1)
            made[name] = merged(value, np.pad(person, (0, len(new["shape"]) - len(person))), new["shape"])
        elif name in new:
            held = np.asarray(value, np.float64)[frames]
            was = held.astype(np.float32)
            changed = vhap.turned_back(held, was, new[name]) if name == "rotation" else merged(held, was, new[name])
            made[name] = np.asarray(changed).tolist()
        else:
            made[name] = value
    return made | {
        name: value.tolist()
        for name, value in new.items()
        if name not in content and name != "rotation" and value.any()
    }


def _changed_expression(
    value: list[Any], count: int, frames: np.ndarray, was: np.ndarray, new: Float[np.ndarray, "T 100"]
) -> list[Any]:
    """The rows of the expression, in the form that the file has: dicts or lists, one short or not."""
    first = count - len(value)  # row i belongs to frame i + first
    made = []
    for i, frame in enumerate(frames):
        if frame < first:
            continue
        entry = value[frame - first]
        if not np.array_equal(was[frame], new[i], equal_nan=True):
            width = len(entry)
            numbers = [float(each) for each in (new[i] if new[i][width:].any() else new[i][:width])]
            old = [entry[f"expr{k}"] for k in range(width)] if isinstance(entry, Mapping) else list(entry)
            kept = [
                a if k < width and np.float32(a) == b else b
                for k, (a, b) in enumerate(zip([*old, *numbers[width:]], numbers, strict=True))
            ]
            entry = {f"expr{k}": each for k, each in enumerate(kept)} if isinstance(entry, Mapping) else kept
        made.append(entry)
    return made


def _padded(rows: Float[np.ndarray, "T K"]) -> Float[np.ndarray, "T 100"]:
    return np.pad(np.asarray(rows, np.float32), ((0, 0), (0, EXPRESSIONS - rows.shape[1])))


def _expression(value: object, frames: int, file: Path) -> Float[np.ndarray, "T K"]:
    if not isinstance(value, list) or not value:
        raise InputError("has no frames", file=file, field="expr", fix="Export it again")
    rows = [_row(entry, f"expr[{i}]", file) for i, entry in enumerate(value)]
    if len({len(row) for row in rows}) != 1:
        raise InputError("differs in length from frame to frame", file=file, field="expr", fix="Export it again")
    if len(rows) == frames - 1:
        rows = [rows[0], *rows]
    if len(rows) != frames:
        raise InputError(
            f"has {len(rows)} frames, rotation has {frames}", file=file, field="expr", fix="Export it again"
        )
    return np.stack(rows)


def _row(entry: object, place: str, file: Path) -> Float[np.ndarray, "K"]:
    if isinstance(entry, Mapping):
        found = {int(match[1]): value for name, value in entry.items() if (match := _COEFFICIENT.fullmatch(str(name)))}
        if sorted(found) != list(range(len(found))) or len(found) != len(entry):
            raise InputError("is not expr0, expr1 and so on", file=file, field=place, fix="Export it again")
        entry = [found[i] for i in range(len(found))]
    return fields.sequence(entry, (), file, place)


def _is_numbers(value: object) -> bool:
    try:
        return np.asarray(value).dtype.kind in "fiu"
    except ValueError:
        return False
