"""The avatar that a command drives, behind one interface: GAGAvatar, personal, portrait or built-in."""

from __future__ import annotations

import contextlib
import dataclasses
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import UInt8

import bridge  # noqa: F401  registers gsplat with the rasterizer
from gagjax.errors import InputError
from gagjax.track import SHAPES, Track

if TYPE_CHECKING:
    from gagjax.avatars.portrait.avatar import PortraitAvatar
    from gagjax.flame.model import FlameModel
    from gagjax.protocols import Avatar

BUILTIN_SEEDS = 8  # identities of the built-in head that a saved avatar is looked for on


@dataclasses.dataclass(frozen=True)
class Source:
    """An avatar ready to drive.

    Attributes:
        model: Its FLAME model.
        size: Width and height of its frames, pixels.
        shape: FLAME shape of the identity, (300,).
        described: Description for the user.
        render: Renders a track frame by frame, values in [0, 1].
        rigid_neck: Whether its neck and lens are fixed, as GAGAvatar's are.
        avatar: Its Gaussians by frame, or None where a network makes them (GAGAvatar).
    """

    model: Any
    size: int
    shape: np.ndarray
    described: str
    render: Callable[[Track], Iterator[Any]]
    rigid_neck: bool = False
    avatar: Avatar | None = None

    def seen(self, track: Track) -> Track:
        """The track as this avatar renders it: head at rest, its pose (and a rigid neck's) folded into the camera."""
        from gagjax.camera import like_gagavatar
        from gagjax.conventions import head_pose

        if not self.rigid_neck:
            return head_pose.folded(track, self.model, self.shape)
        track = head_pose.with_neck(track, self.model, self.shape)
        return dataclasses.replace(
            track, transform=like_gagavatar(np.asarray(track.transform), track.intrinsics), intrinsics=None
        )

    def frames(self, track: Track) -> Iterator[UInt8[np.ndarray, "H W 3"]]:
        """Rendered frames of a track as uint8; memory does not grow with its length."""
        from gagjax.app.reports.panels import as_bytes

        for frame in self.render(self.seen(track)):
            yield as_bytes(frame)

    def eye_centres(self, track: Track) -> np.ndarray:
        """Image positions of the eyes, (T, 2, 2) as fractions of the image size, NaN where an eye is not visible."""
        from gagjax.gaze import eye_centres_in_image

        track = self.seen(track)
        if track.intrinsics is not None:
            track = dataclasses.replace(track, intrinsics=track.intrinsics.squared(self.size))
        return np.asarray(eye_centres_in_image(self.model, dataclasses.replace(track, shape=self.shape)))


def open_avatar(
    checkpoint: Path | None,
    flame: Path | None,
    portrait: Path | None,
    *,
    size: int = 512,
    name: str | None = None,
    personal: Path | None = None,
) -> Source:
    """Open the avatar that a command's options select.

    Args:
        checkpoint: `GAGAvatar.pt`, or None for an avatar without a network.
        flame: A FLAME file; required for GAGAvatar.
        portrait: A tracked portrait (`tracked.pt`, a tracking folder, a saved identity), or without a checkpoint also
            a photo.
        size: Frame size of avatars other than GAGAvatar, whose size is fixed.
        name: Name of the portrait, if the file holds several.
        personal: Folder or `.ply` of a saved avatar, instead of a checkpoint and a portrait.

    Raises:
        InputError: If something required is missing or unusable.
    """
    if personal is not None:
        return _personal(personal, flame, size)
    if checkpoint is None and portrait is not None and is_photo(portrait):
        return _from_photo(portrait, flame, size)
    if checkpoint is None:
        return _builtin(portrait, flame, size, name)
    for path, what in ((checkpoint, "checkpoint"), (portrait, "portrait"), (flame, "FLAME file")):
        if path is None:
            fix = {"portrait": "Pass -i tracked.pt", "FLAME file": "Pass --flame FLAME_with_eye.pt"}.get(what, "")
            raise InputError(f"GAGAvatar needs a {what}", fix=fix)
        if not Path(path).exists():
            raise InputError("does not exist", file=path)
    try:
        from bridge.gagavatar import Avatar
    except ImportError as error:
        raise InputError(
            f"cannot be used: {error}", file=checkpoint, fix="pip install 'gagjax[torch]', or leave -r out"
        ) from error
    avatar = Avatar.open(checkpoint, flame, portrait, name=name)
    return Source(
        avatar.model,
        avatar.size,
        np.asarray(avatar.shape),
        f"GAGAvatar ({checkpoint}) of {portrait}",
        avatar.frames,
        rigid_neck=True,
    )


def open_avatars(
    checkpoint: Path | None, flame: Path | None, portrait: Path | None, *, size: int = 512, count: int = 4
) -> list[Source]:
    """Open several avatars for a grid: the first portraits of a file, or identities of the built-in avatar.

    Raises:
        InputError: As for `open_avatar`, or if the file does not hold several portraits.
    """
    if checkpoint is None:
        if portrait is not None:
            raise InputError(
                "cannot be shown in a grid without a checkpoint", file=portrait, fix="Leave -i out, or pass -r"
            )
        from gagjax import avatars

        return [
            _source_of(avatars.builtin(seed), size, f"the built-in avatar, identity {seed}") for seed in range(count)
        ]
    from gagjax.io.tracks import load_portraits

    names = [] if portrait is None else list(load_portraits(portrait))[:count]
    if len(names) < 2:
        raise InputError(
            "holds no two portraits", file=portrait, fix="Pass a tracked.pt with several, or leave --grid out"
        )
    return [open_avatar(checkpoint, flame, portrait, size=size, name=name) for name in names]


