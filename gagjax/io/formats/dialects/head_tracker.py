"""flame-head-tracker's frames, `0.npz` and so on (before version 3.4 `.npy` of a dict), which Gaussian Deja-vu trains on.

From version 3.4: `exp` (1, 100), `shape` (1, 300), `head_pose` (1, 3), `jaw_pose` (1, 3), `eye_pose` (1, 6: left, right), axis-angle in
radians; `cam` (1, 6): the camera's rotation as axis-angle and its place, camera to world, OpenGL axes (x right, y up, looking
along -z), metres; `K` (1, 3, 3) in pixels of a square picture with its centre in the middle. A frame in which no face was found
has no file. Before: `pose` (1, 6: head, jaw) and `cam` in Euler angles of that version, which is left aside.

Source: PeizhiYan/flame-head-tracker, README of versions 2.2, 3.3 and 4.1 and the fields that it saves.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from gagjax.camera import UNITS_PER_METRE, Intrinsics
from gagjax.errors import InputError
from gagjax.io.formats import vhap
from gagjax.io.formats.dialects import common
from gagjax.track import EXPRESSIONS, SHAPES, Track

NAME, OLD = "head-tracker", "head-tracker-old"
FIELDS = ("exp", "shape", "head_pose", "jaw_pose", "pose", "eye_pose", "cam", "K", "fov")


def matches(content: object) -> bool:
    """Whether an archive's content, or a dict of such contents by name, looks like this format."""
    found = common.records_in(content, ("eye_pose",))
    return bool(found) and "exp" in found[0] and ("jaw_pose" in found[0] or "pose" in found[0])


def read(content: object, file: Path) -> Track:
    """The frames as a track; with the camera from version 3.4 on, else in front of a frontal one.

    Raises:
        InputError: If a field is missing or has a wrong shape.
    """
    found = common.ordered(content, ("eye_pose",), file)

    def get(name: str, width: int, *, exact: bool = True) -> Any:
        return common.column(found.records, (name,), width, file, exact=exact)

    expression = common.needed(get("exp", EXPRESSIONS, exact=False), "exp", file)
    pose = get("pose", 6)
    head = get("head_pose", 3) if pose is None else pose[:, :3]
    jaw = common.needed(get("jaw_pose", 3) if pose is None else pose[:, 3:], "jaw_pose", file)
    eyes, shape = common.needed(get("eye_pose", 6), "eye_pose", file), get("shape", SHAPES, exact=False)
    camera, k = get("cam", 6), get("K", 9)
    common.same_length(file, exp=expression, jaw_pose=jaw, eye_pose=eyes, head_pose=head)
    lens = None
    known = k is not None and camera is not None and pose is None
    if known:
        common.same_length(file, exp=expression, cam=camera, K=k)
        lens = _lens(k.reshape(-1, 3, 3), file)
        turned = common.matrices(camera[:, :3]).astype(np.float64) @ np.diag([-1.0, 1.0, -1.0])
        placed = -UNITS_PER_METRE * np.einsum("ta,tab->tb", camera[:, 3:], turned)
        transform = np.concatenate([turned, placed[:, :, None]], 2).astype(np.float32)
    else:
        transform = vhap.frontal(np.zeros((len(expression), 3), np.float32))
    moves = head is not None and np.any(head)
    track = Track(
        expression,
        jaw,
        eyes,
        transform,
        shape=None if shape is None else shape[0] if (shape == shape[0]).all() else shape,
        extra={"rotation": common.matrices(head)} if moves else {},
        rotations=("rotation",) if moves else (),
        intrinsics=lens,
    )
    read_fields = FIELDS if known else tuple(name for name in FIELDS if name != "cam")
    return common.finished(track, found, file, NAME if known else OLD, read_fields)


def _lens(k: np.ndarray, file: Path) -> Intrinsics:
    width, height = 2 * k[0, 0, 2], 2 * k[0, 1, 2]
    good = (
        np.isfinite(k).all() and 1 <= width <= 1 << 16 and 1 <= height <= 1 << 16 and (k[:, [0, 1], [0, 1]] > 0).all()
    )
    if not good:
        raise InputError("is no lens of a picture with its centre in the middle", file=file, field="K")
    return Intrinsics(k if np.ptp(k, axis=0).any() else k[0], round(float(width)), round(float(height)))
