"""Tracks with ARKit's weights or lid parameters become motion of a head, and a head's motion becomes weights.

Files of ARKit's weights name no head: their track carries the weights as the channel `arkit`, (T, 52), with jaw and eyes
already turned, and an expression only once a head is chosen. Trackers with lid parameters beside FLAME's coefficients
(SMIRK, metrical-tracker) carry them as `eyelids`, (T, 2): left and right, 1 is closed.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from jaxtyping import Float

from gagjax.expression.arkit.channels import EYELIDS, WEIGHTS, needs_head
from gagjax.expression.arkit.fitting import FittedShapes, shapes_for
from gagjax.expression.arkit.names import NAMES
from gagjax.expression.arkit.solving import weights_of
from gagjax.expression.openings import closing_directions
from gagjax.flame.model import FlameModel
from gagjax.track import Track
from gagjax.typing import AnyArray

#: A shape whose residual is more than this share of its size is named as badly said by the head.
POOR = 0.5


def on_head(track: Track, model: FlameModel, shape: Float[AnyArray, "..."] | None = None) -> tuple[Track, str]:
    """Take up ARKit's weights and lid parameters into the expression of a head.

    Args:
        track: The track.
        model: The head.
        shape: Its shape coefficients; None is the mean head.

    Returns:
        The track without the channels `arkit` and `eyelids`, and a line that says what was done; the track itself and ""
        if it has neither.
    """
    if not needs_head(track):
        return track, ""
    expression = np.array(track.expression, np.float32)
    said = []
    if WEIGHTS in track.extra:
        fitted = shapes_for(model)
        expression += np.asarray(track.extra[WEIGHTS], np.float32) @ fitted.shapes.expression
        said.append(f"ARKit: the 52 shapes drive the expression{_poor(fitted)}")
    if EYELIDS in track.extra:
        closed = np.clip(np.asarray(track.extra[EYELIDS], np.float32), 0, 1)
        expression += closed @ closing_directions(model, shape)
        said.append("lid parameters close the lids by the expression")
    extra = {name: value for name, value in track.extra.items() if name not in (WEIGHTS, EYELIDS)}
    return dataclasses.replace(track, expression=expression, extra=extra), "; ".join(said)


def with_weights(track: Track, model: FlameModel) -> Track:
    """The track with the channel `arkit`, found from its motion on a head; the track itself if it has that channel.

    Args:
        track: The track.
        model: The head whose coefficients its expression is.
    """
    if WEIGHTS in track.extra:
        return track
    fitted = shapes_for(model)
    weights = weights_of(model, fitted.shapes, track.expression, track.jaw, track.eyes)
    return dataclasses.replace(track, extra={**track.extra, WEIGHTS: weights})


def _poor(fitted: FittedShapes) -> str:
    bad = [name for name, off, size in zip(NAMES, fitted.residual, fitted.size, strict=True) if off > POOR * size > 0]
    return f"; this head says these badly: {', '.join(bad)}" if bad else ""
