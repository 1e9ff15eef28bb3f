"""Workflow of `gagjax edit`."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from gagjax.app.workflows.motion import export, heads, settings
from gagjax.errors import InputError
from gagjax.expression import RegionEditor
from gagjax.expression.blinks import repair_blinks
from gagjax.expression.edits import Edited, edit
from gagjax.io import atomic, tracks

if TYPE_CHECKING:
    from gagjax.app.commands.motion.edit import Edit
    from gagjax.track import Track


def run(options: Edit) -> list[str]:
    """Edit a track and write it; returns what is told about it.

    Raises:
        InputError: If the track cannot be read, a setting is not understood, or the output exists.
    """
    out = options.out
    meshes = options.meshes or out.suffix.lower() == ".glb"
    if options.meshes and out.suffix:
        raise InputError("is one file", file=out, fix="Name a folder for --meshes, or leave --meshes out")
    atomic.check(out, options.force, folder=not out.suffix)
    found = tracks.find(options.track)
    given = heads.flame_track(options.track, options.fps) if meshes else _as_it_is(found, options)
    if not meshes:
        layout = tracks.layout_of(given, out, like=found.format)
        tracks.check_output(out, layout, options.force, track=given)
    head = heads.head_of(given, options.flame)
    track, said = given, [f"head: {head.described}"]
    wanted = settings.parsed(options.set, options.between, options.ease, float(given.fps))
    made = Edited(track, track, None, (0.0, 0.0))
    if wanted:
        made = edit(track, head.model, wanted, editor=RegionEditor.for_model(head.model), shape=head.shape)
    if options.repair_blinks:
        made, line = _with_blinks(made, head)
        said.append(line)
    if meshes:
        job = export.Job(options.track, out, "obj" if options.meshes else "glb")
        return [*said, export.write_mesh(job, made.exact, head, options.force, made)]
    if made.offsets is not None:
        said.append(
            f"regions: what coefficients cannot say is {made.leak[0]:.3f} mm on average, {made.leak[1]:.2f} mm at most "
            "(exact in .glb and --meshes)"
        )
    changed = _changed(given, made.track)
    tracks.save_track(
        made.track,
        out,
        format=layout,
        force=options.force,
        fill_gaps=options.fill_gaps,
        frames_from=options.track if options.track.is_dir() else None,
    )
    return [
        *said,
        f"{out}: {len(given)} frames at {given.fps} fps, {changed} of them changed, {tracks.FORMATS[layout]}",
    ]


def _as_it_is(found: tracks.Found, options: Edit) -> Track:
    """The track in the order of its file, so that what else the file holds goes along."""
    from gagjax.expression.from_template import is_template

    track = tracks.read(found, fps=options.fps).validate(str(options.track))
    if is_template(track):
        raise InputError(
            "is a LivePortrait template, whose keypoint offsets are no FLAME motion",
            file=options.track,
            fix="Pass a FLAME track",
        )
    if len(track.sequences) > 1:
        raise InputError(
            f"holds {len(track.sequences)} sequences, and times would be of none",
            file=options.track,
            fix="Edit them one by one",
        )
    return track


def _with_blinks(made: Edited, head: heads.Head) -> tuple[Edited, str]:
    """Blinks repaired in both forms; regions' offsets stay, they are of what was there before."""
    track, found = repair_blinks(made.track, head.model, head.shape)
    before, after = np.asarray(made.track.expression), np.asarray(track.expression)
    moved = (after != before).any(1)
    repaired = sum(bool(moved[blink.start : blink.stop].any()) for blink in found)
    exact = dataclasses.replace(
        made.exact, expression=np.where(moved[:, None], made.exact.expression + (after - before), made.exact.expression)
    )
    half = [max(blink.depth) for blink in found if moved[blink.start : blink.stop].any()]
    rest = f", from {100 * min(half):.0f}-{100 * max(half):.0f} % closed" if half else ""
    return dataclasses.replace(
        made, track=track, exact=exact
    ), f"blinks: {len(found)} found, {repaired} closed fully{rest}"


def _changed(before: Track, after: Track) -> int:
    pairs = [(getattr(before, name), getattr(after, name)) for name in ("expression", "jaw", "eyes")]
    return int(np.any([np.any(np.asarray(a) != np.asarray(b), axis=1) for a, b in pairs], axis=0).sum())
