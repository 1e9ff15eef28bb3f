"""Checkpoints of metrical-tracker, `.frame`: one torch file a frame, in a folder `checkpoint`; FlashAvatar and INSTA use them.

`flame`: `exp` (1, 100), `shape` (1, 300), `eyes` (1, 12: left, right) and `jaw` (1, 6) as rotations by the first two rows of their
matrix, `eyelids` (1, 2: left, right; 1 is closed). `opencv`: `R` (1, 3, 3), `t` (1, 3), `K` (1, 3, 3) of the camera, world to
camera for column vectors, x right, y down, z forward, metres and pixels. `img_size` (2): height, width. `frame_id`: the number. The
head is at rest; the camera moves. The rate is 25 unless the tracker was configured otherwise.

Source: Zielon/metrical-tracker, README and the layout that it saves.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from gagjax.camera import Intrinsics
from gagjax.errors import InputError
from gagjax.expression.arkit.channels import EYELIDS
from gagjax.io.formats.dialects import common
from gagjax.track import EXPRESSIONS, SHAPES, Track

NAME = "metrical"
SUFFIX = ".frame"
FOLDER = "checkpoint"


def matches(content: object) -> bool:
    """Whether a torch file's content, or a dict of such contents by name, looks like this format."""
    found = common.records_in(content, ("opencv",))
    return bool(found) and isinstance(found[0].get("flame"), Mapping)


def read(content: object, file: Path) -> Track:
    """The frames as a track with their camera.

    Raises:
        InputError: If a field is missing or has a wrong shape.
    """
    found = common.ordered(content, ("opencv",), file)
    flame = [common.needed(each.get("flame"), "flame", file) for each in found.records]
    camera = [common.needed(each.get("opencv"), "opencv", file) for each in found.records]

    def of(records: list[Any], name: str, width: int, *, exact: bool = True) -> np.ndarray:
        return common.needed(common.column(records, (name,), width, file, exact=exact), name, file)

    eyes, jaw = of(flame, "eyes", 12), of(flame, "jaw", 6)
    k, shape = of(camera, "K", 9).reshape(-1, 3, 3), of(flame, "shape", SHAPES, exact=False)
    lids = common.column(flame, ("eyelids",), 2, file)
    transform = common.camera_of(of(camera, "R", 9).reshape(-1, 3, 3), of(camera, "t", 3))
    sizes = of(list(found.records), "img_size", 2)
    size = sizes[0]
    if not (sizes == size).all() or not ((size >= 1) & (size <= 1 << 16)).all():
        raise InputError("is no picture's height and width, the same in all frames", file=file, field="img_size")
    track = Track(
        of(flame, "exp", EXPRESSIONS, exact=False),
        common.vectors_of_6d(jaw),
        np.concatenate([common.vectors_of_6d(eyes[:, :6]), common.vectors_of_6d(eyes[:, 6:])], 1),
        transform,
        shape=shape[0] if (shape == shape[0]).all() else shape,
        extra={} if lids is None else {EYELIDS: lids},
        intrinsics=Intrinsics(_plain(k if np.ptp(k, axis=0).any() else k[0], file), int(size[1]), int(size[0])),
    )
    known = {"flame", "opencv", "img_size", "frame_id", "global_step", "camera"}
    return common.finished(track, found, file, NAME, known)


def _plain(k: np.ndarray, file: Path) -> np.ndarray:
    k = np.abs(k)  # some versions of PyTorch3D write a negative focal length for a mirrored axis
    good = np.isfinite(k).all() and (k[..., [0, 1], [0, 1]] > 0).all()
    if not good:
        raise InputError("holds no focal lengths", file=file, field="opencv.K", fix="Track the film again")
    return k
