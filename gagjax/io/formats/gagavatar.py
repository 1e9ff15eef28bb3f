"""GAGAvatar_track's records: `optim.pkl`, `smoothed.pkl`, `tracked.pt`.

A file maps a frame key `<video>_<number>` (or the name of an image) to `expcode` (100), `posecode` (6: global
rotation, jaw), `eyecode` (6), `transform_matrix` (3, 4), `shapecode` (300), `bbox` (4) and, for single images,
`image` (3, H, W).
"""

from __future__ import annotations

import dataclasses
import itertools
import re
import warnings
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from gagjax.camera import like_gagavatar
from gagjax.errors import InputError
from gagjax.head_pose import folded
from gagjax.io.formats import fields, pickling
from gagjax.track import Track

#: A key's video and frame number.
_KEY = re.compile(r"(?P<video>.*)_(?P<number>\d{1,12})")
#: Frames that gaps may add, beyond ten for each frame that is there.
GAP_LIMIT = 3000
NEEDED = ("expcode", "posecode", "eyecode", "transform_matrix")


class Portrait(NamedTuple):
    """One tracked image.

    Attributes:
        track: Its one frame.
        image: (H, W, 3) float32 in [0, 1], head crop on black, or None where the file holds none.
    """

    track: Track
    image: Float[np.ndarray, "H W 3"] | None


def is_records(content: Any) -> bool:
    """Whether a file's content looks like this format: a dict of dicts with at least one of its fields."""
    return isinstance(content, Mapping) and any(
        isinstance(record, Mapping) and any(key in record for key in (*NEEDED, "shapecode"))
        for record in content.values()
    )


def read(content: Mapping[Any, Any], file: Path, source: str, fps: Fraction = Fraction(25)) -> Track:
    """The records as one track: sorted by frame number, gaps in the numbers filled by invalid frames.

    Args:
        content: The file's dict.
        file: For messages.
        source: Goes into the track.
        fps: The format holds no frame rate.

    Returns:
        The track. A missing frame repeats the one before it, with `valid` False. `extra` holds `bbox`, and
        `global_rotation` if a tracker has put one into `posecode`.

    Raises:
        InputError: If a field is missing or has a wrong shape, or two keys have one number.
    """
    keys, numbers = _order([str(key) for key in content], file)
    by_name = {str(key): record for key, record in content.items()}
    records = [by_name[key] for key in keys]

    def stack(key: str, *shape: int) -> np.ndarray:
        return fields.stacked(records, key, shape, file, keys)

    pose = stack("posecode", 6)
    extra = {}
    if any("bbox" in record for record in records):
        extra["bbox"] = stack("bbox", 4)
    if pose[:, :3].any():
        extra["global_rotation"] = pose[:, :3]
    shape = None
    if any("shapecode" in record for record in records):
        shape = stack("shapecode", 300)
        shape = shape[0] if (shape == shape[0]).all() else shape
    track = Track(
        stack("expcode", 100),
        pose[:, 3:],
        stack("eyecode", 6),
        stack("transform_matrix", 3, 4),
        shape=shape,
        extra=extra,
        fps=fps,
        names=keys,
        source=source,
    )
    return track if numbers is None else _with_gaps(track, numbers, file)


def read_portraits(content: Mapping[Any, Any], file: Path) -> dict[str, Portrait]:
    """Each record as a portrait, by its name.

    Raises:
        InputError: If a field is missing or has a wrong shape.
    """
    portraits = {}
    for name, record in content.items():
        track = read({name: record}, file, "gagavatar-portraits")
        image = record.get("image")
        if image is not None:
            image = np.asarray(image)
            if image.ndim != 3 or image.shape[0] != 3 or image.dtype.kind not in "fiu":
                raise InputError(f"has shape {image.shape}, expected (3, H, W)", file=file, field=f"{name}.image")
            scale = 255.0 if image.dtype.kind in "iu" else 1.0
            image = np.ascontiguousarray(image.transpose(1, 2, 0) / np.float32(scale), np.float32)
        portraits[str(name)] = Portrait(track, image)
    return portraits


