"""Load a portrait: its image, tracked camera and FLAME shape."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from bridge.gagavatar.identity import FORMAT, Identity
from bridge.gagavatar.model import GAGAvatar
from gagjax.errors import InputError
from gagjax.io import tracks
from gagjax.io.tracks import Portrait
from gagjax.io.untrusted import checkpoints

LISTED = 10
IMAGES = (".png", ".jpg", ".jpeg", ".webp")


def identity(
    network: GAGAvatar, path: str | Path, *, name: str | None = None, image: str | Path | None = None
) -> Identity:
    """The identity of a portrait: loaded if saved, otherwise encoded.

    Args:
        network: The encoder.
        path: A saved identity, `tracked.pt`, or the folder or `optim.pkl` of a tracking result.
        name: The entry to use; required if there are several.
        image: The tracker's crop (square, black outside the head). By default the tracking result's own, else the
            frame of that name in `img_lmdb` beside it, else an image file of that name there.

    Raises:
        InputError: If there is no such portrait, it has no image, or the saved identity is for another network.
    """
    path = Path(path)
    if (
        path.suffix.lower() == ".npz"
        and "meta" in (saved := checkpoints.load_npz(path))
        and FORMAT in str(saved["meta"])
    ):
        found = Identity.load(path, network.device)
        if found.vertices != network.config.vertices or found.features.shape[-1] != network.config.features:
            raise InputError(f"has {found.vertices} vertices, the network {network.config.vertices}", file=path)
        return found
    portrait = pick(path, name)
    picture = _read_crop(image) if image is not None else portrait.image
    if picture is None:
        picture = _beside(path if path.is_dir() else path.parent, portrait)
    if picture is None:
        raise InputError(
            "holds the tracking but not the picture",
            file=path,
            fix="Put the tracker's crop beside it, under the name of the entry, or pass it as well",
        )
    shape = portrait.track.shape
    return network.encode(picture, portrait.track.transform[0], None if shape is None else np.ravel(shape))


def pick(path: str | Path, name: str | None = None) -> Portrait:
    """One entry of a tracking result.

    Args:
        path: `tracked.pt`, or the folder or `optim.pkl` of an image's tracking.
        name: The entry's name, with or without its suffix; optional if there is only one.

    Raises:
        InputError: If it does not exist, or there are several entries and none is named.
    """
    found = tracks.load_portraits(path)
    listed = ", ".join(sorted(found)[:LISTED]) + (f" and {len(found) - LISTED} more" if len(found) > LISTED else "")
    if name is None:
        if len(found) > 1:
            raise InputError(f"holds {len(found)} portraits", file=path, fix=f"Name one of: {listed}")
        return next(iter(found.values()))
    matches = [key for key in found if name in (key, Path(key).stem)]
    if len(matches) != 1:
        raise InputError(f"holds no portrait {name!r}", file=path, fix=f"It has: {listed}")
    return found[matches[0]]


def _beside(folder: Path, portrait: Portrait) -> np.ndarray | None:
    """An image beside its tracking result: in the tracker's frame database, or as a file with the entry's name."""
    (name,) = portrait.track.names or ("",)
    from gagjax.io import folders

    if folders.inner(folder, "img_lmdb") is not None:
        from gagjax.io.frame_database import FrameDatabase

        with FrameDatabase(folder) as frames:
            return frames.get(name)
    stem = Path(name).stem
    # The name is untrusted: refuse paths that lead out of the folder.
    found = (file for file in (name, *(stem + suffix for suffix in IMAGES)) if file == Path(file).name)
    return next((_read_crop(folder / file) for file in found if folders.has(folder, file)), None)


def _read_crop(path: str | Path) -> np.ndarray:
    from gagjax.io import images

    picture = images.read(path)
    if picture.shape[0] != picture.shape[1]:
        raise InputError(
            f"is {picture.shape[1]}x{picture.shape[0]}; the tracker's crops are square",
            file=path,
            fix="Pass the crop that the tracker made, black outside the head, not the photograph",
        )
    return picture
