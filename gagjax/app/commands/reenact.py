"""`gagjax reenact`: drive an avatar with an enhanced track."""

from __future__ import annotations

import glob
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from gagjax.errors import InputError

if TYPE_CHECKING:
    from gagjax.app.workflows.avatar_source import Source
    from gagjax.stack import Stack
    from gagjax.track import Track

CHUNK = 16  # frames rendered and enhanced per call
STILL_SECONDS = 4.0  # duration for which a still image used as driver is shown


@dataclass
class Reenact:
    """Drive an avatar with a tracked performance.

    With a GAGAvatar checkpoint, drives GAGAvatar's avatar of the portrait. Without one, drives an avatar built from the
    photo without a network, or the built-in avatar if there is no photo; the command prints which. The video shows
    source, driver and result side by side if the driver's frames are available, otherwise the result alone.

    examples:
      gagjax reenact -d clip/ -o result.mp4 --enhanced
      gagjax reenact -i photo.jpg -d film.mp4 -o result.mp4
      gagjax reenact -i tracked.pt -d clip/ -r GAGAvatar.pt --flame FLAME_with_eye.pt -o result.mp4 --preset balanced
      gagjax reenact -i portrait.jpg -d clip/ -o result.mp4 --enhanced
      gagjax reenact --avatar avatar/ -d clip/ -o result.mp4 --enhanced
      gagjax reenact --avatar point_cloud.ply --flame flame2023.pkl -d clip/ -o result.mp4
      gagjax reenact -d clip/ -o old.mp4 --preset reference --variant code --set temporal.codes.alpha=.4
      gagjax reenact -d clip/ -o views.mp4 --orbit 40 --still
      gagjax reenact -i tracked.pt -d clip/ -r GAGAvatar.pt --flame FLAME_with_eye.pt -o all.mp4 --grid 6
    """

    driver: Annotated[Path, tyro.conf.arg(aliases=["-d", "--driver-path"])]
    """Driver: a track (any that `gagjax info` names), or a video or image, which is tracked first."""
    portrait: Annotated[Path | None, tyro.conf.arg(aliases=["-i", "--image-path"])] = None
    """Portrait to drive: a tracked portrait (tracked.pt or a tracking folder), or a photo."""
    checkpoint: Annotated[Path | None, tyro.conf.arg(aliases=["-r", "--resume-path"])] = None
    """GAGAvatar.pt; without it, no network is used."""
    avatar: Path | None = None
    """Avatar of `gagjax avatar` or `gagjax fit` (a folder), or GaussianAvatars' point_cloud.ply (with --flame), instead
    of -i and -r."""
    flame: Path | None = None
    """FLAME_with_eye.pt or generic_model.pkl, for GAGAvatar and for a personal avatar that was fitted with it."""
    out: Annotated[Path, tyro.conf.arg(aliases=["-o"])] = Path("reenacted.mp4")
    """Output video."""
    name: str | None = None
    """Name of the portrait, if the file holds several."""
    enhanced: bool = False
    """Run all four enhancements."""
    temporal_smooth: bool = False
    """Smooth the track over time."""
    detail_enhance: bool = False
    """Sharpen the frames and the eyes."""
    expression_opt: bool = False
    """Transfer the expression relative to the driver's neutral face."""
    gaze_correct: bool = False
    """Turn the eyes towards the camera."""
    preset: str | None = None
    """default, live, reference, quality, balanced, fast, interaction, smooth, or a preset file."""
    neutral: int | None = None
    """Driver's frame with a resting face, from 0: expressions are then transferred relative to it. Needs the expression
    enhancement."""
    strength: float = 1.0
    """Strength of the detail enhancement: 0 changes nothing, 1 is the preset's."""
    variant: Literal["document", "code"] | None = None
    """With --preset reference: the published formulas, or what the original program computes."""
    identity: bool = False
    """With --preset reference: weigh expressions as with identity features."""
    set: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    """A stage's parameter by its path, as in a preset file, such as temporal.codes.alpha=.4; may be given again."""
    orbit: float = 0.0
    """Swing the camera around the head by this many degrees to either side, with a period of four seconds."""
    still: bool = False
    """Hold the driver's first frame for one swing, to show the portrait from all sides."""
    alone: bool = False
    """Show the result alone, without the portrait and the driver's frames beside it."""
    grid: int = 1
    """Number of portraits from the file to drive side by side (for the built-in avatar, identities)."""
    size: int = 512
    """Frame size of the built-in avatar and of personal ones, pixels."""
    fps: float | None = None
    """Frame rate to assume if the driver's file has none; 25 by default."""
    force_retrack: Annotated[bool, tyro.conf.arg(aliases=["-f"])] = False
    """Track videos and images again even if their tracks exist beside the output."""
    force: bool = False
    """Replace an existing output."""

    def run(self) -> int:
        if not 64 <= self.size <= 2048:
            raise InputError(f"is {self.size}", field="--size", fix="Use 64 to 2048 pixels")
        if not 0 <= self.orbit <= 180:
            raise InputError(f"is {self.orbit:g}", field="--orbit", fix="Use 0 to 180 degrees")
        if not 0 <= self.strength <= 5:
            raise InputError(f"is {self.strength:g}", field="--strength", fix="Use 0 to 5; 1 is as the preset means it")
        if not 1 <= self.grid <= 36:
            raise InputError(f"is {self.grid}", field="--grid", fix="Use 1 to 36 portraits")
        if self.avatar is not None and (self.checkpoint or self.portrait or self.grid > 1):
            raise InputError("goes without -r, -i and --grid", field="--avatar", fix="Leave those out, or --avatar")
        from gagjax.app import presets
        from gagjax.app.streaming.pipeline import ahead
        from gagjax.app.waiting import waiting
        from gagjax.app.workflows.avatar_source import open_avatar, open_avatars
        from gagjax.app.workflows.enhance import fitting, in_a_row, relative_to
        from gagjax.app.workflows.orbit import held, orbit
        from gagjax.expression import driven
        from gagjax.expression.arkit import on_head
        from gagjax.io import atomic, video
        from gagjax.io.cropping import in_crop
        from gagjax.io.tracks import load_track
        from gagjax.stack import enhance_track

        atomic.check(self.out, self.force, folder=video.kind_of(self.out) == "pictures")
        options = presets.Options(self.variant, self.identity, self.strength, self.set)
        stack = presets.stack_of(self.preset, self.enhancements(), options=options)
        film = self._track_first()
        track = in_crop(load_track(self.driver, fps=self.fps).validate(str(self.driver)))
        if film is not None and len(track) < 2:  # a still image: its pose is held
            track = held(track, STILL_SECONDS)
        if len(track) < 2:
            raise InputError("has one frame", file=self.driver, fix="A driver needs at least two; a still needs none")
        with waiting("opening the avatar"):
            if self.grid > 1:
                avatars = open_avatars(self.checkpoint, self.flame, self.portrait, size=self.size, count=self.grid)
            else:
                avatars = [
                    open_avatar(
                        self.checkpoint, self.flame, self.portrait, size=self.size, name=self.name, personal=self.avatar
                    )
                ]
        print(f"driving {avatars[0].described}" + (f" and {len(avatars) - 1} more" if len(avatars) > 1 else ""))
        stack = stack.for_model(avatars[0].model, avatars[0].shape)
        track, taken = on_head(track, avatars[0].model, avatars[0].shape)
        stack, said = fitting(stack, track)
        if self.neutral is not None:
            if stack.expression is None:
                raise InputError("needs the expression enhancement", field="--neutral", fix="Add --expression-opt")
            stack = relative_to(stack, track, self.neutral)
        with waiting(f"enhancing {len(track)} frames of the track; the first clip of a length compiles a program"):
            track = enhance_track(stack, track)
        track, line = driven(track, avatars[0].model, avatars[0].shape)
        for each in (taken, *said, line):
            if each:
                print(each)
        track = in_a_row(track)
        audio = None if self.still or len(track.sequences) > 1 else audio_beside(self.driver if film is None else film)
        if self.still or self.orbit:
            track = avatars[0].seen(track)  # the camera orbits the head wherever it is
        track = held(track, 4.0) if self.still else track
        track = orbit(track, self.orbit) if self.orbit else track
        # Rendering, enhancing and encoding run as a pipeline.
        rows = ahead(self._rows(stack, avatars, track), CHUNK)
        count = video.write(self.out, rows, track.fps, audio_from=audio, force=self.force)
        sound = f", sound of {audio}" if audio else ""
        print(f"{self.out}: {count} frames at {track.fps} fps, {_ran(stack)}{sound}")
        return 0

    def _track_first(self) -> Path | None:
        """Replace videos and images by their tracks; return the driver's video or image, if it was one."""
        from gagjax.app.workflows.track import tracked_first

        given = self.driver
        alone = bool(self.still or self.orbit or self.grid > 1)
        self.driver = tracked_first(given, self.out, flame=self.flame, again=self.force_retrack, pictures=not alone)
        if self.portrait is not None and self.checkpoint is not None:
            self.portrait = tracked_first(self.portrait, self.out, flame=self.flame, again=self.force_retrack)
        return None if self.driver == given else given

    def _pictures(self) -> Path:
        """Where the driver's pictures are: of a film that was tracked first, in the folder beside its track."""
        from gagjax.app.workflows.track import folder_of

        made = folder_of(self.driver)
        return made if self.driver.suffix == ".npz" and (made / "img_lmdb").is_dir() else self.driver

    def enhancements(self) -> tuple[str, ...]:
        """The enhancements that the flags enable."""
        flags = {
            "temporal": self.temporal_smooth,
            "expression": self.expression_opt,
            "gaze": self.gaze_correct,
            "detail": self.detail_enhance,
        }
        return tuple(name for name, on in flags.items() if on or self.enhanced)

    def _rows(self, stack: Stack, avatars: Sequence[Source], track: Track) -> Iterator[Any]:
        from tqdm import tqdm

        from gagjax.app.reports import panels

        each: list[Iterator[Any]] = [results_of(stack, avatar, track) for avatar in avatars]
        pictures: Any = each[0] if len(each) == 1 else map(panels.tiled, zip(*each, strict=True))
        results = tqdm(pictures, "rendering", len(track), unit="frame", dynamic_ncols=True)
        alone = self.alone or self.still or self.orbit or len(avatars) > 1
        frames = None if alone else driver_frames(self._pictures(), track.names)
        if frames is None:
            yield from results
            return
        source = _picture_of(self.portrait)
        for result, frame in zip(results, frames, strict=True):
            pictures = ([] if source is None else [source]) + [frame, result]
            labels = ([] if source is None else ["source"]) + ["driver", "result"]
            height = result.shape[0]
            yield panels.beside([panels.resized(each, height) for each in pictures], labels)


