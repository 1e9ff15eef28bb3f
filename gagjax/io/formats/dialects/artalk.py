"""ARTalk's motions, `*_motions.pt`: one tensor (T, 106) at 25 frames a second.

100 expression coefficients of FLAME, the head's global rotation (3) and the jaw's (3), axis-angle in radians. There is no
camera, no shape and no eye.

Source: xg-chu/ARTalk, README and inference.
"""

from __future__ import annotations

import dataclasses
from fractions import Fraction
from pathlib import Path

import numpy as np

from gagjax.conventions.head_pose import host_rotation_of
from gagjax.io.formats import fields, torch_archive, vhap
from gagjax.io.formats.dialects import common
from gagjax.io.formats.origin import Origin, merged, of
from gagjax.track import EXPRESSIONS, Track

NAME = "artalk"
COLUMNS = 106
FPS = Fraction(25)


def matches(content: object) -> bool:
    """Whether a torch file's content looks like this format."""
    return isinstance(content, np.ndarray) and content.ndim in (2, 3) and content.shape[-1] == COLUMNS


def read(content: np.ndarray, file: Path) -> Track:
    """The motion as a track, the head's rotation in `extra`, in front of a frontal camera.

    Raises:
        InputError: If it is no (T, 106) or (1, T, 106), or has no frame.
    """
    rows = fields.sequence(
        content[0] if np.ndim(content) == 3 and len(content) == 1 else content, (COLUMNS,), file, NAME
    )
    count = len(common.needed(rows if len(rows) else None, "frames", file))
    track = Track(
        rows[:, :EXPRESSIONS],
        rows[:, 103:],
        np.zeros((count, 6), np.float32),
        vhap.frontal(np.zeros((count, 3), np.float32)),
        extra={"rotation": common.matrices(rows[:, EXPRESSIONS:103])},
        rotations=("rotation",),
        fps=FPS,
        source=NAME,
    )
    return dataclasses.replace(track, origin=Origin(NAME, content, np.arange(count)))


def write(track: Track, path: Path) -> None:
    """The motion of a track as a tensor; one that it came from changes only where the track does.

    A track whose camera moves about a head at rest gives its camera's turns as the head's.
    """
    turned = host_rotation_of(track.extra)
    rotation = vhap.head_rotation(track) if turned is None else turned
    rows = np.concatenate([track.expression, vhap.vectors(np.asarray(rotation, np.float32)), track.jaw], 1)
    rows = rows.astype(np.float32)
    origin = of(track, NAME)
    if origin is not None and (origin.frames >= 0).all():
        held = np.asarray(origin.content).reshape(-1, COLUMNS)[origin.frames]
        was = read(np.asarray(origin.content), path).take(origin.frames)
        same = np.asarray(was.extra["rotation"]) == np.asarray(rotation)
        read_rows = held.astype(np.float32)
        rows[:, EXPRESSIONS:103] = np.where(
            same.all((1, 2))[:, None], read_rows[:, EXPRESSIONS:103], rows[:, EXPRESSIONS:103]
        )
        rows = np.asarray(merged(held, read_rows, rows))
    path.write_bytes(torch_archive.dumps(rows))
