"""A tracked clip: frames, track and background."""

from __future__ import annotations

import dataclasses
import warnings
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8

from gagjax.avatars.personal.cameras import reading
from gagjax.avatars.personal.cameras.rig import Rig
from gagjax.errors import InputError
from gagjax.io import suffixes
from gagjax.track import Track
from gagjax.typing import FrameRate


@dataclasses.dataclass(frozen=True)
class FilmedClip:
    """Frames with a track.

    Args:
        frames: Square, (N, S, S, 3): one per frame of the track, or with many cameras one per frame and camera.
        track: One entry per frame in time, seen by the first camera.
        background: Colour behind the head in [0, 1], (3,), or one per camera, (C, 3).
        masks: The person's coverage in [0, 255], (N, S, S), or None.
        rig: The cameras, and which frame and camera each picture is; None for one camera.
    """

    frames: UInt8[np.ndarray, "N S S 3"]
    track: Track
    background: Float[np.ndarray, "3"] | Float[np.ndarray, "C 3"]
    masks: UInt8[np.ndarray, "N S S"] | None = None
    rig: Rig | None = None

    @property
    def size(self) -> int:
        """Width and height of the frames."""
        return self.frames.shape[1]

    @property
    def cameras(self) -> int:
        """Number of cameras."""
        return 1 if self.rig is None else len(self.rig)

    def __len__(self) -> int:
        return len(self.track)


def read(folder: str | Path, size: int = 128, *, fps: FrameRate | None = None) -> FilmedClip:
    """A clip from a folder.

    The folder holds a track (`track.npz`, or the output of GAGAvatar_track or VHAP) and the frames it was estimated
    from: a database `img_lmdb`, a folder `frames` or `images` of image files in track order, or one video. An optional
    folder `masks` holds grey images. Frames must be square, as cropped by trackers. For folders of several cameras see
    `gagjax.avatars.personal.cameras.reading`.

    Args:
        folder: The folder.
        size: Frames are resized to this size.
        fps: Frame rate, if the track has none.

    Raises:
        InputError: If there is no track, there are no frames, or they do not match.
    """
    from gagjax.io.tracks import load_track

    folder = Path(folder)
    if not folder.is_dir():
        raise InputError("is no folder", file=folder, fix="Pass a folder with frames/ and track.npz")
    own = folder / "track.npz"
    many = reading.is_rig(folder)
    with warnings.catch_warnings():
        if many:  # the first camera is the track's, and the others are read here
            warnings.filterwarnings("ignore", message=".* cameras; number .* is used")
        track = load_track(own if own.is_file() else folder, fps=fps).validate(str(folder))
    if many:
        pictures, mattes, rig = reading.pictures(folder, track, size)
        each = [np.flatnonzero(np.asarray(rig.camera) == c) for c in range(len(rig))]
        colours = [behind(pictures[i], None if mattes is None else mattes[i]) for i in each]
        return FilmedClip(pictures, track, np.stack(colours), mattes, rig)
    frames = _pictures(folder, track, size)
    if len(frames) != len(track):
        raise InputError(
            f"holds {len(frames)} pictures for a track of {len(track)} frames", file=folder, fix="One picture a frame"
        )
    masks = None
    if (folder / "masks").is_dir():
        masks = _images(folder / "masks", size)[..., 0]
        if len(masks) != len(track):
            raise InputError(f"holds {len(masks)} masks for {len(track)} frames", file=folder / "masks")
    return FilmedClip(frames, track, behind(frames, masks), masks)


def behind(frames: UInt8[np.ndarray, "T S S 3"], masks: UInt8[np.ndarray, "T S S"] | None) -> Float[np.ndarray, "3"]:
    """The background colour: the median outside the masks, or else of the two upper corners."""
    corner = max(frames.shape[1] // 10, 1)
    if masks is not None and (masks < 8).any():
        pixels = frames[masks < 8]
    else:
        pixels = np.concatenate([frames[:, :corner, :corner], frames[:, :corner, -corner:]]).reshape(-1, 3)
    return (np.median(pixels, axis=0) / 255).astype(np.float32)


def _pictures(folder: Path, track: Track, size: int) -> UInt8[np.ndarray, "T S S 3"]:
    from gagjax.io import folders

    if folders.inner(folder, "img_lmdb") is not None and track.names is not None:
        from gagjax.io.frame_database import FrameDatabase

        with FrameDatabase(folder) as database:
            missing = [name for name in track.names if name not in database]
            if missing:
                raise InputError(f"has no picture of frame {missing[0]}", file=folder / "img_lmdb")
            return np.stack([_square(database[name], size, folder) for name in track.names])
    for name in ("frames", "images"):
        if folders.inner(folder, name) is not None:
            return _images(folder / name, size)
    videos = folders.files(folder, suffixes.is_video)
    if len(videos) == 1:
        from gagjax.io import video

        pictures, _ = video.read(videos[0])
        with pictures:
            return np.stack([_square(picture, size, videos[0]) for picture in pictures])
    found = f"{len(videos)} videos" if videos else "none"
    raise InputError(f"has no pictures ({found})", file=folder, fix="Add frames/, images/, img_lmdb/ or one video")


def _images(folder: Path, size: int) -> UInt8[np.ndarray, "T S S 3"]:
    from gagjax.io import folders, images

    files = folders.files(folder, suffixes.is_image)
    if not files:
        raise InputError("holds no pictures", file=folder, fix="Add .png or .jpg files")
    return np.stack([_square(images.read(path), size, path) for path in files])


def _square(picture: UInt8[np.ndarray, "H W 3"], size: int, file: Path) -> UInt8[np.ndarray, "S S 3"]:
    from PIL import Image

    if picture.shape[0] != picture.shape[1]:
        raise InputError(
            f"is {picture.shape[1]} x {picture.shape[0]} pixels, not square", file=file, fix="Crop as the tracker did"
        )
    if len(picture) == size:
        return picture
    return np.asarray(Image.fromarray(picture).resize((size, size), Image.Resampling.BOX))
