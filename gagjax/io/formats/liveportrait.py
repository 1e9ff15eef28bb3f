"""LivePortrait's motion templates.

`{"n_frames", "output_fps", "motion": [frame, ...], "c_eyes_lst": [(1, 2), ...], "c_lip_lst": [(1, 1), ...]}`, a frame
being `scale` (1, 1), `t` (1, 3), `exp` (1, 21, 3) and a rotation `R` (1, 3, 3) (`R_d` in older files, whose lists are
called `c_d_eyes_lst` and `c_d_lip_lst`). Newer files also hold the keypoints `kp` and `x_s` (1, 21, 3).
"""

from __future__ import annotations

import reprlib
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from gagjax.camera import DISTANCE
from gagjax.errors import InputError
from gagjax.io.formats import fields, pickling
from gagjax.io.formats.origin import Origin, merged, of
from gagjax.track import Track, as_rate

_ROTATIONS = ("R", "R_d")
_FRAME: dict[str, tuple[int, ...]] = {"scale": (1,), "t": (3,), "exp": (21, 3)}
_KEYPOINTS: dict[str, tuple[int, ...]] = {"kp": (21, 3), "x_s": (21, 3)}
_LISTS: dict[str, tuple[int, ...]] = {"c_eyes_lst": (2,), "c_d_eyes_lst": (2,), "c_lip_lst": (1,), "c_d_lip_lst": (1,)}

FIELDS = (*_ROTATIONS, *_FRAME, *_KEYPOINTS, *_LISTS)


def is_template(content: object) -> bool:
    """Whether a file's content looks like this format."""
    return isinstance(content, Mapping) and "motion" in content


def is_from_template(track: Track) -> bool:
    """Whether a track holds the channels of a template."""
    return "R" in track.rotations and all(name in track.extra for name in _FRAME)


def read(content: Mapping[str, Any], file: Path) -> Track:
    """A template as a track.

    LivePortrait's keypoint offsets are not FLAME: they are stored as the extra channel `exp`, with `scale`, `t`, the
    rotation `R` and the eye and lip ratios, while expression, jaw and eyes are zero; `expression.driven` transfers
    lids, lips, position and size to a head. `transform` is a frontal camera at GAGAvatar's distance that shows the
    head's rotation. The template rotates row vectors, `x @ R`, in image axes (x right, y down), assumed right-handed,
    so that depth points away from the viewer.

    Raises:
        InputError: If a field is missing or has a wrong shape, or there is no frame.
    """
    motion = fields.member(content, "motion", file)
    if not isinstance(motion, list | tuple) or not motion:
        raise InputError("has no frames", file=file, field="motion", fix="Make the template again")
    places = [f"motion[{i}]" for i in range(len(motion))]
    key = next((name for name in _ROTATIONS if isinstance(motion[0], Mapping) and name in motion[0]), "R")
    extra = {"R": fields.stacked(motion, key, (3, 3), file, places)}
    for name, shape in {**_FRAME, **_KEYPOINTS}.items():
        if name in _FRAME or name in motion[0]:
            extra[name] = fields.stacked(motion, name, shape, file, places)
    for name, shape in _LISTS.items():
        values = content.get(name)
        if isinstance(values, list | tuple) and values:
            if len(values) != len(motion):
                raise InputError(f"has {len(values)} entries for {len(motion)} frames", file=file, field=name)
            extra[name] = np.stack([fields.numbers(v, shape, file, f"{name}[{i}]") for i, v in enumerate(values)])
    frames = len(motion)
    return Track(
        np.zeros((frames, 100), np.float32),
        np.zeros((frames, 3), np.float32),
        np.zeros((frames, 6), np.float32),
        frontal_camera(extra["R"]),
        extra=extra,
        fps=_rate(content, file),
        rotations=("R",),
        source="liveportrait" if key == "R" else f"liveportrait-{key}",
        origin=Origin("liveportrait", content, np.arange(frames)),
    )


