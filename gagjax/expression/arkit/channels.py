"""What ARKit's weights are in a track: the channels' names, and the turns of jaw and eyes, which are the same on every head.

Readers and writers of files use this part, which needs neither JAX nor a head.
"""

from __future__ import annotations

import functools

import numpy as np
from jaxtyping import Float

from gagjax.expression.arkit.names import NAMES
from gagjax.flame.builtin_head.jaw import JAW_OPEN
from gagjax.track import Track

WEIGHTS, EYELIDS = "arkit", "eyelids"
JAW_ASIDE = 0.1  # radians
GAZE = {"Down": (0.4, 0.0), "Up": (-0.35, 0.0), "Out": (0.0, 0.5), "In": (0.0, -0.5)}  # radians about x and outwards


def needs_head(track: Track) -> bool:
    """Whether a track holds weights or lid parameters that a head has not taken up yet."""
    return any(name in track.extra and np.any(np.asarray(track.extra[name])) for name in (WEIGHTS, EYELIDS))


@functools.cache
def joint_turns() -> tuple[Float[np.ndarray, "52 3"], Float[np.ndarray, "52 6"]]:
    """The turns of the jaw and of the left and right eye of each shape at weight 1, axis-angle in radians."""
    jaw, eyes = np.zeros((len(NAMES), 3), np.float32), np.zeros((len(NAMES), 6), np.float32)
    jaw[NAMES.index("jawOpen"), 0] = JAW_OPEN
    jaw[NAMES.index("jawLeft"), 1], jaw[NAMES.index("jawRight"), 1] = JAW_ASIDE, -JAW_ASIDE
    for eye, (side, outwards) in enumerate((("Left", 1.0), ("Right", -1.0))):
        for way, (about_x, about_y) in GAZE.items():
            eyes[NAMES.index(f"eyeLook{way}{side}"), 3 * eye : 3 * eye + 2] = about_x, outwards * about_y
    return jaw, eyes


def turns_of(weights: Float[np.ndarray, "T 52"]) -> tuple[Float[np.ndarray, "T 3"], Float[np.ndarray, "T 6"]]:
    """The turns of jaw and eyes that weights stand for, axis-angle in radians."""
    jaw, eyes = joint_turns()
    return (weights @ jaw).astype(np.float32), (weights @ eyes).astype(np.float32)