def write(track: Track, path: Path, *, fill_gaps: bool = False) -> None:
    """The records of a track in the layout of `smoothed.pkl`, for the original's own inference.

    Args:
        track: The track; where it has no shape or boxes, zeros and the whole image stand for them.
        path: The file to write.
        fill_gaps: Write the frames marked invalid as well.

    Raises:
        InputError: If nothing is left to write, or two frames have one name.
    """
    kept = np.flatnonzero(np.asarray(track.valid) | fill_gaps)
    if kept.size == 0:
        raise InputError("has no valid frame to write", file=path)
    frames = len(track)
    names = track.names
    if names is None or not all(_KEY.fullmatch(name) for name in names):
        names = tuple(f"video_{i}" for i in range(frames))
    if len(set(names)) != frames:
        raise InputError("two frames have one name", file=path, field="names")
    jaw = _float32(track.jaw)
    if not track.source.startswith("gagavatar"):
        # To GAGAvatar head motion is camera motion, seen through its own lens.
        track = folded(track)
        track = dataclasses.replace(
            track, transform=like_gagavatar(np.asarray(track.transform), track.intrinsics), intrinsics=None
        )
    columns = {
        "bbox": _float32(track.extra.get("bbox", np.tile([0.0, 0.0, 1.0, 1.0], (frames, 1)))),
        "shapecode": np.broadcast_to(_float32(np.zeros(300) if track.shape is None else track.shape), (frames, 300)),
        "expcode": _float32(track.expression),
        "posecode": np.concatenate([_float32(track.extra.get("global_rotation", np.zeros_like(jaw))), jaw], 1),
        "eyecode": _float32(track.eyes),
        "transform_matrix": _float32(track.transform),
    }
    records = {names[i]: {key: np.array(value[i]) for key, value in columns.items()} for i in kept}
    path.write_bytes(pickling.dumps(records))


def _float32(value: Any) -> np.ndarray:
    return np.asarray(value, np.float32)


def _order(keys: list[str], file: Path) -> tuple[list[str], list[int] | None]:
    """The keys in time order, and their frame numbers where they count the frames of one video."""
    if not keys:
        raise InputError("has no frames", file=file, fix="Track the video again")
    matches = {key: _KEY.fullmatch(key) for key in keys}
    if not all(matches.values()):
        return sorted(keys, key=_natural), None
    parts = {key: (match["video"], int(match["number"])) for key, match in matches.items() if match}
    ordered = sorted(keys, key=lambda key: (parts[key][1], parts[key][0]))
    videos = {video for video, _ in parts.values()}
    if len(videos) > 1:
        warnings.warn(
            f"{file}: holds frames of {len(videos)} videos; they are put in order of their numbers, as GAGAvatar "
            "does, but are not one sequence in time",
            stacklevel=2,
        )
        return ordered, None
    numbers = [parts[key][1] for key in ordered]
    if len(set(numbers)) != len(numbers):
        twice = next(a for a, b in itertools.pairwise(numbers) if a == b)
        raise InputError(f"has two keys for frame {twice}", file=file)
    return ordered, numbers


def _natural(text: str) -> list[Any]:
    return [(1, int(part)) if part.isdigit() else (0, part) for part in re.split(r"(\d+)", text)]


def _with_gaps(track: Track, numbers: list[int], file: Path) -> Track:
    first, frames = numbers[0], numbers[-1] - numbers[0] + 1
    if frames == len(track):
        return track
    if frames > 10 * len(track) + GAP_LIMIT:
        raise InputError(
            f"its {len(track)} frames are numbered from {first} to {numbers[-1]}",
            file=file,
            fix="Split it where the numbers jump, or number the frames anew",
        )
    places = np.array(numbers) - first
    valid = np.zeros(frames, bool)
    valid[places] = True
    before = np.cumsum(valid) - 1  # index of the last frame that is there
    assert track.names is not None
    video = track.names[0].rpartition("_")[0]
    names = [f"{video}_{first + i}" for i in range(frames)]
    for place, name in zip(places, track.names, strict=True):
        names[place] = name
    return fields.at_frames(track, before, valid, names)
