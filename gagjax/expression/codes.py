"""Tracks from DECA and EMOCA code dictionaries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from gagjax.camera import FOCAL, UNITS_PER_METRE
from gagjax.conventions import rotations
from gagjax.errors import InputError
from gagjax.track import EXPRESSIONS, SHAPES, Track, as_rate
from gagjax.typing import FrameRate

if TYPE_CHECKING:
    from gagjax.flame.model import FlameModel

# DECA's names, then EMOCA's.
_NAMES = {"shape": ("shape", "shapecode"), "exp": ("exp", "expcode"), "pose": ("pose", "posecode"), "cam": ("cam",)}


def track_from_codes(
    codes: Mapping[str, Any] | Sequence[Mapping[str, Any]], *, fps: FrameRate = 25, model: FlameModel | None = None
) -> Track:
    """Convert DECA or EMOCA code dictionaries to a track.

    The orthographic camera (scale and shift of the face crop) becomes GAGAvatar's perspective camera at the distance
    that gives the same face size; the global rotation is folded into the camera, per the track convention. Neither
    method estimates eyes: they are zero.

    Args:
        codes: One dictionary with arrays over time, (T, n), or one per frame, (n,) or (1, n). Keys: "shape", "exp",
            "pose" (global rotation then jaw) and "cam" (scale, x, y), or EMOCA's "shapecode", "expcode", "posecode".
        fps: Frames per second.
        model: The head model. If given, the rotation is about its root joint, as in DECA; otherwise about the origin.

    Raises:
        InputError: If a code is missing or has the wrong size.
    """
    frames = [codes] if isinstance(codes, Mapping) else list(codes)
    if not frames:
        raise InputError("has no frames", field="codes")
    found = {name: np.concatenate([_read(frame, name) for frame in frames]) for name in _NAMES}
    shape, expression, pose, camera = (found[name] for name in _NAMES)
    if len({len(value) for value in found.values()}) != 1:
        raise InputError("the codes are not all of one length", field="codes")
    if pose.shape[1] != 6 or camera.shape[1] != 3:
        raise InputError(f"have sizes {pose.shape[1]} and {camera.shape[1]}, expected 6 and 3", field="pose, cam")
    if (camera[:, 0] <= 0).any():
        raise InputError("has a scale that is not positive", field="cam")
    turn = rotations.matrices(pose[:, :3])
    # A half turn about y maps FLAME's axes (x to the subject's left, z to the front) to those of a camera facing the
    # head (x left, z forward); for row vectors the rotation is transposed.
    flip = np.diag([-1.0, 1.0, -1.0])
    rotation = turn.transpose(0, 2, 1) @ flip
    pivot = np.zeros(3)
    if model is not None:
        from gagjax.flame.model import joints

        zero = np.zeros(6, np.float32)
        own = np.median(shape, axis=0)[: model.shapes]
        pivot = np.asarray(joints(model, own, np.zeros(EXPRESSIONS), zero, zero), np.float64)[0]
    shift = (pivot - turn @ pivot) + np.stack([camera[:, 1], camera[:, 2], 0 * camera[:, 0]], -1)
    translation = UNITS_PER_METRE * shift @ flip
    translation[:, 2] += FOCAL * UNITS_PER_METRE / camera[:, 0]
    transform = np.concatenate([rotation, translation[..., None]], -1)
    return Track(
        expression=_padded(expression, EXPRESSIONS, "exp"),
        jaw=pose[:, 3:].astype(np.float32),
        eyes=np.zeros((len(pose), 6), np.float32),
        transform=transform.astype(np.float32),
        shape=_padded(shape, SHAPES, "shape"),
        fps=as_rate(fps),
        source="deca",
    )


def _read(frame: Mapping[str, Any], name: str) -> np.ndarray:
    for key in _NAMES[name]:
        if key in frame:
            value = np.asarray(frame[key], np.float64)
            if value.ndim not in (1, 2):
                raise InputError(f"has shape {value.shape}, expected (T, n)", field=key)
            return value.reshape(-1, value.shape[-1])
    raise InputError(
        "is missing",
        field=name,
        fix=f"DECA and EMOCA dictionaries hold {' or '.join(_NAMES[name])}; this has {sorted(frame)}",
    )


def _padded(values: np.ndarray, columns: int, name: str) -> np.ndarray:
    if values.shape[1] > columns:
        raise InputError(f"has {values.shape[1]} columns, more than {columns}", field=name)
    return np.pad(values, ((0, 0), (0, columns - values.shape[1]))).astype(np.float32)
