"""ARKit's weights as JSON, in the three forms that are about.

* `arkit`: LAM's Audio2Expression: `names` (52), `metadata.fps`, `frames`, a list of `{"weights": [52 numbers], "time":
  seconds, "rotation": []}`.
* `audio2face`: NVIDIA Audio2Face's export: `facsNames`, `weightMat` (frames x shapes), `exportFps`.
* `mediapipe`: MediaPipe's scores, which it has no file of its own for: a list with an entry a frame, or a dict that holds it as
  `frames` or `results`; an entry is a list of `{"categoryName": name, "score": number}`, a dict with such a list
  (`blendshapes`, `categories`, `faceBlendshapes`, `face_blendshapes`), or a dict of names and scores. The score `_neutral` is
  no shape. An empty entry is a frame without a face.

Source: aigc3d/LAM_Audio2Expression (README); NVIDIA, Audio2Face documentation, "Blendshape export"; Google, MediaPipe
documentation, "Face landmark detection guide".
"""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from gagjax.errors import InputError
from gagjax.expression.arkit.names import MEDIAPIPE_NEUTRAL, NAMES, column_of, columns_of
from gagjax.io.formats import fields
from gagjax.io.formats.arkit import common
from gagjax.io.formats.origin import of
from gagjax.text.printable import quoted
from gagjax.track import Track, as_rate

_HELD = ("blendshapes", "categories", "faceBlendshapes", "face_blendshapes")
_LISTS = ("frames", "results")
_NAMED = ("categoryName", "category_name", "displayName", "name")
_FIX = "Export the weights again"
#: What a JSON file of one of the forms holds.
Json = dict[str, Any] | list[Any]
KINDS = ("arkit", "audio2face", "mediapipe")


def kind_of(content: object) -> str | None:
    """Which of the forms a JSON file's content has; None for another."""
    if isinstance(content, Mapping):
        if "weightMat" in content and "facsNames" in content:
            return "audio2face"
        if "names" in content and "frames" in content:
            return "arkit"
    entries = _entries(content)
    if entries and any(_scores(entry) for entry in entries[:100]):
        return "mediapipe"
    return None


def read(content: Json, file: Path, kind: str) -> Track:
    """The weights as a track; see `gagjax.io.formats.arkit.common.track_of`.

    Args:
        content: What the file holds.
        file: For messages.
        kind: "arkit", "audio2face" or "mediapipe".

    Raises:
        InputError: If a name is there twice, a weight is no number, or there is no frame.
    """
    table = _table(content, file, kind)
    if not len(table.weights):
        raise InputError("has no frames", file=file, fix=_FIX)
    return common.track_of(table.weights, table.rate, kind, content, valid=table.valid)


def write(track: Track, path: Path, kind: str) -> None:
    """A track with the channel `arkit` in one of the forms; a file that it came from changes only where the track does.

    Raises:
        InputError: If it has no such channel.
    """
    weights = common.weights_in(track, path)
    origin = of(track, kind)
    if origin is None:
        made = _fresh(track, weights, kind)
    else:
        made = copy.deepcopy(origin.content)
        _put(made, weights, origin.frames, kind, path)
    path.write_text(json.dumps(made, indent=None if kind == "audio2face" else 1), encoding="utf-8")


def frame_count(content: Json, kind: str) -> int:
    """How many frames a content of one of the forms has."""
    if kind == "mediapipe":
        return len(_entries(content))
    whole: Any = content
    return len(whole["weightMat" if kind == "audio2face" else "frames"])


class _Table(NamedTuple):
    weights: Float[np.ndarray, "T 52"]
    valid: np.ndarray
    rate: Fraction


def _table(content: Json, file: Path, kind: str) -> _Table:
    if kind == "mediapipe":
        return _of_scores(content, file)
    if not isinstance(content, dict):
        raise InputError("is no dict", file=file, fix=_FIX)
    names = fields.member(content, "facsNames" if kind == "audio2face" else "names", file)
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise InputError("is no list of names", file=file, field="names", fix=_FIX)
    places = columns_of(names)
    if kind == "audio2face":
        rows = fields.member(content, "weightMat", file)
        rate = content.get("exportFps", 30)
    else:
        frames = fields.member(content, "frames", file)
        if not isinstance(frames, list):
            raise InputError("is no list", file=file, field="frames", fix=_FIX)
        rows = [fields.member(frame, "weights", file, f"frames[{i}]") for i, frame in enumerate(frames)]
        about = content.get("metadata", {})
        rate = about.get("fps", 30) if isinstance(about, Mapping) else 30
    if not isinstance(rows, list) or not rows:
        raise InputError("has no frames", file=file, field="frames", fix=_FIX)
    table = fields.sequence(rows, (len(names),), file, "weights")
    weights = np.zeros((len(table), len(NAMES)), np.float32)
    weights[:, places[places >= 0]] = table[:, places >= 0]
    return _Table(weights, np.ones(len(table), bool), _rate(rate, file))


def _of_scores(content: Json, file: Path) -> _Table:
    entries = _entries(content)
    weights, valid = np.zeros((len(entries), len(NAMES)), np.float32), np.zeros(len(entries), bool)
    for i, entry in enumerate(entries):
        scores = _scores(entry)
        valid[i] = bool(scores)
        seen: set[int] = set()
        for name, value in scores.items():
            place = column_of(name)
            if place is None:
                continue
            if place in seen:
                raise InputError("is there twice", file=file, field=f"[{i}].{NAMES[place]}", fix=_FIX)
            seen.add(place)
            weights[i, place] = _number(value, file, f"[{i}].{NAMES[place]}")
    rate = content.get("fps", 30) if isinstance(content, Mapping) else 30
    return _Table(weights, valid, _rate(rate, file))