def _source_of(avatar: Avatar, size: int, described: str) -> Source:
    from gagjax import avatars

    return Source(
        avatar.model,
        size,
        np.zeros(SHAPES, np.float32),
        described,
        lambda track: avatars.frames(avatar, dataclasses.replace(track, shape=None), size=size),
        avatar=avatar,
    )


def _personal(folder: Path, flame: Path | None, size: int) -> Source:
    from gagjax import avatars
    from gagjax.avatars.personal import files
    from gagjax.avatars.portrait import files as portraits

    head = None
    if flame is not None:
        from gagjax import flame as heads

        head = heads.load(flame)
    if folder.suffix.lower() == ".ply":
        return _source_of(_from_ply(folder, head), size, f"the avatar {folder}")
    if portraits.is_portrait(folder):
        kept = portraits.load(folder, head)
        return _portrait_source(kept.avatar, kept.model, kept.background, size, f"the avatar {folder}")
    saved = files.load(folder, head)
    colour = (float(saved.background[0]), float(saved.background[1]), float(saved.background[2]))
    return Source(
        saved.model,
        size,
        np.zeros(SHAPES, np.float32),
        f"the personal avatar {folder}",
        lambda track: avatars.frames(
            saved.avatar, dataclasses.replace(track, shape=None), size=size, background=colour
        ),
        avatar=saved.avatar,
    )


def _from_ply(file: Path, head: FlameModel | None) -> Avatar:
    """An avatar in a PLY: GaussianAvatars', which needs its FLAME file, or one of `gagjax.avatars.save`."""
    from gagjax import avatars
    from gagjax import flame as heads

    if head is not None:
        return avatars.load(file, head)
    if not file.with_suffix(".binding.npz").exists():
        raise InputError(
            "is bound to the triangles of a FLAME head that is not in it",
            file=file,
            fix="Pass the FLAME file that it was trained with: --flame flame2023.pkl",
        )
    for seed in range(BUILTIN_SEEDS):  # the binding tells the head by a digest
        with contextlib.suppress(InputError):
            return avatars.load(file, heads.builtin(seed))
    return avatars.load(file, heads.builtin())  # says what is wrong


def _portrait_source(avatar: PortraitAvatar, model: FlameModel, background: Any, size: int, described: str) -> Source:
    from gagjax.avatars.portrait import rendering

    return Source(
        model,
        size,
        np.zeros(SHAPES, np.float32),
        described,
        lambda track: rendering.frames(avatar, track, background, size=size),
        avatar=avatar,
    )


def _from_photo(photo: Path, flame: Path | None, size: int) -> Source:
    from gagjax.app.workflows.avatar import make

    made = make(photo, flame=flame)
    why = f"an avatar built from one photo ({photo}), no network"
    return _portrait_source(made.avatar, made.model, made.background, size, why)


def _builtin(portrait: Path | None, flame: Path | None, size: int, name: str | None) -> Source:
    from gagjax import avatars

    if flame is not None:
        raise InputError(
            "the built-in avatar has its own head model",
            file=flame,
            fix="Leave --flame out, or pass a checkpoint with -r",
        )
    shape = None if portrait is None else tracked_shape(portrait, name)
    # A tracked shape is in FLAME's own basis, which the built-in head lacks: it only seeds the choice of an identity.
    seed = 0 if shape is None else zlib.crc32(np.round(shape, 3).astype("<f4").tobytes())
    why = "no checkpoint was given (-r GAGAvatar.pt); it does not look like the portrait"
    return _source_of(avatars.builtin(seed), size, f"the built-in avatar: {why}")


def is_photo(path: Path) -> bool:
    """Whether a path names an image, and not a tracked portrait."""
    return path.is_file() and path.suffix.lower() in (".jpg", ".jpeg", ".png", ".webp", ".bmp")


def tracked_shape(portrait: Path, name: str | None = None) -> np.ndarray | None:
    """The FLAME shape stored in a tracked portrait; None for an image.

    Raises:
        InputError: If it is neither an image nor a tracked portrait.
    """
    if not portrait.exists():
        raise InputError("does not exist", file=portrait)
    if portrait.is_file() and portrait.suffix.lower() in (".jpg", ".jpeg", ".png", ".webp", ".bmp"):
        from gagjax.io import images

        images.read(portrait)
        return None
    from gagjax.io.tracks import load_portraits, load_track

    if portrait.suffix.lower() in (".pt", ".pth"):
        found = load_portraits(portrait)
        if name is None and len(found) > 1:
            raise InputError(
                f"holds {len(found)} portraits",
                file=portrait,
                fix=f"Choose one with --name: {', '.join(list(found)[:5])}",
            )
        track = found[name].track if name in found else next(iter(found.values())).track
    else:
        track = load_track(portrait)
    if track.shape is None:
        return None
    return np.asarray(track.shape).reshape(-1, SHAPES)[0]
