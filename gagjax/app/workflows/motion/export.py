"""Workflow of `gagjax export`: meshes and Gaussians of a track or an avatar."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from gagjax.app.workflows.motion import heads
from gagjax.errors import InputError
from gagjax.io import atomic
from gagjax.io.meshes import head as rig
from gagjax.io.meshes import write_obj, write_splats
from gagjax.track import SHAPES, Track

if TYPE_CHECKING:
    from gagjax.app.workflows.avatar_source import Source
    from gagjax.expression.edits import Edited


class Job(NamedTuple):
    """The command's validated options; see `gagjax.app.commands.motion.export`."""

    source: Path
    out: Path
    kind: str
    avatar: Path | None = None
    flame: Path | None = None
    frame: int | None = None
    every: int = 1
    head_still: bool = False
    fps: str | None = None


def run(job: Job, force: bool = False) -> str:
    """Export; returns the line that says what was written.

    Raises:
        InputError: If the source cannot be read, or its Gaussians have no colours.
    """
    if is_avatar(job.source):
        return _avatar_at_rest(job, force)
    track = chosen(heads.flame_track(job.source, job.fps), job)
    if job.kind == "ply":
        return _gaussians(job, track, force)
    head = heads.head_of(track, job.flame)
    return f"{write_mesh(job, track, head, force)}, {head.described}"


def is_avatar(path: Path) -> bool:
    """Whether a path is an avatar: a folder of `gagjax avatar` or `gagjax fit`, or a PLY."""
    return path.suffix.lower() == ".ply" or (path / "avatar.json").is_file()


def chosen(track: Track, job: Job) -> Track:
    """The frames to export.

    Raises:
        InputError: If the track does not have the frame that was asked for.
    """
    if job.frame is not None:
        if job.frame >= len(track):
            raise InputError(f"is {job.frame}, the last is {len(track) - 1}", field="--frame", fix="Count from 0")
        return track[job.frame : job.frame + 1]
    single = job.out.suffix.lower() in (".obj", ".ply")
    if single and len(track) > 1:
        print(f"frame 0 of {len(track)} (another: --frame N; all: a folder with --format {job.kind})")
        return track[:1]
    return track[:: job.every] if job.every > 1 else track


def write_mesh(job: Job, track: Track, head: heads.Head, force: bool, edited: Edited | None = None) -> str:
    """Write a track's head as `.glb` or `.obj`.

    Args:
        job: The options.
        track: The frames.
        head: Whose mesh.
        force: Replace an existing output.
        edited: Region edits, exact on the vertices, or None.

    Returns:
        What was written, in words.
    """
    motion = rig.motion_of(track, head.model, head.shape)
    if edited is not None:
        motion = dataclasses.replace(motion, extra=edited.offsets)
    if job.kind == "glb":
        with atomic.output(job.out, force) as temporary:
            rig.write_head(temporary, head.model, head.shape, motion, names=head.names, head_still=job.head_still)
        return f"{job.out}: {len(track)} frames at {track.fps} fps, mesh with rig and animation"
    posed = _posed(track, head, edited)

    def one(path: Path, t: int) -> None:
        points = posed(t)
        if not job.head_still:
            points = points @ motion.placement[t].T + motion.position[t]
        write_obj(path, points, np.asarray(head.model.faces), head.model.colors)

    return _files(job, len(track), one, "meshes", force)


def _posed(track: Track, head: heads.Head, edited: Edited | None) -> Callable[[int], np.ndarray]:
    """A function from a frame's number to its posed vertices in the head's axes, metres."""
    import jax.numpy as jnp

    from gagjax import flame

    def vertices(t: int) -> np.ndarray:
        model = head.model
        if edited is not None and edited.offsets is not None:
            rest = jnp.asarray(model.v_template) + jnp.asarray(edited.offsets[t], jnp.float32)
            model = dataclasses.replace(model, v_template=rest)
        pose = np.concatenate([np.zeros(3, np.float32), np.asarray(track.jaw)[t]])
        neck = None if track.neck is None else np.asarray(track.neck)[t]
        made = flame.vertices(model, head.shape, np.asarray(track.expression)[t], pose, np.asarray(track.eyes)[t], neck)
        return np.asarray(made, np.float64)

    return vertices


def _gaussians(job: Job, track: Track, force: bool) -> str:
    from gagjax.app.workflows.avatar_source import open_avatar
    from gagjax.avatars.parameters import Parameters
    from gagjax.camera import from_track

    source = open_avatar(None, job.flame if job.avatar is not None else None, None, personal=job.avatar)
    avatar = _drawable(source, job.avatar)
    track = source.seen(track)
    motion = rig.motion_of(track, source.model, source.shape)

    def one(path: Path, t: int) -> None:
        camera = from_track(np.asarray(track.transform)[t], intrinsics=None)
        neck = np.zeros(3, np.float32) if track.neck is None else np.asarray(track.neck)[t]
        pose = np.concatenate([np.zeros(3, np.float32), np.asarray(track.jaw)[t]])
        parameters = Parameters(
            np.asarray(track.expression)[t],
            pose,
            np.asarray(track.eyes)[t],
            neck,
            np.zeros(SHAPES, np.float32),
            camera,
        )
        place = (None, None) if job.head_still else (motion.placement[t], motion.position[t])
        write_splats(path, avatar.gaussians(parameters), *place)

    return f"{_files(job, len(track), one, 'Gaussians', force)}, {source.described}"


def _drawable(source: Source, path: Path | None) -> Any:
    if source.avatar is None:
        raise InputError(
            "has no Gaussians with colours of their own",
            file=path,
            fix="Export an avatar of `gagjax avatar` or GaussianAvatars",
        )
    return source.avatar


def _avatar_at_rest(job: Job, force: bool) -> str:
    from gagjax.app.workflows.avatar_source import open_avatar
    from gagjax.avatars.parameters import Parameters

    source = open_avatar(None, job.flame, None, personal=job.source)
    if job.kind == "ply":
        avatar = _drawable(source, job.source)
        rest = Parameters.neutral()
        return _files(job, 1, lambda path, _: write_splats(path, avatar.gaussians(rest)), "Gaussians", force)
    if job.kind == "glb":
        with atomic.output(job.out, force) as temporary:
            rig.write_head(temporary, source.model, None, None, names=heads.names_of(source.model))
        return f"{job.out}: the mesh of {source.described} at rest, with its rig"
    points = rig.rest_mesh(source.model, None)
    faces, colours = np.asarray(source.model.faces), source.model.colors
    return _files(job, 1, lambda path, _: write_obj(path, points, faces, colours), "meshes", force)


def _files(job: Job, count: int, write: Callable[[Path, int], None], what: str, force: bool) -> str:
    """Write one file, or a folder of one a frame; returns what was written, in words."""
    from tqdm import tqdm

    if job.out.suffix:
        with atomic.output(job.out, force) as temporary:
            write(temporary, 0)
        return f"{job.out}: {what} of one frame"
    digits = max(4, len(str(count - 1)))
    with atomic.output(job.out, force, folder=True) as temporary:
        for t in tqdm(range(count), "writing", unit="frame", dynamic_ncols=True):
            write(temporary / f"frame_{t:0{digits}d}.{job.kind}", t)
    return f"{job.out}: {what} of {count} frames, frame_{0:0{digits}d}.{job.kind} and so on"
