"""Workflow of `gagjax draw`: finds the frames of a track and the camera that saw them."""

from __future__ import annotations

import dataclasses
import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from jaxtyping import Float, UInt8

from gagjax.app.workflows.motion import heads, overlay
from gagjax.camera import Intrinsics
from gagjax.errors import InputError
from gagjax.track import Track

if TYPE_CHECKING:
    from gagjax.app.commands.motion.draw import Draw

_GREY = 70


class Scene(NamedTuple):
    """A track and its frames.

    Attributes:
        track: Its camera is the frames'.
        frames: One a frame.
        seen: The tracker's own landmarks as fractions of the picture, (T, N, 2), or None.
        described: What the frames are, for the user.
    """

    track: Track
    frames: Iterator[UInt8[np.ndarray, "H W 3"]]
    seen: Float[np.ndarray, "T N 2"] | None
    described: str


def run(options: Draw) -> str:
    """Draw and write; returns the line that says what was written.

    Raises:
        InputError: If the source cannot be read, its frames are not there, or the output exists.
    """
    from tqdm import tqdm

    from gagjax.app.reports import panels
    from gagjax.app.workflows.track import tracked_first
    from gagjax.io import atomic, images, suffixes, video

    single = suffixes.is_image(options.out)
    folder = not single and video.kind_of(options.out) == "pictures"
    atomic.check(options.out, options.force, folder=folder)
    given = tracked_first(options.source, options.out, flame=options.flame)
    scene = _scene(options, given)
    head = heads.head_of(scene.track, options.flame)
    frames, plain = scene.frames, None
    if options.side_by_side:
        frames, plain = itertools.tee(frames)
    count = 1 if single else len(scene.track)
    track = scene.track[:count]
    results: Iterator[Any] = overlay.drawn(frames, track, head, options.show, scene.seen)
    if plain is not None:
        results = (panels.beside([a, b], ["frame", "track"]) for a, b in zip(plain, results, strict=False))
    if single:
        images.write(options.out, next(results), force=options.force)
    else:
        results = iter(tqdm(results, "drawing", len(track), unit="frame", dynamic_ncols=True))
        video.write(options.out, results, track.fps, force=options.force)
    lost = int((~np.asarray(track.valid)).sum())
    red = f", {lost} lost (red)" if lost else ""
    return f"{options.out}: {count} frames{red} over {scene.described}, {head.described}"


def _scene(options: Draw, path: Path) -> Scene:
    if options.over is not None:
        return _over(options.over, path, options.fps)
    track = heads.flame_track(path, options.fps)
    portrait = _portrait(path)
    if portrait is not None:
        return Scene(track[:1], iter([portrait]), None, "the tracked portrait")
    from gagjax.app.commands.reenact import driver_frames

    frames = driver_frames(path, track.names)
    if frames is not None:
        return Scene(dataclasses.replace(track, intrinsics=None), frames, None, "the tracker's frames")
    size = options.size
    if track.intrinsics is not None:
        track = dataclasses.replace(track, intrinsics=track.intrinsics.squared(size))
    blank = np.full((size, size, 3), _GREY, np.uint8)
    return Scene(track, itertools.repeat(blank), None, "plain grey (no frames are beside the track; --over FILM)")


def _over(film: Path, path: Path, fps: str | None) -> Scene:
    """A track over the whole frames of its film."""
    from gagjax.io import video

    track = heads.flame_track(path, fps)
    track, seen = in_film(track, path)
    if track.intrinsics is None:
        raise InputError(
            "does not hold the camera of the film, only that of a crop",
            file=path,
            fix="Leave --over out, or track again: gagjax track FILM -o clip.npz",
        )
    info = video.info(film)
    if (info.width, info.height) != (track.intrinsics.width, track.intrinsics.height):
        raise InputError(
            f"is {info.width} x {info.height}, the track's film {track.intrinsics.width} x {track.intrinsics.height}",
            file=film,
            fix="Pass the film that was tracked",
        )
    if info.frames and info.frames < len(track):
        raise InputError(
            f"has {info.frames} frames, the track {len(track)}", file=film, fix="Pass the film that was tracked"
        )

    def frames() -> Iterator[np.ndarray]:
        reader, _ = video.read(film)
        with reader:
            yield from itertools.islice(reader, len(track))

    return Scene(track, frames(), seen, str(film))


def in_film(track: Track, path: Path) -> tuple[Track, Float[np.ndarray, "T N 2"] | None]:
    """A track of `gagjax track` in its film's own camera, with the landmarks that its file keeps; others as they are.

    Args:
        track: As read; its camera is that of a crop.
        path: Its file.

    Raises:
        InputError: If what the file says of its cameras is damaged.
    """
    if path.suffix.lower() != ".npz":
        return track, None
    from gagjax.io.untrusted.checkpoints import load_npz
    from gagjax.tracking import points

    content = load_npz(path)
    if "tracking.shots" not in content:
        return track, None
    try:
        shots = json.loads(str(content["tracking.shots"]))
        transform = np.asarray(content["tracking.transform"], np.float32)
        lenses = np.tile(np.eye(3, dtype=np.float32), (len(track), 1, 1))
        width, height = 0, 0
        for shot in shots:
            if shot["camera"] is None:
                continue
            camera = {name: float(shot["camera"][name]) for name in ("focal", "cx", "cy", "width", "height")}
            lens = [[camera["focal"], 0, camera["cx"]], [0, camera["focal"], camera["cy"]], [0, 0, 1]]
            lenses[int(shot["start"]) : int(shot["stop"])] = np.asarray(lens, np.float32)
            width, height = int(camera["width"]), int(camera["height"])
        marks = np.asarray(content["tracking.landmarks"], np.float64)[:, points.IBUG, :2] / [width, height]
        track = dataclasses.replace(track, transform=transform, intrinsics=Intrinsics(lenses, width, height))
    except (KeyError, TypeError, ValueError, ZeroDivisionError, IndexError) as error:
        raise InputError(
            "has damaged cameras", file=path, field="tracking.shots", fix="Track the film again"
        ) from error
    return track, marks if len(marks) == len(track) else None


def _portrait(path: Path) -> UInt8[np.ndarray, "H W 3"] | None:
    """The picture in a tracked portrait; None where the path is none."""
    from gagjax.app.reports.panels import as_bytes
    from gagjax.io.tracks import load_portraits

    if path.suffix.lower() not in (".pt", ".pth") or not path.is_file():
        return None
    found = next(iter(load_portraits(path).values())).image
    return None if found is None else as_bytes(found)
