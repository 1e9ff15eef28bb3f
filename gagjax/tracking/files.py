"""What tracking writes: gagjax's `.npz` with landmarks, GAGAvatar's folder, its `tracked.pt` of one picture."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8

from gagjax.errors import InputError
from gagjax.io import atomic, frame_database
from gagjax.io.cropping import CROP
from gagjax.io.formats import gagavatar, native, pickling
from gagjax.io.untrusted.checkpoints import load_npz
from gagjax.track import Track
from gagjax.tracking.camera import Crop
from gagjax.tracking.clip import TrackedClip
from gagjax.tracking.faces.regions import Region, cut
from gagjax.tracking.sources import Source

SIZE = 512  # of GAGAvatar's pictures
KEY_FILE = "tracked_from.json"


def kind_of(out: Path, source: Source) -> str:
    """What an output name stands for: "npz", "folder" or "portrait".

    Raises:
        InputError: If the suffix is none that tracking writes.
    """
    suffix = out.suffix.lower()
    if suffix == ".npz":
        return "npz"
    if suffix == ".pt":
        if source.kind != "picture":
            raise InputError("tracked.pt holds one picture", file=out, fix="Use .npz or a folder for a film")
        return "portrait"
    if suffix == "":
        return "folder"
    raise InputError(f"is no track file name ({suffix})", file=out, fix="Use .npz, .pt for a picture, or a folder")


def write(
    clip: TrackedClip,
    landmarks: Float[np.ndarray, "T 478 3"],
    source: Source,
    out: Path,
    *,
    made_from: Mapping[str, object] | None = None,
    force: bool = False,
) -> None:
    """Write a tracked clip; the suffix chooses the format.

    Args:
        clip: The track and its shots.
        landmarks: Pixels; kept in `.npz`.
        source: What was tracked; its frames are read again for a folder or a portrait.
        out: `.npz`, `.pt` for a picture, or a folder.
        made_from: What tells whether a kept track is still that of its film (see `key_of`); kept in `.npz`.
        force: Replace an existing output.

    Raises:
        InputError: If it exists, or nothing valid is there to write.
    """
    kind = kind_of(out, source)
    if kind == "folder":
        write_folder(clip.track, clip.crops, source, out, force=force)
        return
    with atomic.output(out, force) as temporary:
        if kind == "npz":
            native.write(clip.filmed, temporary)
            _append(temporary, clip, landmarks, made_from or {})
        else:
            _write_portrait(clip, source, temporary)


def write_folder(
    track: Track,
    crops: Float[np.ndarray, "T 3"],
    source: Source,
    out: Path,
    *,
    made_from: Mapping[str, object] | None = None,
    force: bool = False,
) -> None:
    """Write GAGAvatar's folder: `optim.pkl` of the valid frames, and the pictures of all frames that have a crop.

    Args:
        track: The track in GAGAvatar's camera and each frame's crop.
        crops: Corner x, y and side, pixels; NaN where a frame has none.
        source: The frames.
        out: The folder.
        made_from: As for `write`; kept in the folder as `tracked_from.json` where it is given.
        force: Replace what is there.

    Raises:
        InputError: If it exists, or no frame is valid.
    """
    with atomic.output(out, force, folder=True) as temporary:
        gagavatar.write(track, temporary / "optim.pkl")
        frame_database.write(temporary / "img_lmdb", _crops(track, crops, source))
        if made_from is not None:
            (temporary / KEY_FILE).write_text(json.dumps(made_from), "utf-8")


def key_of(path: str | Path) -> dict[str, object] | None:
    """What a track was made from, as `write` kept it: an `.npz`, or a folder.

    Args:
        path: The file or folder.

    Returns:
        The mapping that was passed as `made_from`; None where nothing of the kind is there.
    """
    path = Path(path)
    try:
        if path.is_dir():
            found = json.loads((path / KEY_FILE).read_text("utf-8"))
        else:
            found = json.loads(str(load_npz(path)["tracking.source"]))
    except (InputError, OSError, KeyError, ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) and found else None


def _append(path: Path, clip: TrackedClip, landmarks: np.ndarray, made_from: Mapping[str, object]) -> None:
    """The landmarks, crops and shots, after the track's own arrays; readers of tracks pass over them."""
    shots = [{"start": shot.start, "stop": shot.stop, "face": shot.camera is not None} for shot in clip.shots]
    arrays = {
        "tracking.landmarks": landmarks,
        "tracking.residual": clip.residual.astype(np.float32),
        CROP: clip.crops,
        "tracking.shots": np.array(json.dumps(shots)),
        "tracking.source": np.array(json.dumps(made_from)),
    }
    with zipfile.ZipFile(path, "a", zipfile.ZIP_STORED) as archive:
        for name, value in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                np.lib.format.write_array(file, np.asanyarray(value), allow_pickle=False)


def _crops(track: Track, crops: np.ndarray, source: Source) -> Iterator[tuple[str, UInt8[np.ndarray, "512 512 3"]]]:
    names = track.names or tuple(f"video_{i}" for i in range(len(track)))
    for name, crop, picture in zip(names, crops, source.frames(), strict=False):
        if np.isfinite(crop).all():
            yield name, cropped(picture, Crop(*(float(value) for value in crop)))


def cropped(picture: UInt8[np.ndarray, "H W 3"], crop: Crop, size: int = SIZE) -> UInt8[np.ndarray, "size size 3"]:
    """A crop's pixels at one size; black beyond the picture."""
    half = crop.side / 2
    return cut(picture, Region(crop.x + half, crop.y + half, crop.side, 0.0), size)


def _write_portrait(clip: TrackedClip, source: Source, path: Path) -> None:
    from gagjax.tracking.matte import matte

    crop = clip.shots[0].crop
    if crop is None or not np.asarray(clip.track.valid)[0]:
        raise InputError("no face was found that fits", file=source.path, fix="Pass a picture of one upright face")
    picture = next(source.frames())
    person = cropped(np.repeat((matte(picture) * 255).astype(np.uint8)[..., None], 3, 2), crop)[..., :1] / np.float32(
        255
    )
    image = cropped(picture, crop) / np.float32(255) * person
    track = clip.track
    record = {
        "bbox": np.asarray(track.extra["bbox"])[0],
        "shapecode": np.asarray(track.shape),
        "expcode": np.asarray(track.expression)[0],
        "posecode": np.concatenate([np.zeros(3, np.float32), np.asarray(track.jaw)[0]]),
        "eyecode": np.asarray(track.eyes)[0],
        "transform_matrix": np.asarray(track.transform)[0],
        "image": np.ascontiguousarray(image.transpose(2, 0, 1), np.float32),
    }
    record = {key: np.asarray(value, np.float32) for key, value in record.items()}
    # A torch archive whose pickle holds NumPy arrays alone, as GAGAvatar's tracker saves it.
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("tracked/data.pkl", pickling.dumps({source.path.name: record}))
        archive.writestr("tracked/byteorder", "little")
        archive.writestr("tracked/version", "3\n")
