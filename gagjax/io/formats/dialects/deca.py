"""Codes of DECA, EMOCA, INFERNO and SMIRK: FLAME coefficients of face crops, with a weak-perspective camera.

A dict with rows over time (`.npz`, `.pkl`, `.mat`, or `.npy` of a dict), a list or a dict of frames, or a folder with one folder
a frame, in which each code is a `.npy` (EMOCA's demos). Names:

| | DECA | EMOCA | INFERNO | SMIRK |
|---|---|---|---|---|
| shape | `shape` | `shapecode` | `shapecode` | `shape_params` |
| expression, 50 | `exp` | `expcode` | `expcode` | `expression_params` |
| global rotation and jaw | `pose` (6) | `posecode` (6) | `globalpose`, `jawpose` | `pose_params` (3), `jaw_params` |
| camera of the crop | `cam` | `cam` | `cam` | `cam` |
| lids, 1 closed | | | | `eyelid_params` (2: left, right) |

Angles are axis-angle in radians. `cam` is scale and shift of an orthographic camera on the crop of 224 pixels, in half crops.
A crop follows the face, so the face's place in the film is not in such files. None of them estimates eyes.

Source: README and demos of yfeng95/DECA, radekd91/emoca, radekd91/inferno, georgeretsi/smirk.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from gagjax.camera import DISTANCE, FOCAL, UNITS_PER_METRE
from gagjax.errors import InputError
from gagjax.expression.arkit.channels import EYELIDS
from gagjax.expression.codes import track_from_codes
from gagjax.io.formats.dialects import common
from gagjax.track import EXPRESSIONS, SHAPES, Track

NAME, SMIRK = "deca", "smirk"
_EXPRESSION = ("exp", "expcode", "expression_params")
_SHAPE = ("shape", "shapecode", "shape_params")
_POSE, _GLOBAL, _JAW = ("pose", "posecode"), ("globalpose", "global_pose", "pose_params"), ("jawpose", "jaw_params")
_LIDS, _CAMERA = ("eyelid_params", "eyelid", "eyelids"), ("cam",)
KNOWN = {*_EXPRESSION, *_SHAPE, *_POSE, *_GLOBAL, *_JAW, *_LIDS, *_CAMERA}
_NOT = {"transform_matrix", "eyecode", "eye_pose", "head_pose", "flame", "motion"}
#: Files that a folder holds for each frame.
FILES = ("exp.npy", "expcode.npy", "expression_params.npy")
#: Rows of a bare array, which does not say what it is: by format, the widths of its parts.
BARE: dict[str, dict[int, tuple[str, ...]]] = {
    NAME: {56: ("exp", "pose"), 59: ("exp", "pose", "cam")},
    SMIRK: {55: ("expression_params", "jaw_params", "eyelid_params")},
}
_WIDTHS = {"exp": 50, "pose": 6, "cam": 3, "expression_params": 50, "jaw_params": 3, "eyelid_params": 2}


def matches(content: object) -> str | None:
    """Which of the two formats a content is of; None for another."""
    found = common.records_in(content, _EXPRESSION)
    if not found or _NOT & set(found[0]):
        return None
    if not any(name in found[0] for name in (*_POSE, *_GLOBAL, *_JAW)):
        return None
    smirk = any(name in found[0] for name in ("expression_params", *_LIDS))
    return SMIRK if smirk else NAME


def of_bare(content: np.ndarray, file: Path, format: str) -> dict[str, np.ndarray]:
    """The codes in the columns of a bare array.

    Args:
        content: (T, n).
        file: For messages.
        format: "deca": expression (50), pose (6) and maybe cam (3); "smirk": expression (50), jaw (3), lids (2).

    Raises:
        InputError: If it has another number of columns.
    """
    parts = BARE[format].get(content.shape[-1]) if content.ndim == 2 else None
    if parts is None:
        wide = " or ".join(str(width) for width in BARE[format])
        raise InputError(f"has shape {content.shape}, expected (T, {wide}) of {format}", file=file)
    edges = np.cumsum([_WIDTHS[name] for name in parts])[:-1]
    return dict(zip(parts, np.split(content, edges, axis=1), strict=True))


def read(content: object, file: Path, format: str) -> Track:
    """The codes as a track: the head at rest, its rotation and place in the camera, as GAGAvatar has them.

    Args:
        content: The codes.
        file: For messages.
        format: "deca" or "smirk".

    Returns:
        The track; lids in `extra` as `eyelids`.

    Raises:
        InputError: If the expression is missing, a field has a wrong width, or fields differ in length.
    """
    found = common.ordered(content, _EXPRESSION, file)

    def get(names: tuple[str, ...], width: int, *, exact: bool = True) -> Any:
        return common.column(found.records, names, width, file, exact=exact)

    expression = common.needed(get(_EXPRESSION, EXPRESSIONS, exact=False), "exp", file)
    count = len(expression)
    pose = get(_POSE, 6)
    if pose is None:
        turned, jaw = get(_GLOBAL, 3), get(_JAW, 3)
        pose = np.concatenate([np.zeros((count, 3)) if each is None else each for each in (turned, jaw)], 1)
    camera, lids, shape = get(_CAMERA, 3), get(_LIDS, 2), get(_SHAPE, SHAPES, exact=False)
    common.same_length(file, exp=expression, pose=pose, cam=camera, eyelids=lids)
    if shape is None:
        shape = np.zeros((1, SHAPES), np.float32)
    elif len(shape) not in (1, count):
        raise InputError(f"has {len(shape)} frames, exp has {count}", file=file, field="shape")
    known = camera is not None
    if not known:
        camera = np.tile(np.asarray([FOCAL * UNITS_PER_METRE / DISTANCE, 0, 0], np.float32), (count, 1))
    broken = ~(np.isfinite(camera).all(1) & np.isfinite(pose).all(1))
    steady = np.where(broken[:, None], np.asarray([6.45, 0, 0], np.float32), camera)
    codes = {
        "shape": np.broadcast_to(shape, (count, SHAPES)),
        "exp": expression,
        "pose": np.where(broken[:, None], np.float32(0), pose),
        "cam": steady,
    }
    try:
        track = track_from_codes(codes)
    except InputError as error:
        raise InputError(error.problem, file=file, field=error.field, fix="Track the film again") from error
    transform = np.array(track.transform)
    transform[broken] = np.nan  # is looked for later, and named
    person = np.asarray(track.shape)
    track = dataclasses.replace(
        track,
        transform=transform,
        jaw=pose[:, 3:].astype(np.float32),
        shape=person[0] if (person == person[0]).all() else person,
        extra={} if lids is None else {EYELIDS: lids},
    )
    return common.finished(track, found, file, format if known else f"{format}-without-camera", KNOWN)
