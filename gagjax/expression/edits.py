"""Edits of a clip by hand: regions louder or calmer, sliders, eyes turned, each in a span of time with soft ends.

A slider adds a multiple of a direction of coefficients; that is exact in any format. A region's gain is exact on the
vertices only, for no set of FLAME's columns is a region: `Edited.offsets` holds that form, and `Edited.track` its
least-squares fit in coefficients, with what the fit misses in `Edited.leak`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from gagjax import so3
from gagjax.errors import InputError
from gagjax.expression.neutral_face import neutral
from gagjax.expression.openings import Openings
from gagjax.expression.regions import RegionEditor
from gagjax.flame.builtin_head import CONTROLS, is_builtin
from gagjax.flame.model import EXPRESSIONS, FlameModel
from gagjax.track import Track
from gagjax.typing import AnyArray

#: Whole-face gain, beside the regions.
WHOLE = "expression"
#: Rotations that are added, in radians: each eye, both, and the jaw's opening. Up and to the subject's left are positive.
TURNS = (
    "left_eye_yaw",
    "left_eye_pitch",
    "right_eye_yaw",
    "right_eye_pitch",
    "eyes_yaw",
    "eyes_pitch",
    "jaw_open",
)
MOST = 5.0  # largest gain


class Setting(NamedTuple):
    """One edit.

    Attributes:
        name: A region, "expression", a slider or a turn; see `names_for`.
        value: A gain for regions and "expression" (1 changes nothing), an amount for sliders, radians for turns.
        start: When it begins, seconds from the first frame; None is the start of the clip.
        stop: When it ends; None is the end of the clip.
        ease: Seconds over which it comes and goes, inside its span.
    """

    name: str
    value: float
    start: float | None = None
    stop: float | None = None
    ease: float = 0.0


@dataclasses.dataclass(frozen=True)
class Edited:
    """An edited clip in both forms.

    Args:
        track: The edit in coefficients, for programs that know only these.
        exact: The track with every edit but the regions'.
        offsets: The regions' edits on the rest mesh of `exact`, metres, (T, V, 3); None where no region was edited.
        leak: How far the coefficients' mesh lies from the exact one: mean and largest vertex distance, millimetres.
    """

    track: Track
    exact: Track
    offsets: Float[np.ndarray, "T V 3"] | None
    leak: tuple[float, float]


def names_for(model: FlameModel, regions: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """What can be set on a head, by kind: regions, sliders, turns.

    Args:
        model: The head.
        regions: Names of its regions, from `RegionEditor.names`.
    """
    own = tuple(CONTROLS) if is_builtin(model) else ("blink_left", "blink_right")
    return {"regions": (WHOLE, *regions), "sliders": ("blink", *own, "expression_N"), "turns": TURNS}


def envelope(
    frames: int, fps: float, start: float | None = None, stop: float | None = None, ease: float = 0.0
) -> Float[np.ndarray, "T"]:
    """How far an edit is in effect: 0 outside its span, 1 inside, smooth over `ease` seconds at both ends.

    An end at the clip's own start or end has no ramp, for there is nothing to go over from.

    Args:
        frames: Length of the clip, frames.
        fps: Frames per second.
        start: First moment, seconds; None is the start of the clip.
        stop: Last moment, seconds, itself included; None is the end of the clip.
        ease: Length of a ramp, seconds; half the span at most.

    Returns:
        Weights in [0, 1], (T,).

    Raises:
        InputError: If the span is empty, or begins after the clip.

    Example:
        >>> envelope(6, 1.0, 1.0, 3.0).tolist()
        [0.0, 1.0, 1.0, 1.0, 0.0, 0.0]
    """
    last = (frames - 1) / fps
    begin, end = 0.0 if start is None else start, last if stop is None else stop
    if begin > last + 1e-9 or end < begin or ease < 0:
        raise InputError(
            f"from {begin:g} s to {end:g} s, eased over {ease:g} s, in a clip of {last:g} s",
            field="span",
            fix="Begin inside the clip and end after that",
        )
    times = np.arange(frames) / fps
    inside = (times >= begin - 1e-9) & (times <= end + 1e-9)
    ramp = min(ease, (end - begin) / 2)
    if ramp < 1e-6:
        return inside.astype(np.float64)
    rise = np.ones(frames) if start is None else np.clip((times - begin) / ramp, 0, 1)
    fall = np.ones(frames) if stop is None else np.clip((end - times) / ramp, 0, 1)
    level = np.minimum(rise, fall)
    return inside * level**2 * (3 - 2 * level)


def edit(
    track: Track,
    model: FlameModel,
    settings: Sequence[Setting],
    *,
    editor: RegionEditor | None = None,
    shape: Float[AnyArray, "S"] | None = None,
) -> Edited:
    """Apply settings to a clip. Frames outside every span stay as they are, to the bit.

    Args:
        track: The clip.
        model: The head that it was made on.
        settings: In any order: gains of one region multiply, amounts add up.
        editor: The head's region editor; None builds it where a region is named.
        shape: Shape coefficients of the identity, for the directions that close its eyes.

    Raises:
        InputError: If a name is unknown, a gain lies outside 0 to 5, a value is not finite or a span is empty.
    """
    if editor is None:
        editor = RegionEditor.for_model(model)
    frames, rate = len(track), float(track.fps)
    known = {WHOLE, *editor.names}
    gains = np.ones((frames, len(editor.names)))
    added = np.zeros((frames, EXPRESSIONS))
    turns: dict[str, np.ndarray] = {}
    for each in settings:
        level = envelope(frames, rate, each.start, each.stop, each.ease)
        if not np.isfinite(each.value):
            raise InputError(f"is {each.value}", field=each.name, fix="Give a finite number")
        if each.name in known:
            if not 0 <= each.value <= MOST:
                raise InputError(
                    f"is {each.value:g}", field=each.name, fix=f"Use a gain of 0 to {MOST:g}; 1 changes nothing"
                )
            columns = slice(None) if each.name == WHOLE else [editor.names.index(each.name)]
            gains[:, columns] *= (1 + level * (each.value - 1))[:, None]
        elif each.name in TURNS:
            turns[each.name] = turns.get(each.name, np.zeros(frames)) + level * each.value
        else:
            added += level[:, None] * each.value * direction(model, each.name, editor.names, shape)
    exact = _slid(_turned(track, turns), added)
    changed = np.any(gains != 1, axis=1)
    if not changed.any():
        return Edited(exact, exact, None, (0.0, 0.0))
    return _regional(track, exact, model, editor, gains, changed)


def direction(
    model: FlameModel, name: str, regions: Sequence[str] = (), shape: Float[AnyArray, "S"] | None = None
) -> Float[np.ndarray, "100"]:
    """The coefficients that a slider adds at amount 1: one of the built-in head's controls, closing lids, or a column.

    Args:
        model: The head.
        name: "blink", "blink_left", "blink_right", "expression_12", or a name of `gagjax.flame.CONTROLS`.
        regions: The head's regions, for the message.
        shape: Shape coefficients of the identity.

    Raises:
        InputError: If the head has no such slider.
    """
    column = name.removeprefix("expression_")
    if column != name and column.isdecimal() and len(column) < 4 and int(column) < EXPRESSIONS:
        return np.eye(EXPRESSIONS)[int(column)]
    if is_builtin(model) and name in CONTROLS:
        return np.eye(EXPRESSIONS)[CONTROLS[name]]
    if name in ("blink", "blink_left", "blink_right"):
        both = np.asarray(Openings.for_model(model, shape).directions, np.float64)
        return both.sum(0) if name == "blink" else both[int(name == "blink_right")]
    kinds = names_for(model, regions)
    raise InputError(
        "is nothing that can be set",
        field=name,
        fix="There are " + "; ".join(f"{kind}: {', '.join(names)}" for kind, names in kinds.items()),
    )


def _slid(track: Track, added: np.ndarray) -> Track:
    moved = np.any(added != 0, axis=1)
    expression = np.array(track.expression, np.float32)
    expression[moved] += added[moved].astype(np.float32)
    return dataclasses.replace(track, expression=expression)


def _turned(track: Track, turns: Mapping[str, np.ndarray]) -> Track:
    """Eyes and jaw turned further: the added rotation acts after the tracked one, about the head's axes."""
    if not turns:
        return track
    none = np.zeros(len(track))
    eyes = np.array(track.eyes, np.float32)
    for k, side in enumerate(("left", "right")):
        pitch = turns.get(f"{side}_eye_pitch", none) + turns.get("eyes_pitch", none)
        yaw = turns.get(f"{side}_eye_yaw", none) + turns.get("eyes_yaw", none)
        # A positive rotation about x looks down.
        eyes[:, 3 * k : 3 * k + 3] = _after(eyes[:, 3 * k : 3 * k + 3], np.stack([-pitch, yaw, none], 1))
    jaw = _after(np.array(track.jaw, np.float32), np.stack([turns.get("jaw_open", none), none, none], 1))
    return dataclasses.replace(track, eyes=eyes, jaw=jaw)


