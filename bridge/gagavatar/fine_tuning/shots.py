"""A film as GAGAvatar is trained on it: crops over black, their vertices, cameras and head boxes."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, UInt8

from bridge.gagavatar.lifting import FOCAL, SCALE
from gagjax.errors import InputError


class Shots(NamedTuple):
    """One person's film.

    Attributes:
        pictures: The tracker's crops, black outside the person, (T, S, S, 3).
        vertices: FLAME vertices with the frame's expression, jaw and eyes, the head at rest, (T, V, 3), metres.
        transforms: Cameras `[R | t]` with GAGAvatar's lens, (T, 3, 4).
        boxes: Head boxes x0, y0, x1, y1 as fractions of the picture, (T, 4).
    """

    pictures: UInt8[np.ndarray, "T S S 3"]
    vertices: Float[np.ndarray, "T V 3"]
    transforms: Float[np.ndarray, "T 3 4"]
    boxes: Float[np.ndarray, "T 4"]

    def check(self) -> Shots:
        """The same film, if its parts fit together.

        Returns:
            The film itself.

        Raises:
            InputError: If lengths differ, or vertices, cameras or boxes are not finite.
        """
        if len({len(part) for part in self}) != 1:
            raise InputError(f"have {', '.join(str(len(part)) for part in self)} frames", field="shots")
        for name in ("vertices", "transforms", "boxes"):
            if not np.isfinite(getattr(self, name)).all():
                raise InputError("is not finite", field=name, fix="Track the film again")
        return self


def over_black(
    frames: UInt8[np.ndarray, "T S S 3"], masks: UInt8[np.ndarray, "T S S"] | None
) -> UInt8[np.ndarray, "T S S 3"]:
    """Frames with black outside the person, as the network saw them in training.

    Args:
        frames: The frames.
        masks: The person's coverage in [0, 255]; None leaves the frames as they are.
    """
    if masks is None:
        return frames
    return ((frames.astype(np.uint16) * masks[..., None] + 127) // 255).astype(np.uint8)


def boxes_of(vertices: Float[np.ndarray, "T V 3"], transforms: Float[np.ndarray, "T 3 4"]) -> Float[np.ndarray, "T 4"]:
    """Head boxes from the projected vertices, for tracks that hold none (`Track.extra["bbox"]`).

    Args:
        vertices: Metres.
        transforms: Cameras `[R | t]` with GAGAvatar's lens.

    Returns:
        x0, y0, x1, y1 as fractions of the picture, inside it.
    """
    seen = np.einsum("tvi,tij->tvj", SCALE * vertices, transforms[:, :, :3]) + transforms[:, None, :, 3]
    # Axes x left, y up, and a focal length in half picture widths.
    places = 0.5 - 0.5 * FOCAL * seen[..., :2] / seen[..., 2:]
    return np.clip(np.concatenate([places.min(1), places.max(1)], 1), 0, 1).astype(np.float32)
