"""GAGAvatar_track's records: `optim.pkl`, `smoothed.pkl`, `tracked.pt`.

A file maps a frame key `<video>_<number>` (or the name of an image) to `expcode` (100), `posecode` (6: global
rotation, jaw), `eyecode` (6), `transform_matrix` (3, 4), `shapecode` (300), `bbox` (4) and, for single images,
`image` (3, H, W).
"""

from __future__ import annotations

import dataclasses
import itertools
import re
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from gagjax.camera import like_gagavatar
from gagjax.conventions.head_pose import host_folded
from gagjax.errors import InputError
from gagjax.io.cropping import in_crop
from gagjax.io.formats import fields, numbering, pickling, torch_archive
from gagjax.io.formats.origin import Origin, merged, of
from gagjax.track import EXPRESSIONS, SHAPES, Track

#: A key's video and frame number, as written by GAGAvatar_track.
_KEY = re.compile(r"(?P<video>.*)_(?P<number>[0-9]{1,12})")
NAME_LIMIT = 4096  # characters of a frame's name
NEEDED = ("expcode", "posecode", "eyecode", "transform_matrix")
FIELDS = (*NEEDED, "shapecode", "bbox")


class Portrait(NamedTuple):
    """One tracked image.

    Attributes:
        track: Its one frame.
        image: (H, W, 3) float32 in [0, 1], head crop on black, or None if the file has none.
    """

    track: Track
    image: Float[np.ndarray, "H W 3"] | None


def is_records(content: object) -> bool:
    """Whether a file's content looks like this format: a dict of dicts with at least one of its fields."""
    return isinstance(content, Mapping) and any(
        isinstance(record, Mapping) and any(key in record for key in (*NEEDED, "shapecode"))
        for record in content.values()
    )


def is_clip(content: Any) -> bool:
    """Whether records are frames of a video: their keys end in numbers, `clip_0`, `clip_1` and so on."""
    keys = [str(key) for key in frame_keys(content)]
    return len(keys) > 1 and all(_KEY.fullmatch(key) for key in keys)


def frame_keys(content: Mapping[Any, Any]) -> list[Any]:
    """The keys whose records are frames, in file order, without others such as a version or a note."""
    like_frames = {key for key, record in content.items() if isinstance(record, Mapping) and set(record) & set(FIELDS)}
    patterns = {numbering.pattern(str(key)) for key in like_frames}
    # A damaged record among numbered ones is still a frame, and raises an error.
    return [key for key in content if key in like_frames or numbering.pattern(str(key)) in patterns - {None}]


def read(content: Mapping[Any, Any], file: Path, source: str, fps: Fraction = Fraction(25)) -> Track:
    """The records as one track: sorted by frame number, gaps in the numbers filled by invalid frames.

    Args:
        content: The file's dict.
        file: For messages.
        source: `source` of the track.
        fps: Frame rate; the format does not store it.

    Returns:
        The track. A missing frame repeats its predecessor, with `valid` False. `extra` holds `bbox`, and
        `global_rotation` if `posecode` contains one. `origin` keeps the records unmodified.

    Raises:
        InputError: If a field is missing or has a wrong shape, or two keys have the same number.
    """
    originals = frame_keys(content)
    names = _key_texts(originals, file)
    order, numbers = _order(names, file, clip=source != "gagavatar-portraits")
    keys = [names[i] for i in order]
    track = _of_records([content[originals[i]] for i in order], keys, file)
    track = dataclasses.replace(
        track, fps=fps, names=tuple(keys), source=source, origin=Origin("gagavatar", content, order)
    )
    if numbers is not None:
        return _with_gaps(track, numbers, file)
    return track if source == "gagavatar-portraits" else _with_gaps_in_each(track, file)


def _of_records(records: Sequence[Any], keys: Sequence[str], file: Path) -> Track:
    def stack(key: str, *shape: int) -> np.ndarray:
        return fields.stacked(records, key, shape, file, keys)

    expression = fields.stacked_coefficients(records, "expcode", EXPRESSIONS, file, keys)
    pose = stack("posecode", 6)
    extra = {}
    if any("bbox" in record for record in records):
        extra["bbox"] = stack("bbox", 4)
    if pose[:, :3].any():
        extra["global_rotation"] = pose[:, :3]
    shape = None
    if any("shapecode" in record for record in records):
        shape = fields.stacked_coefficients(records, "shapecode", SHAPES, file, keys)
        shape = shape[0] if (shape == shape[0]).all() else shape
    return Track(
        expression, pose[:, 3:], stack("eyecode", 6), stack("transform_matrix", 3, 4), shape=shape, extra=extra
    )