def results_of(stack: Stack, avatar: Source, track: Track) -> Iterator[Any]:
    """Enhanced frames of a track, rendered and enhanced in chunks, so memory does not grow with length."""
    import itertools

    import numpy as np

    from gagjax.app.streaming.pipeline import ahead
    from gagjax.stack import enhance_frames

    if stack.detail is None and stack.eyes is None:
        yield from avatar.frames(track)
        return
    centres, pictures, state = avatar.eye_centres(track), ahead(avatar.frames(track), CHUNK), None
    for start in range(0, len(track), CHUNK):
        part = np.stack(list(itertools.islice(pictures, CHUNK)))
        pixels, state = enhance_frames(stack, part, centres[start : start + len(part)], state)
        yield from np.asarray(pixels)


def driver_frames(driver: Path, names: tuple[str, ...] | None) -> Iterator[Any] | None:
    """The driver's own frames by frame name; a missing one repeats the frame before it.

    None if there are no images beside the track.
    """
    folder = driver if driver.is_dir() else driver.parent
    if names is None or not (folder / "img_lmdb").is_dir():
        return None
    from gagjax.io.frame_database import FrameDatabase

    database = FrameDatabase(folder)
    present = [name for name in names if name in database]
    if not present:
        return None

    def each() -> Iterator[Any]:
        last = present[0]
        for name in names:
            last = name if name in database else last
            yield database[last]

    return each()


def audio_beside(driver: Path) -> Path | None:
    """The video beside the driver with the same name, or the only one in its folder, if it has audio."""
    from gagjax.io import folders, suffixes, video

    beside = sorted(driver.parent.glob(f"{glob.escape(driver.stem)}.*"))
    found = [path for path in beside if path.is_file() and suffixes.is_video(path)]
    if driver.is_dir():
        inside = folders.files(driver, suffixes.is_video)
        found = found or (inside if len(inside) == 1 else [])
    return next((path for path in found if video.info(path).audio), None)


def _picture_of(portrait: Path | None) -> Any:
    if portrait is None or not portrait.is_file():
        return None
    from gagjax.io import images, suffixes

    if suffixes.is_image(portrait):
        return images.read(portrait)
    if portrait.suffix.lower() in (".pt", ".pth"):
        from gagjax.io.tracks import load_portraits

        found = [each.image for each in load_portraits(portrait).values()]
        return found[0] if len(found) == 1 else None
    return None


def _ran(stack: Stack) -> str:
    from gagjax.stack import STAGES

    names = [name for name in STAGES if getattr(stack, name) is not None]
    return "enhanced by " + ", ".join(names) if names else "nothing enhanced (--enhanced switches everything on)"