def write(track: Track, path: Path) -> None:
    """Write a track read from a template as a template of the same layout; further content is kept unchanged.

    Raises:
        InputError: If the track lacks a template's channels.
    """
    if not is_from_template(track):
        raise InputError(
            "the track holds no LivePortrait channels",
            file=path,
            fix="Write a folder or .npz; LivePortrait's keypoints cannot be made from FLAME",
        )
    extra = {name: np.asarray(value, np.float32) for name, value in track.extra.items()}
    key = "R_d" if track.source.startswith("liveportrait-R_d") else "R"
    names = {"scale": "scale", key: "R", "exp": "exp", "t": "t"} | {name: name for name in _KEYPOINTS if name in extra}
    if all(name in extra for name in _KEYPOINTS):  # derived from the others, so recomputed
        extra["x_s"] = extra["scale"][:, :, None] * (extra["kp"] @ extra["R"] + extra["exp"]) + extra["t"][:, None]
    origin = of(track, "liveportrait")
    if origin is not None:
        path.write_bytes(pickling.dumps(_changed(origin, track, extra, names, path)))
        return
    motion = [{name: extra[channel][i : i + 1] for name, channel in names.items()} for i in range(len(track))]
    content: dict[str, Any] = {"n_frames": len(track), "output_fps": _number(track.fps), "motion": motion}
    for name in _LISTS:
        if name in extra:
            content[name] = [extra[name][i : i + 1] for i in range(len(track))]
    path.write_bytes(pickling.dumps(content))


def _changed(
    origin: Origin, track: Track, extra: Mapping[str, np.ndarray], names: Mapping[str, str], path: Path
) -> dict[Any, Any]:
    """The track's source template with changed numbers replaced."""
    content = origin.content
    before = read(content, path)
    old = {name: np.asarray(value) for name, value in before.extra.items()}
    motion = []
    for i, k in enumerate(origin.frames):
        if k < 0:
            motion.append({name: extra[channel][i : i + 1] for name, channel in names.items()})
            continue
        frame = dict(content["motion"][k])
        moved = any(not np.array_equal(old[c][k], extra[c][i]) for c in ("scale", "R", "exp", "t", "kp") if c in old)
        for name, channel in names.items():
            if name != "x_s" or moved:
                frame[name] = _put(frame[name], old[channel][k], extra[channel][i])
        motion.append(frame)
    made = {**content, "motion": _like(content["motion"], motion)}
    whole = len(origin.frames) == len(content["motion"]) and (np.diff(origin.frames) == 1).all()
    for name in content:
        if name in _LISTS and name in extra:
            rows = [
                extra[name][i : i + 1] if k < 0 else _put(content[name][k], old[name][k], extra[name][i])
                for i, k in enumerate(origin.frames)
            ]
            made[name] = _like(content[name], rows)
    if not whole and "n_frames" in content:
        made["n_frames"] = len(motion)
    if track.fps != before.fps:
        made["output_fps"] = _number(track.fps)
    return made


def _put(original: Any, read: np.ndarray, new: np.ndarray) -> Any:
    if np.array_equal(read, new):
        return original
    shape = np.shape(original)
    return merged(original, read.reshape(shape), new.reshape(shape))


def _like(original: object, items: list[Any]) -> Any:
    return tuple(items) if isinstance(original, tuple) else items


def _number(rate: Fraction) -> int | float:
    return rate.numerator if rate.denominator == 1 else float(rate)


def frontal_camera(rotation: Float[np.ndarray, "T 3 3"]) -> Float[np.ndarray, "T 3 4"]:
    """The track camera that shows a head with LivePortrait's rotation, relative to the frontal view.

    Args:
        rotation: `x @ R` in image axes: x right, y down, z away from the viewer, (T, 3, 3).

    Returns:
        `[R | t]` of a track, (T, 3, 4).
    """
    # World (x to the subject's left, y up, z to the viewer) to image axes is diag(1, -1, -1) both ways; the frontal
    # camera (x left, y up, z forward) is diag(-1, 1, -1).
    turned = np.diag([1.0, -1.0, -1.0]) @ rotation @ np.diag([-1.0, -1.0, 1.0])
    place = np.broadcast_to([[0.0], [0.0], [DISTANCE]], (len(rotation), 3, 1))
    return np.concatenate([turned, place], 2).astype(np.float32)


def _rate(content: Mapping[str, Any], file: Path) -> Fraction:
    value = content.get("output_fps", 25)
    try:
        return as_rate(value.reshape(())[()] if isinstance(value, np.ndarray) else value)
    except (InputError, ValueError) as error:
        raise InputError(f"{reprlib.repr(value)} is no frame rate", file=file, field="output_fps") from error
