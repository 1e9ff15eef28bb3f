"""Sighting: a photo of a person with fitted head parameters."""

from __future__ import annotations

import dataclasses

import numpy as np
from jaxtyping import Float, Int

from gagjax.avatars.parameters import Parameters
from gagjax.camera import Camera
from gagjax.errors import InputError


@dataclasses.dataclass(frozen=True)
class Marks:
    """Correspondences between image points and points on the mesh.

    Attributes:
        pixels: Positions in the photo, (L, 2) pixels.
        faces: Triangle of each, (L,).
        bary: Barycentric coordinates in it, (L, 3).
    """

    pixels: Float[np.ndarray, "L 2"]
    faces: Int[np.ndarray, "L"]
    bary: Float[np.ndarray, "L 3"]


@dataclasses.dataclass(frozen=True)
class Sighting:
    """One photo with fitted head parameters: the input of a portrait avatar.

    Attributes:
        photo: Display-encoded RGB in [0, 1], (H, W, 3).
        matte: Alpha matte of the person, (H, W).
        parameters: Shape, expression, pose, eyes and neck as fitted to the photo, with the photo's camera.
        marks: Landmarks to which the mesh is warped, or None to leave it unchanged.
        irises: Centres of the subject's left and right iris in the photo, (2, 2) pixels, or None to trust
            `parameters.eyes`.

    Raises:
        InputError: If photo, matte and camera differ in size, or there is no camera.
    """

    photo: Float[np.ndarray, "H W 3"]
    matte: Float[np.ndarray, "H W"]
    parameters: Parameters
    marks: Marks | None = None
    irises: Float[np.ndarray, "2 2"] | None = None

    def __post_init__(self) -> None:
        height, width = np.shape(self.photo)[:2]
        if np.shape(self.photo) != (height, width, 3) or np.shape(self.matte) != (height, width):
            raise InputError(
                f"photo {np.shape(self.photo)} and matte {np.shape(self.matte)} do not fit", field="sighting"
            )
        if self.parameters.camera is None:
            raise InputError("has no camera", field="sighting.parameters", fix="Pass the photo's camera")
        if (self.camera.width, self.camera.height) != (width, height):
            raise InputError(
                f"camera of {self.camera.width} x {self.camera.height} pixels, photo of {width} x {height}",
                field="sighting.camera",
            )

    @property
    def camera(self) -> Camera:
        """The photo's camera."""
        assert self.parameters.camera is not None
        return self.parameters.camera
