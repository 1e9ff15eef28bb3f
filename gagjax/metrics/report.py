"""Tables that compare a track or a video with ground truth: groups of metrics with their definitions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Shaped

from gagjax import so3
from gagjax.camera import UNITS_PER_METRE
from gagjax.conventions.head_pose import folded
from gagjax.metrics import image, motion
from gagjax.text.table import text_table
from gagjax.track import Track
from gagjax.typing import AnyArray

if TYPE_CHECKING:
    from gagjax.flame.model import FlameModel
    from gagjax.track import Channels

CHUNK = 25  # frames per batch


class Measure(NamedTuple):
    """One row of a table.

    Attributes:
        label: Its name.
        unit: Unit of the figures, or "".
        best: "low", "high", "zero" (either sign counts), a number to be close to, or "none".
        text: Its definition in one sentence.
        digits: Digits after the point.
    """

    label: str
    unit: str
    best: str | float
    text: str
    digits: int = 2


MOTION: dict[str, Measure] = {
    "vertex": Measure("vertex error", "mm", "low", "Mean distance of the mesh's vertices, head pose included."),
    "face": Measure("face error", "mm", "low", "The same in the head's own frame: expression, jaw and eyes alone."),
    "acceleration": Measure(
        "acceleration error", "mm/frame²", "low", "Mean norm of the vertices' second difference against the truth's."
    ),
    "jerk": Measure("jerk error", "mm/frame³", "low", "The same of the third difference."),
    "rotation": Measure("head rotation error", "°", "low", "Mean angle between the head's rotation and the true one."),
    "jaw": Measure("jaw error", "°", "low", "Mean angle between the jaw's rotation and the true one."),
    "gaze": Measure("gaze error", "°", "low", "Mean angle between each eye's direction and the true one."),
    "aed": Measure("expression distance", "", "low", "Mean absolute difference of the expression coefficients.", 3),
    "lag_face": Measure(
        "lag of the face", "ms", "zero", "Delay of expression and jaw, by cross-correlation of the differences.", 0
    ),
    "lag_head": Measure("lag of the head", "ms", "zero", "The same for the head's rotation.", 0),
    "blink": Measure(
        "blink depth kept", "%", 100.0, "Depth of the blinks over their true depth; noise can push it past 100.", 0
    ),
    "contact": Measure(
        "gaze off the camera",
        "°",
        "none",
        "Mean angle between each eye's direction and the camera; no error, a choice.",
    ),
}
IMAGE: dict[str, Measure] = {
    "psnr": Measure("PSNR", "dB", "high", "-10 log10 of the mean squared RGB error, per frame, then the mean."),
    "ssim": Measure("SSIM", "", "high", "Gaussian window of 11 pixels, sigma 1.5, mean over RGB.", 3),
    "fine": Measure("PSNR of fine detail", "dB", "high", "PSNR of what a Gaussian blur of 1.5 pixels takes away."),
    "eyes": Measure("PSNR of the eyes", "dB", "high", "PSNR weighted by a soft mask about both eyes."),
    "flicker": Measure(
        "flicker", "/255", "low", "Mean absolute error of the change from one frame to the next, in grey levels."
    ),
}


def measure_track(
    track: Track, truth: Track, model: FlameModel | None, *, closing: Sequence[int] = ()
) -> dict[str, float]:
    """Motion metrics of a track against ground truth. All frames count, lost ones with the track's values for them.

    Args:
        track: The track to evaluate.
        truth: Ground truth of the same length.
        model: FLAME model for the vertex error.
        closing: Expression columns that close the lids; without them "blink" is omitted.

    Returns:
        Values by the keys of `MOTION`; lags are omitted for clips shorter than 15 frames.
    """
    identity = np.zeros(1) if truth.shape is None else truth.shape
    track, truth = (folded(each, model, None if truth.shape is None else truth.shape) for each in (track, truth))
    world, head = _vertices(model, identity, track.channels)
    true_world, true_head = _vertices(model, identity, truth.channels)
    rotation, true_rotation = jnp.asarray(track.transform[..., :3]), jnp.asarray(truth.transform[..., :3])
    values = {
        "vertex": motion.position_error(world, true_world),
        "face": motion.position_error(head, true_head),
        "rotation": motion.rotation_error(rotation, true_rotation).mean(),
        "jaw": motion.rotation_error(so3.exp(track.jaw), so3.exp(truth.jaw)).mean(),
        "gaze": motion.gaze_error(track.eyes, truth.eyes).mean(),
        "aed": motion.average_expression_distance(track.expression, truth.expression),
        "contact": _off_camera(model, identity, track),
    }
    if len(track) > 3:
        values["acceleration"] = motion.acceleration_error(world, true_world)
        values["jerk"] = motion.jerk_error(world, true_world)
    if len(track) >= 15:
        turn = so3.log(jnp.swapaxes(true_rotation[:1], -1, -2) @ rotation)
        true_turn = so3.log(jnp.swapaxes(true_rotation[:1], -1, -2) @ true_rotation)
        face = [jnp.concatenate([t.expression, t.jaw[:, :1]], 1) for t in (track, truth)]
        values["lag_face"] = motion.as_milliseconds(motion.lag(*face, max_lag=10), track.fps)
        values["lag_head"] = motion.as_milliseconds(motion.lag(turn, true_turn, max_lag=10), track.fps)
    if closing:
        columns = list(closing)
        values["blink"] = 100 * motion.blink_depth(
            track.expression[:, columns].mean(1), truth.expression[:, columns].mean(1)
        )
    return {key: float(values[key]) for key in MOTION if key in values}


def measure_frames(
    frames: Shaped[AnyArray, "T H W 3"],
    truth: Shaped[AnyArray, "T H W 3"],
    eyes: Float[AnyArray, "T H W"] | None = None,
) -> dict[str, float]:
    """Image metrics of frames against ground truth, by the keys of `IMAGE`; those of the eyes only with a mask.

    Args:
        frames: (T, H, W, 3) in [0, 1] or uint8, at least two.
        truth: The same shape and type.
        eyes: Soft mask of both eyes, (T, H, W); frames where it is empty are excluded from the eye metrics.
    """
    count = len(frames)
    chunks: list[dict[str, Any]] = []
    for start in range(0, count, CHUNK):
        part = slice(start, min(start + CHUNK, count))
        chunks.append(_of_chunk(frames[part], truth[part], None if eyes is None else eyes[part]))
        if start:  # the change across a chunk boundary
            border = slice(start - 1, start + 1)
            chunks[-1]["flicker"] = np.append(chunks[-1]["flicker"], _changes(frames[border], truth[border]))
    values = {key: np.concatenate([chunk[key] for chunk in chunks]) for key in chunks[0]}
    return {key: float(np.mean(each[~np.isnan(each)])) for key in IMAGE if (each := values.get(key)) is not None}


def _of_chunk(frames: AnyArray, truth: AnyArray, eyes: AnyArray | None) -> dict[str, Any]:
    x, y = image.comparable(frames, truth)
    values = {
        "psnr": image.psnr(x, y),
        "ssim": image.ssim(x, y),
        "fine": image.high_frequency_psnr(x, y),
        "flicker": _changes(frames, truth),
    }
    if eyes is not None:
        values["eyes"] = image.masked_psnr(x, y, eyes)
    return {key: np.asarray(value) for key, value in values.items()}


def _changes(frames: AnyArray, truth: AnyArray) -> Any:
    """`flicker` of each pair of neighbouring frames, in grey levels."""
    return np.asarray(_mean_changes(*image.comparable(frames, truth))) * 255


@jax.jit
def _mean_changes(frames: AnyArray, truth: AnyArray) -> Any:
    return jnp.mean(jnp.abs(jnp.diff(frames - truth, axis=0)), (1, 2, 3))


def as_text(measures: Mapping[str, Measure], columns: Mapping[str, Mapping[str, float]]) -> str:
    """A table for the terminal: a row per metric, a column per name; `*` marks the best.

    Args:
        measures: The rows, in order.
        columns: Values of each column by row key.
    """
    names = list(columns)
    rows = [["", *names]]
    for key, each in measures.items():
        best = best_of(each, {name: columns[name].get(key) for name in names})
        cells = []
        for name in names:
            value = columns[name].get(key)
            cells.append("" if value is None else shown(value, each) + ("*" if name in best else " "))
        if any(cells):
            rows.append([f"{each.label} ({each.unit})" if each.unit else each.label, *cells])
    return text_table(rows)


def shown(value: float, measure: Measure) -> str:
    """A value with the metric's number of digits; infinity as a word."""
    return "exact" if np.isinf(value) else f"{value:.{measure.digits}f}"


