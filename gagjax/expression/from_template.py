"""What a LivePortrait motion template says in known terms, brought onto a FLAME head.

A template's expression is 21 offsets of keypoints that a network has learned; they are no FLAME expression. What it says in
known terms is the head's rotation, its place `t` and size `scale` in the picture, and how far lids and lips are open
(`c_eyes_lst`, `c_lip_lst`: distance of the lids over the eye's width, of the lips over the mouth's). Templates without those
lists still show both in two of their keypoints each, less exactly.
"""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from gagjax.camera import FOCAL
from gagjax.expression.openings import Openings
from gagjax.flame.model import FlameModel
from gagjax.track import Track

DISTANCE = 9.3  # of the camera from the head in GAGAvatar units, the middle of what GAGAvatar sees
_EYES, _LIPS = ("c_eyes_lst", "c_d_eyes_lst"), ("c_lip_lst", "c_d_lip_lst")
# Open eyes of the people in the wild: a clip in which they never open more is still taken for one with closing lids.
OPEN = 0.2
# Keypoints (upper lid, lower lid) of the eye that is left in the picture, then of the other; and their slope to a ratio.
_LIDS, _LID_SLOPE = ((11, 13), (15, 16)), 20.0
# Keypoints of the lower and the upper lip, and the slope of their distance to a ratio.
_LOWER, _UPPER, _LIP_SLOPE = 19, 20, 7.0


class Ratios(NamedTuple):
    """How far lids and lips of a template are open.

    Attributes:
        lids: Left and right eye of the subject as shares of their open state, (T, 2).
        lips: Distance of the lips over the mouth's width, (T,).
        measured: Whether lids and lips come from the template's own lists, else from its keypoints.
    """

    lids: Float[np.ndarray, "T 2"]
    lips: Float[np.ndarray, "T"]
    measured: tuple[bool, bool]


def is_template(track: Track) -> bool:
    """Whether a track is a LivePortrait template without a FLAME expression."""
    named = track.source.startswith("liveportrait") and "exp" in track.extra
    return named and not np.any(np.asarray(track.expression)) and not np.any(np.asarray(track.jaw))


def ratios(track: Track) -> Ratios:
    """The openings that a template tells.

    Args:
        track: As `load_track` reads a template, or after smoothing.
    """
    eyes = next((np.asarray(track.extra[n], np.float64) for n in _EYES if n in track.extra), None)
    lips = next((np.asarray(track.extra[n], np.float64)[:, 0] for n in _LIPS if n in track.extra), None)
    keys = np.asarray(track.extra["exp"], np.float64)
    measured = eyes is not None, lips is not None
    seen = np.asarray(track.valid)
    if eyes is not None:
        open_eyes = np.maximum(np.percentile(eyes[seen], 90, axis=0), OPEN)
        lids = eyes / open_eyes
    else:
        # y points down: an upper lid that comes down and a lower one that goes up close the eye.
        gap = np.stack([0.3 * keys[:, low, 1] - keys[:, up, 1] for up, low in _LIDS], 1)
        lids = 1 + _LID_SLOPE * (gap - np.percentile(gap[seen], 90, axis=0)) / 0.27
    if lips is None:
        gap = keys[:, _LOWER, 1] - keys[:, _UPPER, 1]
        lips = _LIP_SLOPE * (gap - np.percentile(gap[seen], 5))
    # The lists begin with the eye on the left of the picture, which is the subject's right.
    return Ratios(np.clip(lids[:, ::-1], 0, 1.5), np.clip(lips, 0, None), measured)


def place(track: Track) -> Float[np.ndarray, "T 3 4"]:
    """The camera of a template with the head's place and size in the picture, about their median in the clip.

    `t` counts half picture widths to the right and down; `scale` enlarges the head.

    Args:
        track: A template's track, with the rotation in `transform`.

    Returns:
        `[R | t]` of a track, (T, 3, 4).
    """
    seen = np.asarray(track.valid)
    shift, scale = np.asarray(track.extra["t"], np.float64), np.asarray(track.extra["scale"], np.float64)[:, 0]
    shift = shift - np.median(shift[seen], axis=0)
    nearer = np.clip(scale / max(np.median(scale[seen]), 1e-6), 0.25, 4.0)
    transform = np.array(track.transform, np.float64)
    depth = DISTANCE / nearer
    transform[:, 0, 3] = -shift[:, 0] * depth / FOCAL
    transform[:, 1, 3] = -shift[:, 1] * depth / FOCAL
    transform[:, 2, 3] = depth
    return transform.astype(np.float32)


def driven(track: Track, model: FlameModel, shape: Any = None) -> tuple[Track, str]:
    """A template's track with what it says in known terms as FLAME expression, jaw and camera.

    Args:
        track: The template's track.
        model: The head that is driven.
        shape: Its shape coefficients; None is the mean head.

    Returns:
        The track and a line on what is driven and what cannot be; the track itself and "" if it is no template.
    """
    if not is_template(track):
        return track, ""
    parts = {name: _driven(part, Openings.for_model(model, shape)) for name, part in track.split().items()}
    if len(parts) > 1:
        from gagjax.track import interleaved

        channels = interleaved([part.channels for part in parts.values()], list(track.sequences.values()))
        made = track.with_channels(channels)
    else:
        made = next(iter(parts.values()))
    measured = ratios(track).measured
    guessed = [name for name, known in zip(("lids", "lips"), measured, strict=True) if not known]
    how = f" ({' and '.join(guessed)} estimated from keypoints: the file has no ratios of them)" if guessed else ""
    return made, (
        f"LivePortrait template: driven are rotation, place, size, lids and lips{how}; its other keypoint offsets are no "
        "FLAME expression, so brows, smile, cheeks and gaze stay at rest"
    )


def _driven(track: Track, head: Openings) -> Track:
    wanted = ratios(track)
    return dataclasses.replace(
        track,
        expression=head.expression(wanted.lids * head.rest[:2]),
        jaw=head.jaw(head.rest[2] + wanted.lips),
        transform=place(track),
    )
