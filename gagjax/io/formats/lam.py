"""LAM's `flame_params.json`: VHAP's parameters of a clip as nested lists, with `transforms.json` beside it.

`rotation`, `translation`, `neck_pose`, `jaw_pose` (T, 3) and `eyes_pose` (T, 6) as in VHAP; `expr` is a list of dicts
`{"expr0": number, ...}` or of lists; `shape` is one list. LAM's exporter drops the first frame's expression, so `expr`
may be one shorter: entry i then belongs to frame i + 1, and the first is repeated.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from gagjax.errors import InputError
from gagjax.io.formats import fields, vhap
from gagjax.io.formats.origin import Origin
from gagjax.track import Track

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
