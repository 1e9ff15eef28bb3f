"""Workflow of `gagjax convert` where a head takes part: ARKit's weights, lid parameters, and two FLAME models."""

from __future__ import annotations

from pathlib import Path

from gagjax.expression import arkit
from gagjax.expression.between_heads import carried_over
from gagjax.flame.model import FlameModel
from gagjax.io.formats.arkit.common import FORMATS
from gagjax.track import Track

BUILTIN = "builtin"


def onto_head(track: Track, flame: str, layout: str) -> tuple[Track, list[str]]:
    """Take up weights and lid parameters, or find weights, on a head.

    Args:
        track: The track.
        flame: A FLAME file, or "builtin".
        layout: The format that is to be written: the formats of ARKit's weights get weights.

    Returns:
        The track, and lines that say what was done and how well the head says each shape.

    Raises:
        InputError: If the file is no FLAME model, or has no landmarks.
    """
    model = head_of(flame)
    if layout in FORMATS and "arkit" in track.extra:
        return track, ["--flame: not needed, the file holds ARKit's weights"]
    had_weights = "arkit" in track.extra
    track, line = arkit.on_head(track, model, track.shape)
    said = [line] if line else []
    if layout in FORMATS:
        track = arkit.with_weights(track, model)
        said.append("ARKit: weights found from the motion by least squares")
    if had_weights or layout in FORMATS:
        said += residuals(model)
    return track, said


def residuals(model: FlameModel) -> list[str]:
    """How far each of ARKit's shapes is from what the head can say: one line for every four, none for the built-in head."""
    fitted = arkit.shapes_for(model)
    rows = [
        f"{name} {off:.2f} of {size:.2f}"
        for name, off, size in zip(arkit.NAMES, fitted.residual, fitted.size, strict=True)
        if size > 0
    ]
    lines = [f"  {', '.join(rows[i : i + 4])}" for i in range(0, len(rows), 4)]
    return ["residual of each shape on this head, root mean square millimetres of its size:", *lines] if lines else []


def between_heads(track: Track, first: Path, second: Path) -> tuple[Track, list[str]]:
    """Coefficients of one FLAME file as those of another.

    Returns:
        The track, and a line with the distances.

    Raises:
        InputError: If a file is no FLAME model, or the meshes differ and one has no landmarks.
    """
    found = carried_over(track, head_of(str(first)), head_of(str(second)))
    rest = "" if track.shape is None else f"heads at rest {found.shape:.3f} mm, "
    return found.track, [
        f"{first.name} to {second.name}: apart by {rest}expressions {found.expression:.3f} mm, "
        f"posed meshes {found.posed:.3f} mm in the mean and {found.worst:.3f} mm at most"
    ]


def head_of(flame: str) -> FlameModel:
    """The head of a FLAME file, or the built-in one."""
    from gagjax import flame as heads

    return heads.builtin(0) if flame == BUILTIN else heads.load(Path(flame))
