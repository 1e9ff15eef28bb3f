"""The parts of a head's mesh that a viewer colours: skin, white of the eyes, irises, pupils."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Int

from gagjax.flame.model import FlameModel, eye_centres

IRIS, PUPIL = 27.0, 10.0  # degrees about the line of sight: 6 mm and 2.2 mm of an eyeball of 13 mm
WHITE, BROWN, BLACK = (242, 240, 236), (86, 62, 44), (12, 12, 14)


class Part(NamedTuple):
    """A piece of the mesh.

    Attributes:
        vertices: Which of the head's vertices it has.
        faces: Its triangles, by place in `vertices`.
        colour: Its colour; None takes that of the head.
    """

    vertices: Int[np.ndarray, "v"]
    faces: Int[np.ndarray, "f 3"]
    colour: tuple[int, int, int] | None


def parts_of(model: FlameModel) -> dict[str, Part]:
    """The parts of a head. A triangle belongs to an eye whose joint moves all of its corners.

    Args:
        model: Any head in FLAME's format: joints 3 and 4 are the left and the right eye, which look along +z at rest.
    """
    faces, rest = np.asarray(model.faces), np.asarray(model.v_template, np.float64)
    follows = np.asarray(model.weights)[:, 3:5] > 0.5
    centres = np.asarray(eye_centres(model, np.zeros(model.shapes, np.float32)), np.float64)
    kind = np.zeros(len(faces), int)
    for eye in range(2):
        own = follows[faces, eye].all(1)
        way = rest[faces].mean(1) - centres[eye]
        angle = np.degrees(np.arctan2(np.hypot(way[:, 0], way[:, 1]), way[:, 2]))
        kind[own] = np.select([angle[own] < PUPIL, angle[own] < IRIS], [3, 2], 1)
    found = {}
    for number, (name, colour) in enumerate((("skin", None), ("white", WHITE), ("iris", BROWN), ("pupil", BLACK))):
        chosen = faces[kind == number]
        if len(chosen):
            vertices, places = np.unique(chosen, return_inverse=True)
            found[name] = Part(vertices, places.reshape(-1, 3), colour)
    return found
