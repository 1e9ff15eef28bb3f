"""Driving signals of Gaussian Deja-vu, a `.npy` that is a pickled dict: `exp` (T, 100), `jaw` (T, 3) axis-angle, `fps`.

Its examples make them from speech with UniTalker. There is no head rotation, no eye and no camera. (What it trains on are the
frames of flame-head-tracker: see `head_tracker`.)

Source: PeizhiYan/gaussian-dejavu, README and example "unitalker-to-flame".
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from gagjax.io.formats import vhap
from gagjax.io.formats.dialects import common, smplx
from gagjax.track import EXPRESSIONS, Track

NAME = "dejavu"
_KNOWN = {"exp", "jaw", "fps"}


def matches(content: object) -> bool:
    """Whether a content looks like this format."""
    return isinstance(content, Mapping) and "exp" in content and "jaw" in content and "pose" not in content


def read(content: Mapping[str, Any], file: Path) -> Track:
    """The signals as a track in front of a frontal camera.

    Raises:
        InputError: If a field is missing or has a wrong shape.
    """
    expression = common.needed(common.column([content], ("exp",), EXPRESSIONS, file, exact=False), "exp", file)
    jaw = common.needed(common.column([content], ("jaw",), 3, file), "jaw", file)
    count = common.same_length(file, exp=expression, jaw=jaw)
    track = Track(
        expression,
        jaw,
        np.zeros((count, 6), np.float32),
        vhap.frontal(np.zeros((count, 3), np.float32)),
        fps=smplx.rate_of(content.get("fps", 30), file),
    )
    return common.finished(track, common.Records([content], None, None), file, NAME, _KNOWN)
