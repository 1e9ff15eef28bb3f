"""What is behind the person: a picture per camera, or nothing outside the matte.

A fit draws the head in front of one colour. Film has a room there. Two ways out: `matted` replaces what the mattes say
is not the person by that colour, in every picture; or `Backdrop` learns the room, where the camera stands still:

    picture = head + (1 - coverage) room_c

The room starts as the median over time of the pixels outside the mattes.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, ClassVar

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from gagjax.avatars.personal.parts.base import Part, Scene, View
from gagjax.errors import InputError
from gagjax.pytree import pytree
from gagjax.typing import AnyArray, Tree

if TYPE_CHECKING:
    from gagjax.avatars.personal.clip import FilmedClip


def matted(clip: FilmedClip) -> FilmedClip:
    """The clip with its background colour outside the mattes.

    Raises:
        InputError: If the clip has no mattes.
    """
    if clip.masks is None:
        raise InputError("has no mattes", field="masks", fix="Add a folder masks/, or pass --background colour")
    cover = clip.masks[..., None].astype(np.float32) / 255
    colour = np.asarray(clip.background)
    behind = colour if colour.ndim == 1 else colour[np.asarray(clip.rig.camera)][:, None, None]  # type: ignore[union-attr]
    frames = np.empty_like(clip.frames)
    for i, frame in enumerate(clip.frames):
        back = behind if colour.ndim == 1 else behind[i]
        frames[i] = (cover[i] * frame + (1 - cover[i]) * 255 * back + 0.5).astype(np.uint8)
    return dataclasses.replace(clip, frames=frames)


@pytree
class Backdrop(Part):
    """A learned picture of the room behind the person, one per camera.

    Args:
        first: The room at the start, (C, S, S, 3).
    """

    name: ClassVar[str] = "backdrop"
    rate: ClassVar[float] = 2e-3
    first: Float[AnyArray, "C S S 3"]

    @classmethod
    def of(cls, clip: FilmedClip) -> Backdrop:
        """The part for a clip, whose cameras should stand still."""
        camera = np.zeros(len(clip.frames), int) if clip.rig is None else np.asarray(clip.rig.camera)
        colour = np.broadcast_to(np.asarray(clip.background), (clip.cameras, 3))
        rooms = []
        for c in range(clip.cameras):
            shown = clip.frames[camera == c].astype(np.float32) / 255
            if clip.masks is not None:
                outside = clip.masks[camera == c] < 8
                shown = np.where(outside[..., None], shown, np.nan)
            seen = np.isfinite(shown[..., 0]).any(0)
            room = np.broadcast_to(colour[c], shown.shape[1:]).copy()
            room[seen] = np.nanmedian(shown[:, seen], axis=0)
            rooms.append(room)
        return cls(np.stack(rooms).astype(np.float32))

    def start(self, scene: Scene) -> dict[str, Any]:
        return {"room": jnp.asarray(self.first)}

    def picture(
        self, weights: Tree, picture: Float[AnyArray, "S S 3"], coverage: Float[AnyArray, "S S"], view: View
    ) -> Float[AnyArray, "S S 3"]:
        return picture + (1 - coverage[..., None]) * (weights["room"][view.camera] - view.background)
