"""Drive a FLAME head from the interpretable parts of a LivePortrait motion template.

A template's expression is 21 offsets of learned keypoints, not a FLAME expression. The interpretable parts are the head
rotation, its position `t` and size `scale` in the image, and the lid and lip openings (`c_eyes_lst`, `c_lip_lst`: lid
distance over eye width, lip distance over mouth width). For templates without those lists, both are estimated less
accurately from two keypoints each.
"""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from gagjax.camera import DISTANCE, FOCAL
from gagjax.expression.openings import Openings
from gagjax.flame.model import FlameModel
from gagjax.track import Track
from gagjax.typing import AnyArray

_EYES, _LIPS = ("c_eyes_lst", "c_d_eyes_lst"), ("c_lip_lst", "c_d_lip_lst")
# Open eyes of the people in the wild: a clip in which they never open more is still taken for one with closing lids.
OPEN = 0.2
# Keypoints (upper lid, lower lid) of the eye on the left of the image, then of the other; and the slope to a ratio.
_LIDS, _LID_SLOPE = ((11, 13), (15, 16)), 20.0
# Keypoints of the lower and upper lip, and the slope from their distance to a ratio.
_LOWER, _UPPER, _LIP_SLOPE = 19, 20, 7.0


class Ratios(NamedTuple):
    """Lid and lip openings of a template.

    Attributes:
        lids: The subject's left and right eye opening as fractions of the open state, (T, 2).
        lips: Lip distance over mouth width, (T,).
        measured: True if lids and lips come from the template's own lists, False if from its keypoints.
    """

    lids: Float[np.ndarray, "T 2"]
    lips: Float[np.ndarray, "T"]
    measured: tuple[bool, bool]


def is_template(track: Track) -> bool:
    """Whether a track is a LivePortrait template without a FLAME expression."""
    named = track.source.startswith("liveportrait") and "exp" in track.extra
    return named and not np.any(np.asarray(track.expression)) and not np.any(np.asarray(track.jaw))


def ratios(track: Track) -> Ratios:
    """Lid and lip openings of a template.

    Args:
        track: A template read by `load_track`, smoothed or not.
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
        # y points down: the eye closes as the upper lid moves down and the lower one up.
        gap = np.stack([0.3 * keys[:, low, 1] - keys[:, up, 1] for up, low in _LIDS], 1)
        lids = 1 + _LID_SLOPE * (gap - np.percentile(gap[seen], 90, axis=0)) / 0.27
    if lips is None:
        gap = keys[:, _LOWER, 1] - keys[:, _UPPER, 1]
        lips = _LIP_SLOPE * (gap - np.percentile(gap[seen], 5))
    # The lists start with the eye on the left of the image, which is the subject's right.
    return Ratios(np.clip(lids[:, ::-1], 0, 1.5), np.clip(lips, 0, None), measured)


def place(track: Track) -> Float[np.ndarray, "T 3 4"]:
    """The camera of a template, with the head's image position and size relative to their clip medians.

    `t` is in half image widths, right and down; `scale` enlarges the head.

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


def driven(track: Track, model: FlameModel, shape: Float[AnyArray, "..."] | None = None) -> tuple[Track, str]:
    """Convert a template's interpretable parts to FLAME expression, jaw and camera.

    Args:
        track: The template's track.
        model: The target head.
        shape: Its shape coefficients; None is the mean head.

    Returns:
        The track and a one-line note on what is and is not driven; the input track and "" if it is not a template.
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
