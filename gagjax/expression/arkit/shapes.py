"""What each of ARKit's 52 shapes does to a head: expression coefficients, a turn of the jaw and turns of the eyes.

On the built-in head the shapes are defined: each is a mix of its named controls. Jaw and eye shapes are rotations of FLAME's
joints, which every head in FLAME's format has, so only the expression differs from head to head (`fitting`).
"""

from __future__ import annotations

import functools
from collections.abc import Mapping

import numpy as np
from jaxtyping import Float

from gagjax.expression.arkit.channels import joint_turns
from gagjax.expression.arkit.names import NAMES
from gagjax.flame.builtin_head import CONTROLS, FINE_CONTROLS
from gagjax.flame.model import EXPRESSIONS
from gagjax.pytree import pytree

#: How the upper lid goes along with the eye, in blinks.
LIDS = {"Down": 0.3, "Up": -0.15}


@pytree
class Shapes:
    """The shapes of one head, in the order of `NAMES`.

    Args:
        expression: Expression coefficients of each at weight 1, (52, 100).
        jaw: Turn of the jaw of each, axis-angle, (52, 3), radians.
        eyes: Turns of the left and the right eye, axis-angle, (52, 6), radians.
    """

    expression: Float[np.ndarray, "52 100"]
    jaw: Float[np.ndarray, "52 3"]
    eyes: Float[np.ndarray, "52 6"]


def _mix() -> dict[str, Mapping[str, float]]:
    """The controls of the built-in head in each shape; those not here are turns alone."""
    made: dict[str, Mapping[str, float]] = {
        "jawForward": {"jaw_forward": 1},
        "mouthClose": {"lips_together": 1},
        "mouthFunnel": {"funnel": 1},
        "mouthPucker": {"pucker": 1},
        "mouthLeft": {"mouth_left": 1},
        "mouthRight": {"mouth_right": 1},
        "mouthRollLower": {"lip_roll_lower": 1},
        "mouthRollUpper": {"lip_roll_upper": 1},
        "mouthShrugLower": {"chin_raise": 1},
        "mouthShrugUpper": {"upper_lip_shrug": 1},
        "browInnerUp": {"brow_inner_up": 1},
        "cheekPuff": {"cheek_puff": 1},
        "tongueOut": {"tongue_out": 1},
    }
    for side in ("Left", "Right"):
        low = side.lower()
        blink = f"blink_{low}"
        made |= {
            f"eyeBlink{side}": {blink: 1},
            f"eyeWide{side}": {blink: -0.3},
            f"mouthSmile{side}": {f"smile_{low}": 1},
            f"mouthStretch{side}": {f"stretch_{low}": 1},
            f"browOuterUp{side}": {f"brow_outer_up_{low}": 1},
            f"cheekSquint{side}": {f"cheek_squint_{low}": 1},
        }
        made |= {f"eyeLook{way}{side}": {blink: share} for way, share in LIDS.items()}
    halves = {
        "eyeSquint": "squint",
        "mouthFrown": "frown",
        "mouthDimple": "dimple",
        "mouthPress": "lips_press",
        "mouthLowerDown": "lower_lip_down",
        "mouthUpperUp": "upper_lip_raise",
        "browDown": "brow_down",
        "noseSneer": "nose_wrinkle",
    }
    for shape, control in halves.items():
        made |= {f"{shape}Left": {f"{control}_left": 1}, f"{shape}Right": {control: 1, f"{control}_left": -1}}
    return made


@functools.cache
def builtin_shapes() -> Shapes:
    """The shapes of the built-in head, which define them.

    Returns:
        All 52; each moves something.

    Example:
        >>> round(float(builtin_shapes().jaw[NAMES.index("jawOpen"), 0]), 2)
        0.4
    """
    columns = {**CONTROLS, **FINE_CONTROLS}
    expression = np.zeros((len(NAMES), EXPRESSIONS), np.float32)
    for name, mix in _mix().items():
        for control, share in mix.items():
            expression[NAMES.index(name), columns[control]] += share
    return Shapes(expression, *joint_turns())