def read_portraits(content: Mapping[Any, Any], file: Path) -> dict[str, Portrait]:
    """Each record as a portrait, by name.

    Raises:
        InputError: If a field is missing or has a wrong shape.
    """
    portraits = {}
    for name, record in zip(_key_texts(list(content), file), content.values(), strict=True):
        track = read({name: record}, file, "gagavatar-portraits")
        image = record.get("image")
        if image is not None:
            image = fields.array(image, file, f"{name}.image")
            if image.ndim != 3 or image.shape[0] != 3 or image.dtype.kind not in "fiu":
                raise InputError(f"has shape {image.shape}, expected (3, H, W)", file=file, field=f"{name}.image")
            scale = 255.0 if image.dtype.kind in "iu" else 1.0
            image = np.ascontiguousarray(image.transpose(1, 2, 0) / np.float32(scale), np.float32)
        portraits[str(name)] = Portrait(track, image)
    return portraits


def write(track: Track, path: Path, *, fill_gaps: bool = False) -> None:
    """Write the records of a track in the layout of `smoothed.pkl`, for the original's inference.

    If the track was read from such records, only modified values are changed: further entries, types, shapes, keys and
    order are kept.

    Args:
        track: The track; where it has no shape or boxes, zeros and the whole image stand for them.
        path: The file to write: a pickle of arrays, or with the suffix .pt a torch file of tensors.
        fill_gaps: Write the frames marked invalid as well.

    Raises:
        InputError: If nothing is left to write, two frames have one name, or a .pt cannot hold what the records hold.
    """
    kept = np.flatnonzero(np.asarray(track.valid) | fill_gaps).tolist()
    if not kept:
        raise InputError("has no valid frame to write", file=path)
    origin = of(track, "gagavatar")
    if origin is None and not track.source.startswith("gagavatar"):
        # To GAGAvatar head motion is camera motion, seen through its own lens.
        track = in_crop(host_folded(track))
        seen = like_gagavatar(np.asarray(track.transform), track.intrinsics)
        track = dataclasses.replace(track, transform=seen, intrinsics=None)
    content = {} if origin is None else origin.content
    originals = [] if origin is None else frame_keys(content)
    frames = np.full(len(track), -1) if origin is None else origin.frames
    columns = _columns(track, filled=origin is None)
    names = _names(track, origin)
    records: dict[Any, Any] = {key: value for key, value in content.items() if key not in set(originals)}
    for i in kept:
        new = {name: np.array(value[i]) for name, value in columns.items()}
        if frames[i] < 0:
            records[names[i]] = _columns(track, filled=True, frame=i)
            continue
        key = originals[frames[i]]
        records[key if str(key) == names[i] else names[i]] = _changed(content[key], new, path)
    if len(records) != len(kept) + len(content) - len(originals):
        raise InputError("two frames have one name", file=path, field="names")
    if (frames[kept] >= 0).all():  # in the order of the file
        place = {key: i for i, key in enumerate(content)}
        records = dict(sorted(records.items(), key=lambda item: place.get(item[0], len(place))))
    if path.suffix.lower() not in (".pt", ".pth"):
        path.write_bytes(pickling.dumps(records))
        return
    try:
        path.write_bytes(torch_archive.dumps(records))
    except TypeError as error:
        raise InputError(
            f"holds {error}, which torch loads only from files that it trusts", file=path, fix="Write a .pkl instead"
        ) from error


def _columns(track: Track, *, filled: bool, frame: int | None = None) -> dict[str, np.ndarray]:
    """The fields by file name, for all frames or one; `filled` adds defaults for those that the track lacks."""
    frames = len(track)
    jaw = _float32(track.jaw)
    columns = {}
    if filled or "bbox" in track.extra:
        columns["bbox"] = _float32(track.extra.get("bbox", np.tile([0.0, 0.0, 1.0, 1.0], (frames, 1))))
    if filled or track.shape is not None:
        shape = _float32(np.zeros(SHAPES) if track.shape is None else track.shape)
        columns["shapecode"] = np.broadcast_to(shape, (frames, SHAPES))
    columns |= {
        "expcode": _float32(track.expression),
        "posecode": np.concatenate([_float32(track.extra.get("global_rotation", np.zeros_like(jaw))), jaw], 1),
        "eyecode": _float32(track.eyes),
        "transform_matrix": _float32(track.transform),
    }
    return columns if frame is None else {name: np.array(value[frame]) for name, value in columns.items()}


