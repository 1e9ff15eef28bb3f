"""The head of a track, and what its expression columns are called: shared by export, transfer, edit and draw."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from jaxtyping import Float

from gagjax.errors import InputError
from gagjax.track import SHAPES, Track

if TYPE_CHECKING:
    from gagjax.flame.model import FlameModel


class Head(NamedTuple):
    """A head model and an identity on it.

    Attributes:
        model: The head.
        shape: Shape coefficients, (S,).
        names: Names of the expression columns, as far as they have any.
        described: What the user is told about it.
    """

    model: FlameModel
    shape: Float[np.ndarray, "S"]
    names: tuple[str, ...]
    described: str


def head_of(track: Track, flame: Path | None) -> Head:
    """The head that a track drives: the FLAME file given, or the built-in head, with the track's identity.

    Args:
        track: The track; of a shape for each frame the median counts.
        flame: A FLAME file, or None.

    Raises:
        InputError: If the file is no FLAME model.
    """
    from gagjax import flame as heads

    model = heads.builtin() if flame is None else heads.load(flame)
    shape = np.zeros(SHAPES, np.float32) if track.shape is None else np.asarray(track.shape, np.float32)
    shape = np.asarray(np.median(shape, 0) if shape.ndim == 2 else shape)[: model.shapes]
    said = "the built-in head (pass --flame if the track was made with FLAME)" if flame is None else str(flame)
    return Head(model, shape, names_of(model), said)


def names_of(model: FlameModel) -> tuple[str, ...]:
    """The named controls of the built-in head's expression; nothing for a FLAME file, whose columns have no names."""
    from gagjax.flame.builtin_head import CONTROLS, is_builtin

    return tuple(CONTROLS) if is_builtin(model) else ()


def flame_track(path: Path, fps: str | None = None) -> Track:
    """Read a track that holds FLAME motion; several sequences in one file come one after the other.

    Raises:
        InputError: If it cannot be read, or is a LivePortrait template.
    """
    from gagjax.app.workflows.enhance import in_a_row
    from gagjax.expression.from_template import is_template
    from gagjax.io.tracks import load_track

    track = load_track(path, fps=fps).validate(str(path))
    if is_template(track):
        raise InputError(
            "is a LivePortrait template, whose keypoint offsets are no FLAME motion",
            file=path,
            fix="Pass a FLAME track; `gagjax reenact` drives avatars with templates",
        )
    return in_a_row(track)
