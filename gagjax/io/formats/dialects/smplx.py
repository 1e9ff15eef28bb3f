"""Faces of SMPL-X motion: BEAT2's `.npz` (EMAGE, PantoMatrix) and TalkSHOW's `.pkl`.

BEAT2: `expressions` (T, 100), `poses` (T, 165), 55 joints in SMPL-X's order, of which the neck (12), the head (15), the jaw (22), the
left (23) and the right eye (24) count here, `mocap_frame_rate` (30). TalkSHOW: `expression` (T, 100), `jaw_pose`, `leye_pose`,
`reye_pose`, `body_pose_axis` (T, 63), 30 frames a second. Axis-angle in radians, y up, face towards +z. SMPL-X's face is FLAME's: the
same expression coefficients. Its `betas` shape a body and are not FLAME's. There is no camera.

Source: H. Liu et al., EMAGE, CVPR 2024 (BEAT2, dataset card); H. Yi et al., TalkSHOW, CVPR 2023 (README); G. Pavlakos et al.,
SMPL-X, CVPR 2019.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from gagjax.errors import InputError
from gagjax.io.formats import vhap
from gagjax.io.formats.dialects import common
from gagjax.text.printable import quoted
from gagjax.track import EXPRESSIONS, Track, as_rate

NAME = "smplx"
FPS = Fraction(30)
_JOINTS = {"neck": 12, "head": 15, "jaw": 22, "left": 23, "right": 24}
_KNOWN = {
    "expressions", "expression", "poses", "jaw_pose", "leye_pose", "reye_pose", "mocap_frame_rate", "fps", "gender", "model",
}  # fmt: skip


def matches(content: object) -> bool:
    """Whether a content looks like one of the two."""
    if not isinstance(content, Mapping):
        return False
    return ("expressions" in content and "poses" in content) or (
        "expression" in content and "jaw_pose" in content and "leye_pose" in content
    )


def read(content: Mapping[str, Any], file: Path) -> Track:
    """The face as a track: expression, jaw, eyes, and the neck's and the head's turn as the neck; the body is left aside.

    Raises:
        InputError: If a field is missing or has a wrong shape.
    """
    records = [content]

    def get(name: str, width: int, *, exact: bool = True) -> Any:
        return common.column(records, (name,), width, file, exact=exact)

    if "poses" in content:
        poses = common.needed(get("poses", 165), "poses", file)
        expression = get("expressions", EXPRESSIONS, exact=False)
        parts = {name: poses[:, 3 * joint : 3 * joint + 3] for name, joint in _JOINTS.items()}
    else:
        expression = get("expression", EXPRESSIONS, exact=False)
        body = get("body_pose_axis", 63)  # without the root
        parts = {"jaw": get("jaw_pose", 3), "left": get("leye_pose", 3), "right": get("reye_pose", 3)}
        if body is not None:
            parts |= {name: body[:, 3 * (_JOINTS[name] - 1) : 3 * _JOINTS[name]] for name in ("neck", "head")}
    expression = common.needed(expression, "expression", file)
    for name in ("jaw", "left", "right"):
        common.needed(parts.get(name), name, file)
    count = common.same_length(file, expression=expression, **parts)
    rate = content.get("mocap_frame_rate", content.get("fps", FPS))
    track = Track(
        expression,
        parts["jaw"],
        np.concatenate([parts["left"], parts["right"]], 1),
        vhap.frontal(np.zeros((count, 3), np.float32)),
        neck=_turned(parts["neck"], parts["head"]) if "neck" in parts else None,
        fps=rate_of(rate, file),
    )
    return common.finished(track, common.Records([content], None, None), file, NAME, _KNOWN)


def _turned(outer: np.ndarray, inner: np.ndarray) -> np.ndarray:
    from scipy.spatial.transform import Rotation

    finite = np.isfinite(outer).all(1) & np.isfinite(inner).all(1)
    both = (Rotation.from_rotvec(np.where(finite[:, None], each, 0.0)) for each in (outer, inner))
    made = (next(both) * next(both)).as_rotvec().astype(np.float32)
    made[~finite] = np.nan
    return made


def rate_of(value: object, file: Path) -> Fraction:
    """A foreign frame rate.

    Raises:
        InputError: If it is none.
    """
    try:
        return as_rate(value.reshape(()).item() if isinstance(value, np.ndarray) else value)  # type: ignore[arg-type]
    except (InputError, ValueError, TypeError) as error:
        raise InputError(f"{quoted(value)} is no frame rate", file=file, field="mocap_frame_rate") from error
