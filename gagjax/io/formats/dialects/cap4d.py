"""CAP4D's `fit.npz`: FLAME parameters of a clip and the calibration of its cameras.

`shape` (150), `expr` (T, 65), `rot` and `tra` (T, 3): `x_world = R x + tra` about the origin, `neck_rot` (T, 3) about the root
joint, `eye_rot` (T, 3) of both eyes, maybe `jaw_rot` (T, 3); axis-angle in radians, metres, y up. `fx`, `fy`, `cx`, `cy` (cameras, 1) in
pixels, `extr` (cameras, 4, 4): world to camera for column vectors where the world has OpenCV's axes (y and z of `x_world`
negated), `resolutions` (cameras, 2): height, width. Without `jaw_rot` the coefficients belong to FLAME 2023 "no jaw", whose
expressions move the jaw.

Source: felixtaubner/cap4d, README and the fields of its examples.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from gagjax.camera import Intrinsics
from gagjax.errors import InputError
from gagjax.io.formats.dialects import common
from gagjax.track import EXPRESSIONS, SHAPES, Track

NAME = "cap4d"
_NEEDED = ("expr", "rot", "tra", "extr")
_FLIP = np.diag([1.0, -1.0, -1.0])
_KNOWN = {*_NEEDED, "shape", "neck_rot", "eye_rot", "jaw_rot", "fx", "fy", "cx", "cy", "resolutions", "camera_order"}


def matches(content: object) -> bool:
    """Whether an archive's content looks like this format."""
    return isinstance(content, Mapping) and all(name in content for name in _NEEDED)


def read(content: Mapping[str, Any], file: Path) -> Track:
    """The parameters as a track. The head's base pose goes into the camera, exactly; the turn about its root stays in `extra`.

    Of several cameras the first is taken, with a warning.

    Raises:
        InputError: If a field is missing or has a wrong shape.
    """
    records = [content]

    def get(name: str, width: int, *, exact: bool = True) -> Any:
        return common.column(records, (name,), width, file, exact=exact)

    def needed(name: str, width: int) -> Any:
        return common.needed(get(name, width), name, file)

    expression = common.needed(get("expr", EXPRESSIONS, exact=False), "expr", file)
    turn, shift = needed("rot", 3), needed("tra", 3)
    neck, eyes, jaw = get("neck_rot", 3), get("eye_rot", 3), get("jaw_rot", 3)
    common.same_length(file, expr=expression, rot=turn, tra=shift, neck_rot=neck, eye_rot=eyes, jaw_rot=jaw)
    cameras = needed("extr", 16).reshape(-1, 4, 4).astype(np.float64)
    if len(cameras) > 1:
        warnings.warn(f"{file}: holds {len(cameras)} cameras; the first is used", stacklevel=3)
    outer = cameras[0, :3, :3] @ _FLIP
    rotation = outer @ common.matrices(turn).astype(np.float64)
    place = shift.astype(np.float64) @ outer.T + cameras[0, :3, 3]
    shape, none = get("shape", SHAPES, exact=False), np.zeros((len(expression), 3), np.float32)
    moves = neck is not None and np.any(neck)
    eyes = none if eyes is None else eyes
    track = Track(
        expression,
        none if jaw is None else jaw,
        np.concatenate([eyes, eyes], 1),
        common.camera_of(rotation, place),
        shape=None if shape is None else shape[0],
        extra={"rotation": common.matrices(neck)} if moves else {},
        rotations=("rotation",) if moves else (),
        intrinsics=_lens(content, file),
    )
    return common.finished(track, common.Records([content], None, None), file, NAME, _KNOWN)


def _lens(content: Mapping[str, Any], file: Path) -> Intrinsics:
    def first(name: str, width: int = 1) -> np.ndarray:
        return common.needed(common.column([content], (name,), width, file), name, file)[0]

    fx, fy, cx, cy = (float(first(name)[0]) for name in ("fx", "fy", "cx", "cy"))
    height, width = first("resolutions", 2)
    if (
        not all(np.isfinite([fx, fy, cx, cy]))
        or min(fx, fy) <= 0
        or not (min(height, width) >= 1 and max(height, width) <= 1 << 16)
    ):
        raise InputError("is no lens of a picture", file=file, field="fx, fy, resolutions", fix="Fit the clip again")
    return Intrinsics(np.asarray([[fx, 0, cx], [0, fy, cy], [0, 0, 1]], np.float32), int(width), int(height))
