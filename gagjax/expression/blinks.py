"""Blinks that a tracker or a filter has left half open, closed again."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from gagjax.expression.closure import apertures
from gagjax.expression.openings import Openings
from gagjax.flame.model import FlameModel
from gagjax.flame.subset import at_landmarks
from gagjax.track import Track
from gagjax.typing import AnyArray

LONGEST = 0.5  # seconds; people hold their eyes closed for longer on purpose
LEAST = 0.3  # a lid that goes down by less of its opening does not blink
WINK = 0.2  # an eye that goes down by less, while the other blinks, winks with the other
_EDGE = 0.05  # where a blink begins and ends
SHUT = 0.97  # an eye that goes down by this share of the way to closed is closed
_ROUNDS = 4


class Blink(NamedTuple):
    """One blink.

    Attributes:
        start: First frame in which a lid is on its way.
        stop: The frame after the last.
        eyes: Which take part, (left, right).
        depth: How far each closed before the repair, 0 open to 1 closed, (left, right).
    """

    start: int
    stop: int
    eyes: tuple[bool, bool]
    depth: tuple[float, float]


def repair_blinks(
    track: Track, model: FlameModel, shape: Float[AnyArray, "S"] | None = None
) -> tuple[Track, list[Blink]]:
    """Close the eyes fully in blinks that only went part of the way.

    Smoothing flattens blinks, and trackers often see them half. A blink here is a dip of the lid's opening by 30 % or
    more, for at most half a second; its course keeps its form and is deepened until its lowest frame is closed. An eye
    that stays open while the other blinks is left alone: a wink stays one.

    Args:
        track: The clip.
        model: The head that it was made on, with 68 landmarks.
        shape: The identity's shape coefficients; None is the mean head.

    Returns:
        The clip, changed only in frames of blinks that were not closed, and the blinks that were found, closed ones too.

    Raises:
        InputError: If the head has fewer than 68 landmarks.
    """
    head = Openings.for_model(model, shape)
    own = jnp.zeros(0) if shape is None else jnp.asarray(shape, jnp.float32)[: model.shapes]
    small = at_landmarks(model)

    def opening(expression: np.ndarray) -> np.ndarray:
        return np.asarray(apertures(small, own, jnp.asarray(expression), jnp.asarray(track.jaw)), np.float64)[:, :2]

    expression = np.array(track.expression, np.float32)
    lids = opening(expression)
    base = _open_level(lids, float(track.fps))
    # Landmarks of a closed eye do not meet: the opening that counts as none is the head's own.
    way = np.maximum(base - head.lids[:, -1], 1e-3)
    drop = np.clip((base - lids) / way, 0, None)
    found = blinks_in(drop, float(track.fps), np.asarray(track.valid))
    wanted = lids.copy()
    for blink in found:
        part = slice(blink.start, blink.stop)
        for eye in np.flatnonzero(blink.eyes):
            deepest = drop[part, eye].max()
            if deepest < SHUT:
                wanted[part, eye] = base[part, eye] - drop[part, eye] / deepest * way[part, eye]
    moves = (wanted < lids - 1e-4).any(1)
    if not moves.any():
        return track, found
    amount = np.stack([_amount(head, k, wanted[:, k]) - _amount(head, k, lids[:, k]) for k in range(2)], 1)
    amount[~moves] = 0
    # The rest of the expression moves the lids as well: what is left open is looked up again.
    for _ in range(_ROUNDS):
        now = opening(expression + (amount @ head.directions).astype(np.float32))
        more = np.stack([_amount(head, k, wanted[:, k]) - _amount(head, k, now[:, k]) for k in range(2)], 1)
        amount[moves] = np.clip(amount[moves] + more[moves], 0, 1.5)
    expression[moves] += (amount[moves] @ head.directions).astype(np.float32)
    return dataclasses.replace(track, expression=expression), found


def blinks_in(drop: Float[np.ndarray, "T 2"], fps: float, valid: np.ndarray | None = None) -> list[Blink]:
    """The blinks in a course of lid closure.

    Args:
        drop: How far each lid is down, 0 open and 1 closed, (T, 2).
        fps: Frames per second.
        valid: (T,) frames to trust; None is all.

    Returns:
        The blinks in the order of time.
    """
    down = drop.max(1) > _EDGE
    edges = np.flatnonzero(np.diff(np.concatenate([[False], down, [False]]).astype(int)))
    found = []
    for start, stop in edges.reshape(-1, 2):
        depth = drop[start:stop].max(0)
        seen = valid is None or valid[start:stop].any()
        if depth.max() < LEAST or (stop - start) / fps > LONGEST or start == 0 or stop == len(drop) or not seen:
            continue
        takes_part = depth >= (WINK if depth.min() >= WINK else LEAST)
        found.append(
            Blink(
                int(start),
                int(stop),
                (bool(takes_part[0]), bool(takes_part[1])),
                (float(min(depth[0], 1)), float(min(depth[1], 1))),
            )
        )
    return found


def _open_level(lids: np.ndarray, fps: float) -> np.ndarray:
    """How far each eye is open where it does not blink: a running upper quantile over one second to either side."""
    from scipy.ndimage import percentile_filter

    width = 2 * max(1, round(fps)) + 1
    level = np.stack([percentile_filter(lids[:, k], 70, width, mode="nearest") for k in range(2)], 1)
    return np.maximum(level, 1e-3)


def _amount(head: Openings, eye: int, lids: np.ndarray) -> np.ndarray:
    """The multiple of the closing direction that gives these openings on the head at rest."""
    return np.interp(lids, head.lids[eye][::-1], head.amounts[eye][::-1])