def best_of(measure: Measure, values: Mapping[str, float | None]) -> set[str]:
    """The names with the best value, compared as displayed; none if all are equal."""
    if measure.best == "none":
        return set()
    finite = {name: float(shown(v, measure)) for name, v in values.items() if v is not None and np.isfinite(v)}
    if len(set(finite.values())) < 2:
        return set()
    if measure.best == "high":
        rank = {name: -v for name, v in finite.items()}
    elif measure.best == "low":
        rank = finite
    else:
        goal = 0.0 if measure.best == "zero" else float(measure.best)
        rank = {name: abs(v - goal) for name, v in finite.items()}
    return {name for name, v in rank.items() if v == min(rank.values())}


def _off_camera(model: FlameModel | None, shape: AnyArray | None, track: Track) -> Any:
    from gagjax.flame import eye_centres
    from gagjax.gaze import camera_centre, gaze_of

    towards = camera_centre(jnp.asarray(track.transform))[:, None] - eye_centres(model, shape)
    return motion.angle_between(gaze_of(track), towards).mean()


@jax.jit
def _vertices(model: FlameModel | None, shape: AnyArray | None, channels: Channels) -> tuple[Any, Any]:
    """Vertices in the camera frame and in the head frame, millimetres."""
    from gagjax.flame import vertices

    pose = jnp.concatenate([jnp.zeros_like(channels.jaw), channels.jaw], -1)
    head = vertices(model, shape, channels.expression, pose, channels.eyes, channels.neck)
    camera = channels.transform
    world = jnp.einsum("tvi,tij->tvj", head, camera[..., :3], precision="highest")
    world = world + camera[:, None, :, 3] / UNITS_PER_METRE
    return 1000 * world, 1000 * head