def _entries(content: object) -> list[Any]:
    if isinstance(content, Mapping):
        content = next((content[name] for name in _LISTS if name in content), None)
    return content if isinstance(content, list) else []


def _scores(entry: object) -> dict[str, Any]:
    """Names and scores of one frame; none where there is no face."""
    for _ in range(3):  # {"faceBlendshapes": [{"categories": [...]}]}
        if isinstance(entry, Mapping):
            inner = next((entry[name] for name in _HELD if name in entry), None)
            if inner is None:
                break
            entry = inner
        elif (
            isinstance(entry, list) and len(entry) == 1 and isinstance(entry[0], Mapping | list) and not _name(entry[0])
        ):
            entry = entry[0]
    if isinstance(entry, Mapping):
        return {name: value for name, value in entry.items() if isinstance(name, str) and column_of(name) is not None}
    if isinstance(entry, list):
        named = [(name, each.get("score")) for each in entry if (name := _name(each))]
        return {name: value for name, value in named if column_of(name) is not None or name == MEDIAPIPE_NEUTRAL}
    return {}


def _name(entry: object) -> str:
    if not isinstance(entry, Mapping) or "score" not in entry:
        return ""
    return next((entry[key] for key in _NAMED if isinstance(entry.get(key), str) and entry[key]), "")


def _number(value: object, file: Path, place: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InputError(f"is {quoted(value)}, no number", file=file, field=place, fix=_FIX)
    try:
        return float(value)
    except OverflowError:
        return float("inf")


def _rate(value: object, file: Path) -> Fraction:
    try:
        return as_rate(value)  # type: ignore[arg-type]
    except (InputError, ValueError, TypeError) as error:
        raise InputError(
            f"{quoted(value)} is no frame rate", file=file, field="fps", fix="Say it with --fps"
        ) from error


def _fresh(track: Track, weights: Float[np.ndarray, "T 52"], kind: str) -> Any:
    names, rate = list(NAMES), float(track.fps)
    rows = [[float(f"{value:.7g}") for value in row] for row in weights]
    if kind == "audio2face":
        return {
            "exportFps": rate,
            "numPoses": len(names),
            "numFrames": len(rows),
            "facsNames": names,
            "weightMat": rows,
        }
    if kind == "mediapipe":
        seen = np.asarray(track.valid)
        entries = [
            [{"categoryName": n, "score": v} for n, v in zip(names, row, strict=True)] if seen[i] else []
            for i, row in enumerate(rows)
        ]
        return {"fps": rate, "frames": entries}
    return {
        "names": names,
        "metadata": {"fps": rate, "frame_count": len(rows), "blendshape_names": names},
        "frames": [{"weights": row, "time": i / rate, "rotation": []} for i, row in enumerate(rows)],
    }


def _put(content: Json, weights: Float[np.ndarray, "T 52"], frames: np.ndarray, kind: str, path: Path) -> None:
    """Put the weights that changed into a copy of a file's content, and keep only the frames that are left."""
    was = _table(content, path, kind).weights
    kept = [(i, int(frame)) for i, frame in enumerate(frames) if frame >= 0]
    for i, frame in kept:
        for place in np.flatnonzero(was[frame] != weights[i]):
            _set(content, kind, frame, int(place), float(f"{weights[i, place]:.7g}"))
    if [frame for _, frame in kept] == list(range(len(was))):
        return
    rows = _rows_of(content, kind)
    rows[:] = [rows[frame] for _, frame in kept]
    if kind == "audio2face" and isinstance(content, dict) and "numFrames" in content:
        content["numFrames"] = len(kept)


def _rows_of(content: Json, kind: str) -> list[Any]:
    """The list that has an entry a frame."""
    if isinstance(content, dict):
        name = "weightMat" if kind == "audio2face" else next(name for name in _LISTS if name in content)
        return content[name]
    return content


def _set(content: Json, kind: str, frame: int, place: int, value: float) -> None:
    rows = _rows_of(content, kind)
    if kind != "mediapipe" and isinstance(content, dict):
        names = content["facsNames" if kind == "audio2face" else "names"]
        column = int(np.flatnonzero(columns_of(names) == place)[0]) if (columns_of(names) == place).any() else -1
        row = rows[frame] if kind == "audio2face" else rows[frame]["weights"]
        if column >= 0:
            row[column] = value
        return
    _set_score(rows, frame, place, value)


def _set_score(holder: Json, key: int | str, place: int, value: float) -> None:
    inside: Any = holder
    entry = inside[key]
    if isinstance(entry, dict):
        inner = next((name for name in _HELD if name in entry), None)
        if inner is not None:
            _set_score(entry, inner, place, value)
            return
        for name in entry:
            if column_of(str(name)) == place:
                entry[name] = value
    elif isinstance(entry, list):
        if len(entry) == 1 and not _name(entry[0]):
            _set_score(entry, 0, place, value)
            return
        for each in entry:
            if column_of(_name(each)) == place:
                each["score"] = value
