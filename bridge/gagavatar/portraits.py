"""Finding a portrait: its picture, the camera that the tracker found for it, and its FLAME shape."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from bridge.gagavatar.identity import FORMAT, Identity
from bridge.gagavatar.model import GAGAvatar
from gagjax.errors import InputError
from gagjax.io import checkpoints, tracks
from gagjax.io.tracks import Portrait

LISTED = 10


def identity(
    network: GAGAvatar, path: str | Path, *, name: str | None = None, image: str | Path | None = None
) -> Identity:
    """The identity of a portrait: read if it was saved, encoded otherwise.

    Args:
        network: Encodes it.
        path: A saved identity, `tracked.pt`, or the folder or `optim.pkl` of an image's tracking.
        name: Which entry; needed where there are several.
        image: The tracker's crop (512x512, black outside the head), where the tracking result does not hold it.

    Raises:
        InputError: If there is no such portrait, it has no picture, or the saved identity is for another network.
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
    picture = portrait.image if image is None else _read_image(image)
    if picture is None:
        raise InputError(
            "holds the tracking but not the picture", file=path, fix="Pass the tracker's crop of the portrait as well"
        )
    shape = portrait.track.shape
    return network.encode(picture, portrait.track.transform[0], None if shape is None else np.ravel(shape))


def pick(path: str | Path, name: str | None = None) -> Portrait:
    """One entry of a tracking result.

    Args:
        path: `tracked.pt`, or the folder or `optim.pkl` of an image's tracking.
        name: The entry's name, with or without its suffix; may be left out where there is one only.

    Raises:
        InputError: If it is not there, or several are and none is named.
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


def _read_image(path: str | Path) -> np.ndarray:
    from gagjax.io import images

    return np.asarray(images.read(path))
