"""Wavefront OBJ: one mesh, as text that every modelling program reads."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jaxtyping import Float, Integer

from gagjax.typing import AnyArray


def write_obj(
    path: Path,
    vertices: Float[AnyArray, "V 3"],
    faces: Integer[AnyArray, "F 3"],
    colours: Float[AnyArray, "V 3"] | None = None,
) -> None:
    """Write a mesh.

    Args:
        path: The file to write.
        vertices: In any unit; kept to a tenth of a micrometre where they are metres.
        faces: Triangles, counted from 0.
        colours: In [0, 1], written behind the coordinates, where many programs look for them; or None.
    """
    rows = np.asarray(vertices, np.float64)
    form = "v %.7f %.7f %.7f"
    if colours is not None:
        rows = np.concatenate([rows, np.clip(np.asarray(colours, np.float64), 0, 1)], 1)
        form += " %.4f %.4f %.4f"
    with path.open("wb") as file:
        file.write(b"# gagjax; y up, metres\n")
        np.savetxt(file, rows, form)
        np.savetxt(file, np.asarray(faces, np.int64) + 1, "f %d %d %d")
