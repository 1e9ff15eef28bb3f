"""What tracking writes: gagjax's `.npz` with landmarks, GAGAvatar's folder, its `tracked.pt` of one picture."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8

from gagjax.errors import InputError
from gagjax.io import atomic, frame_database
from gagjax.io.formats import gagavatar, native, pickling
from gagjax.tracking.camera import Crop
from gagjax.tracking.clip import TrackedClip
from gagjax.tracking.faces.regions import Region, cut
from gagjax.tracking.sources import Source

SIZE = 512  # of GAGAvatar's pictures


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
    force: bool = False,
) -> None:
    """Write a tracked clip; the suffix chooses the format.

    Args:
        clip: The track and its shots.
        landmarks: Pixels; kept in `.npz`.
        source: What was tracked; its frames are read again for a folder or a portrait.
        out: `.npz`, `.pt` for a picture, or a folder.
        force: Replace an existing output.

    Raises:
        InputError: If it exists, or nothing valid is there to write.
    """
    kind = kind_of(out, source)
    with atomic.output(out, force, folder=kind == "folder") as temporary:
        if kind == "npz":
            native.write(clip.track, temporary)
            _append(temporary, clip, landmarks)
        elif kind == "folder":
            gagavatar.write(clip.track, temporary / "optim.pkl")
            frame_database.write(temporary / "img_lmdb", _crops(clip, source))
        else:
            _write_portrait(clip, source, temporary)


def _append(path: Path, clip: TrackedClip, landmarks: np.ndarray) -> None:
    """The landmarks and the cameras, after the track's own arrays; readers of tracks pass over them."""
    cameras = [
        {
            "start": shot.start,
            "stop": shot.stop,
            "camera": None if shot.camera is None else shot.camera._asdict(),
            "crop": None if shot.crop is None else shot.crop._asdict(),
        }
        for shot in clip.shots
    ]
    arrays = {
        "tracking.landmarks": landmarks,
        "tracking.residual": clip.residual.astype(np.float32),
        "tracking.transform": np.concatenate([shot.transform for shot in clip.shots]).astype(np.float32),
        "tracking.shots": np.array(json.dumps(cameras)),
    }
    with zipfile.ZipFile(path, "a", zipfile.ZIP_STORED) as archive:
        for name, value in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                np.lib.format.write_array(file, np.asanyarray(value), allow_pickle=False)


def _crops(clip: TrackedClip, source: Source) -> Iterator[tuple[str, UInt8[np.ndarray, "512 512 3"]]]:
    valid, names = np.asarray(clip.track.valid), clip.track.names or ()
    crops = [shot.crop for shot in clip.shots for _ in range(shot.stop - shot.start)]
    for i, picture in enumerate(source.frames()):
        crop = crops[i] if i < len(crops) else None
        if crop is not None and valid[i]:
            yield names[i], cropped(picture, crop)


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
