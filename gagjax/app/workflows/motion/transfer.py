"""Workflow of `gagjax transfer`."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from gagjax.app.workflows.motion import export, heads
from gagjax.errors import InputError
from gagjax.expression import ClosureMatcher, Retargeter, neutral
from gagjax.io import atomic, tracks
from gagjax.track import Track

if TYPE_CHECKING:
    from gagjax.app.commands.motion.transfer import Transfer

FEWEST = 12  # frames from which a clip is thought to show its neutral face


def run(options: Transfer) -> list[str]:
    """Transfer and write; returns what is told about it.

    Raises:
        InputError: If a side cannot be read or tracked, or the output exists.
    """
    from gagjax.app.workflows.track import tracked_first

    out = options.out
    meshes = options.meshes or out.suffix.lower() == ".glb"
    if options.meshes and out.suffix:
        raise InputError("is one file", file=out, fix="Name a folder for --meshes, or leave --meshes out")
    atomic.check(out, options.force, folder=not out.suffix)
    _check_apart(options)
    sides = []
    for path in (options.source, options.target):
        found = tracked_first(path, out, flame=options.flame, again=options.force_retrack)
        sides.append(heads.flame_track(found, options.fps if path is options.source else None))
    source, target = sides
    head = heads.head_of(target, options.flame)
    driver = heads.head_of(source, options.flame)
    made = transferred(
        source,
        target,
        head,
        driver.shape,
        gain=options.gain,
        pose=options.pose,
        eyes=options.eyes,
        closure=options.closure,
        absolute=options.absolute,
    )
    said = [
        f"expression of {options.source} ({_kind(source, options.absolute)}), face of {options.target} "
        f"({_kind(target, options.absolute)}), on {head.described}"
    ]
    if meshes:
        job = export.Job(options.source, out, "obj" if options.meshes else "glb")
        return [*said, export.write_mesh(job, made, head, options.force)]
    layout = tracks.layout_of(made, out)
    tracks.save_track(made, out, format=layout, force=options.force)
    return [*said, f"{out}: {len(made)} frames at {made.fps} fps, {tracks.FORMATS[layout]}"]


def _check_apart(options: Transfer) -> None:
    """Tracks are kept beside the output by the films' names, which must not be the same."""
    from gagjax.io import suffixes

    both = (options.source, options.target)
    films = [suffixes.is_video(path) for path in both]
    pictures = [suffixes.is_image(path) for path in both]
    named_alike = both[0].stem == both[1].stem and both[0].resolve() != both[1].resolve()
    if named_alike and (all(films) or all(pictures)):
        raise InputError(
            "is named like the source, and their tracks would be one file",
            file=options.target,
            fix="Rename one, or track it first: gagjax track",
        )


def transferred(
    source: Track,
    target: Track,
    head: heads.Head,
    driver_shape: Float[np.ndarray, "S"],
    *,
    gain: float = 1.0,
    pose: str = "source",
    eyes: str = "source",
    closure: bool = True,
    absolute: bool = False,
) -> Track:
    """The source's expression on the target's identity, as a track.

    Args:
        source: Whose expression.
        target: Whose identity.
        head: The target's head, its shape included.
        driver_shape: The source's shape on the same model.
        gain: Amplitude of the deviation from neutral.
        pose: "source" or "target": whose head pose and camera.
        eyes: "source" or "target": whose gaze.
        closure: Match the closing of lids and lips.
        absolute: Copy the coefficients without regard to either neutral.

    Returns:
        A track as long as the source.
    """
    rests = [np.zeros(100, np.float32) if absolute else rest_of(track) for track in (source, target)]
    matcher = None
    if closure and len(head.model.landmark_faces) >= 68 and not np.allclose(head.shape, driver_shape):
        matcher = ClosureMatcher.for_models(head.model, head.shape, driver_shape)
    stage = Retargeter(driver_neutral=rests[0], target_neutral=rests[1], gain=gain, closure=matcher)
    channels = stage.apply(source.channels, valid=source.valid)
    made = dataclasses.replace(
        source,
        expression=np.asarray(channels.expression),
        jaw=np.asarray(channels.jaw),
        shape=np.pad(head.shape, (0, 300 - len(head.shape))).astype(np.float32),
        origin=None,
    )
    held = np.minimum(np.arange(len(source)), len(target) - 1)
    if eyes == "target":
        made = dataclasses.replace(made, eyes=np.asarray(target.eyes)[held])
    return made if pose == "source" else _placed(made, target.take(held, names=_names(made)))


def rest_of(track: Track) -> Float[np.ndarray, "100"]:
    """A clip's neutral expression; FLAME's own, zero, for a picture or a few frames."""
    if int(np.asarray(track.valid).sum()) < FEWEST:
        return np.zeros(100, np.float32)
    return np.asarray(neutral(track.expression, track.valid), np.float32)


def _placed(made: Track, place: Track) -> Track:
    """A performance with another track's head pose, neck and camera."""
    from gagjax.conventions.head_pose import NAMES

    kept = {name: value for name, value in made.extra.items() if name not in NAMES}
    theirs = {name: value for name, value in place.extra.items() if name in NAMES}
    extra: dict[str, Any] = kept | theirs
    rotations = tuple(name for name in {*made.rotations, *place.rotations} if name in extra)
    return dataclasses.replace(
        made,
        transform=place.transform,
        neck=place.neck,
        intrinsics=place.intrinsics,
        extra=extra,
        rotations=rotations,
        source=place.source,
    )


def _names(track: Track) -> list[str]:
    return list(track.names) if track.names is not None else [f"frame_{i}" for i in range(len(track))]


def _kind(track: Track, absolute: bool) -> str:
    if absolute:
        return f"{len(track)} frames, as it is"
    own = int(np.asarray(track.valid).sum()) >= FEWEST
    return (
        f"{len(track)} frames, relative to its own neutral face"
        if own
        else f"{len(track)} frames, relative to FLAME's neutral"
    )