def _changed(record: Mapping[Any, Any], new: Mapping[str, np.ndarray], path: Path) -> dict[Any, Any]:
    """A record of the file with updated numbers of one frame."""
    read = _columns(_of_records([record], ["frame"], path), filled=False, frame=0)
    made = {name: merged(record[name], read[name], new[name]) for name in read if name in new}
    return {**record, **made, **{name: value for name, value in new.items() if name not in record}}


def _names(track: Track, origin: Origin | None) -> Sequence[str]:
    """The frames' keys: those of the track if the original can sort them or they come from the file."""
    names = track.names
    if names is not None and (origin is not None or all(_KEY.fullmatch(name) for name in names)):
        return names
    return tuple(f"video_{i}" for i in range(len(track)))


def _float32(value: object) -> np.ndarray:
    return np.asarray(value, np.float32)


def _order(keys: list[str], file: Path, *, clip: bool) -> tuple[np.ndarray, list[int] | None]:
    """The temporal order of the keys, and the frame numbers if they number the frames of one video."""
    if not keys:
        raise InputError("has no frames", file=file, fix="Track the video again")
    matches = [_KEY.fullmatch(key) for key in keys]
    videos = {match["video"] for match in matches if match}
    if all(matches) and len(videos) > 1:
        # Ordered by number, as in GAGAvatar; the names distinguish the videos (`Track.sequences`).
        parts = [(int(match["number"]), match["video"]) for match in matches if match]
        return np.array(sorted(range(len(keys)), key=parts.__getitem__)), None
    if not clip:
        return numbering.natural(keys), None
    return numbering.order(keys, file, strict=all(matches))


def _key_texts(keys: Sequence[Any], file: Path) -> list[str]:
    """The keys of records converted to text.

    Raises:
        InputError: If a key is not a valid name, or two keys have the same text.
    """
    found: dict[str, None] = {}
    for key in keys:
        if not isinstance(key, str | bytes | int | np.integer):
            raise InputError(f"has a {type(key).__name__} as a frame's name", file=file, fix="Names are text")
        name = key.decode("utf-8", "backslashreplace") if isinstance(key, bytes) else str(key)
        if len(name) > NAME_LIMIT:
            raise InputError(f"has a frame name of {len(name)} characters", file=file, fix="Name its frames anew")
        if name in found:
            raise InputError(f"has two frames {name}", file=file, fix="Keys that differ in type alone are one name")
        found[name] = None
    return list(found)


def _with_gaps(track: Track, numbers: list[int], file: Path) -> Track:
    """The track with an invalid frame inserted for every missing number."""
    filled = numbering.filled(numbers, file)
    if filled is None:
        return track
    assert track.names is not None
    names = numbering.names(track.names, numbers)
    origin = track.origin.at(np.where(filled.valid, filled.before, -1))
    return dataclasses.replace(fields.at_frames(track, filled.before, filled.valid, names), origin=origin)


def _with_gaps_in_each(track: Track, file: Path) -> Track:
    """Several videos' frames in order of their numbers, each video's missing numbers filled on their own."""
    sequences = track.sequences
    if len(sequences) < 2:
        return track
    assert track.names is not None
    rows: list[tuple[int, str, int, bool, str]] = []  # number, video, the frame before, valid, name
    for video, places in sequences.items():
        given = [track.names[i] for i in places]
        numbers = [numbering.number(name) or 0 for name in given]
        twice = next((a for a, b in itertools.pairwise(numbers) if a == b), None)
        if twice is not None:
            raise InputError(f"has two keys for frame {twice} of {video}", file=file, fix="Remove one of them")
        whole = numbering.Filled(np.arange(len(numbers)), np.ones(len(numbers), bool))
        before, valid = numbering.filled(numbers, file) or whole
        for i, name in enumerate(numbering.names(given, numbers)):
            rows.append((numbers[0] + i, video, int(places[before[i]]), bool(valid[i]), name))
    if len(rows) == len(track):
        return track
    rows.sort()
    frames, valid = np.array([row[2] for row in rows]), np.array([row[3] for row in rows])
    assert track.origin is not None
    origin = track.origin.at(np.where(valid, frames, -1))
    return dataclasses.replace(fields.at_frames(track, frames, valid, [row[4] for row in rows]), origin=origin)