def _after(rotations: np.ndarray, more: np.ndarray) -> np.ndarray:
    moved = np.any(more != 0, axis=1)
    if moved.any():
        both = so3.exp(jnp.asarray(more[moved], jnp.float32)) @ so3.exp(jnp.asarray(rotations[moved]))
        rotations[moved] = np.asarray(so3.log(both))
    return rotations


def _regional(
    track: Track, exact: Track, model: FlameModel, editor: RegionEditor, gains: np.ndarray, changed: np.ndarray
) -> Edited:
    """The regions' gains on the deviation from the clip's neutral face, in both forms."""
    rest = np.asarray(neutral(track.expression, track.valid), np.float64)
    deviation = np.asarray(exact.expression, np.float64) - rest
    basis = np.asarray(model.expression_basis, np.float64)
    weights, maps = np.asarray(editor.weights, np.float64), np.asarray(editor.maps, np.float64)
    offsets = np.zeros((len(track), *basis.shape[:2]), np.float32)
    expression = np.array(exact.expression, np.float32)
    total, largest = 0.0, 0.0
    for t in np.flatnonzero(changed):
        offsets[t] = ((gains[t] - 1) @ weights)[:, None] * (basis @ deviation[t])
        change = np.tensordot(gains[t] - 1, maps, 1) @ deviation[t]
        expression[t] += change.astype(np.float32)
        apart = np.linalg.norm(basis @ change - offsets[t], axis=1)
        total, largest = total + apart.mean(), max(largest, apart.max())
    track = dataclasses.replace(exact, expression=expression)
    return Edited(track, exact, offsets, (1e3 * total / changed.sum(), 1e3 * largest))
