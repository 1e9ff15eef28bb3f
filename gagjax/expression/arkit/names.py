"""The 52 shapes of ARKit by name: Apple's `ARFaceAnchor.BlendShapeLocation`, which MediaPipe and others follow.

Each has a weight from 0 (rest) to 1. Left and right are the subject's.

Source: Apple, ARKit documentation, "ARFaceAnchor.BlendShapeLocation"; Google, MediaPipe "Blendshape V2" model card.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from jaxtyping import Int

from gagjax.errors import InputError

_EYE = ("Blink", "LookDown", "LookIn", "LookOut", "LookUp", "Squint", "Wide")
_SIDES = ("Left", "Right")
_MOUTH = ("Smile", "Frown", "Dimple", "Stretch")
#: The shapes in the order of Live Link Face's columns.
NAMES: tuple[str, ...] = (
    *(f"eye{part}{side}" for side in _SIDES for part in _EYE),
    "jawForward",
    "jawRight",
    "jawLeft",
    "jawOpen",
    "mouthClose",
    "mouthFunnel",
    "mouthPucker",
    "mouthRight",
    "mouthLeft",
    *(f"mouth{part}{side}" for part in _MOUTH for side in _SIDES),
    "mouthRollLower",
    "mouthRollUpper",
    "mouthShrugLower",
    "mouthShrugUpper",
    *(f"mouth{part}{side}" for part in ("Press", "LowerDown", "UpperUp") for side in _SIDES),
    "browDownLeft",
    "browDownRight",
    "browInnerUp",
    "browOuterUpLeft",
    "browOuterUpRight",
    "cheekPuff",
    "cheekSquintLeft",
    "cheekSquintRight",
    "noseSneerLeft",
    "noseSneerRight",
    "tongueOut",
)
#: MediaPipe's 52 scores begin with one for the neutral face and have none for the tongue.
MEDIAPIPE_NEUTRAL = "_neutral"
_COLUMN = {name.lower(): column for column, name in enumerate(NAMES)}


def column_of(name: str) -> int | None:
    """The place of a shape in `NAMES`, whatever the case and underscores of its name; None for another name.

    Args:
        name: Such as "eyeBlinkLeft", "EyeBlinkLeft", "EYE_BLINK_LEFT" or "eyeBlink_L".

    Returns:
        Its place, 0 to 51, or None.

    Example:
        >>> column_of("EyeBlinkLeft"), column_of("eyeBlink_R"), column_of("HeadYaw")
        (0, 7, None)
    """
    plain = name.strip()
    for short, side in (("_L", "Left"), ("_R", "Right")):
        plain = plain.removesuffix(short) + side if plain.endswith(short) else plain
    return _COLUMN.get(plain.replace("_", "").lower())


def columns_of(names: Iterable[str]) -> Int[np.ndarray, "N"]:
    """The places of shapes in `NAMES`; -1 for names of something else.

    Args:
        names: Names as in `column_of`.

    Returns:
        (N,) places.

    Raises:
        InputError: If a shape is named twice.
    """
    found = np.asarray([-1 if (column := column_of(name)) is None else column for name in names], int)
    twice = np.flatnonzero(np.bincount(found[found >= 0], minlength=len(NAMES)) > 1)
    if twice.size:
        raise InputError("is named twice", field=NAMES[int(twice[0])], fix="Name each shape once")
    return found
