"""Tracks out of ARKit's weights, and weights out of tracks: what the readers and writers of such files share."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Float

from gagjax.errors import InputError
from gagjax.expression.arkit.channels import WEIGHTS, turns_of
from gagjax.expression.arkit.names import NAMES
from gagjax.io.formats import vhap
from gagjax.io.formats.origin import Origin
from gagjax.track import EXPRESSIONS, Track

if TYPE_CHECKING:
    from scipy.spatial.transform import Rotation

FORMATS = ("livelink", "arkit", "audio2face", "mediapipe")


def track_of(
    weights: Float[np.ndarray, "T 52"],
    fps: Fraction,
    source: str,
    content: object,
    *,
    valid: Bool[np.ndarray, "T"] | None = None,
    rotation: Float[np.ndarray, "T 3 3"] | None = None,
    eyes: Float[np.ndarray, "T 6"] | None = None,
    frames: np.ndarray | None = None,
) -> Track:
    """A track that carries weights as the channel `arkit`, jaw and eyes turned as they say.

    The expression is zero until a head is chosen (`gagjax.expression.arkit.on_head`). No such file holds the camera: it
    stands in front of the head.

    Args:
        weights: In the order of `NAMES`.
        fps: Frame rate.
        source: What the track says of its origin.
        content: What the file holds.
        valid: Frames in which the face was seen; None is all.
        rotation: The head's turn; None where the file holds none.
        eyes: Turns of the eyes, axis-angle in radians, where the file holds them apart from the weights.
        frames: Which frame of the content each is; None is all in order.
    """
    jaw, looked = turns_of(weights)
    count = len(weights)
    index = np.arange(count) if frames is None else frames
    return Track(
        np.zeros((count, EXPRESSIONS), np.float32),
        jaw,
        looked if eyes is None else eyes.astype(np.float32),
        vhap.frontal(np.zeros((count, 3), np.float32)),
        extra={WEIGHTS: weights.astype(np.float32)}
        | ({} if rotation is None else {"rotation": rotation.astype(np.float32)}),
        rotations=() if rotation is None else ("rotation",),
        valid=valid,
        fps=fps,
        source=source,
        origin=Origin(source, content, index),
    )


def weights_in(track: Track, path: Path) -> Float[np.ndarray, "T 52"]:
    """The weights of a track.

    Raises:
        InputError: If it carries none: they have to be found on a head first.
    """
    if WEIGHTS not in track.extra:
        raise InputError(
            "needs ARKit's weights, which this track does not carry",
            file=path,
            field=WEIGHTS,
            fix="Name the head that its expression belongs to: gagjax convert --flame FILE, or --flame builtin",
        )
    weights = np.asarray(track.extra[WEIGHTS], np.float32)
    if weights.shape[1:] != (len(NAMES),):
        raise InputError(f"has shape {weights.shape}, expected (T, {len(NAMES)})", file=path, field=WEIGHTS)
    return weights


def turn_of(yaw: np.ndarray, pitch: np.ndarray, roll: np.ndarray) -> Rotation:
    """The rotation of yaw about y, pitch about x and roll about z, radians, in the head's axes, applied in reverse order."""
    from scipy.spatial.transform import Rotation

    return Rotation.from_euler("YXZ", np.stack([yaw, pitch, roll], -1))


def angles_of(turn: Rotation) -> Float[np.ndarray, "T 3"]:
    """Yaw, pitch and roll, radians, of a rotation: the inverse of `turn_of`."""
    return turn.as_euler("YXZ")
