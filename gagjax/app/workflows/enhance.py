"""Workflow of `gagjax enhance` for one track, and checks shared by every command that enhances tracks."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gagjax.stack import Stack
    from gagjax.track import Track

MARK = "+enhanced"  # suffix of `Track.source` that marks an enhanced track


def fitting(stack: Stack, track: Track) -> tuple[Stack, list[str]]:
    """Drop the stages that cannot run on a track; also return a line for each and for what is left unchanged."""
    import numpy as np

    from gagjax.gaze import eyes_estimated
    from gagjax.reference.gaze import ReferenceGaze

    said: list[str] = []
    if track.source.startswith("liveportrait") and not np.any(track.expression) and not np.any(track.eyes):
        names = [name for name in ("expression", "gaze") if getattr(stack, name) is not None]
        if names:
            said.append(f"left out: {', '.join(names)} (this format holds no FLAME expression and eyes)")
        return dataclasses.replace(stack, **dict.fromkeys(names)), said
    aimed = stack.gaze is not None
    frame = getattr(getattr(stack.gaze, "corrector", stack.gaze), "frame", "camera")
    if aimed and not isinstance(stack.gaze, ReferenceGaze) and frame == "camera" and not track.camera_known:
        said.append("left out: gaze (the camera that filmed is not in this file; transforms.json beside it says it)")
        stack, aimed = dataclasses.replace(stack, gaze=None), False
    if not eyes_estimated(track):
        rest = "they are aimed because you asked" if aimed else "they are left as they are"
        said.append(f"eyes: the tracker did not estimate them (constant to .05 degrees); {rest}")
    return stack, said


def relative_to(stack: Stack, track: Track, frame: int) -> Stack:
    """The stack for a track that drives somebody else, with the frame in which the driver's face is at rest.

    What the tracker found there, of an identity that is not all in the shape, is taken off every frame. An avatar's face is
    at rest at zero expression and jaw.

    Args:
        stack: The stages.
        track: The driver.
        frame: The frame at rest; up to two valid frames on either side are averaged.

    Returns:
        The stack; without an expression stage, the stack itself.

    Raises:
        InputError: If there is no such frame, no frame about it is valid, or the expression stage does not retarget.
    """
    import numpy as np

    from gagjax.errors import InputError
    from gagjax.expression import LiveRetargeter, Retargeter

    if not 0 <= frame < len(track):
        raise InputError(f"is {frame} of {len(track)} frames", field="neutral", fix=f"Use 0 to {len(track) - 1}")
    about = np.arange(max(frame - 2, 0), min(frame + 3, len(track)))
    about = about[np.asarray(track.valid)[about]]
    if not len(about):
        raise InputError(f"names frame {frame}, which was not tracked", field="neutral", fix="Name a tracked frame")
    stage = stack.expression
    if stage is None:
        return stack
    inner = stage.retargeter if isinstance(stage, LiveRetargeter) else stage
    if not isinstance(inner, Retargeter):
        raise InputError("cannot be used with this preset", field="neutral", fix="Use default, live or a scenario")
    inner = dataclasses.replace(
        inner,
        driver_neutral=np.asarray(track.expression)[about].mean(0),
        driver_jaw=np.asarray(track.jaw)[about].mean(0),
        target_neutral=np.zeros(100, np.float32),
        target_jaw=np.zeros(3, np.float32),
    )
    return dataclasses.replace(stack, expression=LiveRetargeter(inner) if isinstance(stage, LiveRetargeter) else inner)


def enhanced(stack: Stack, track: Track) -> Track:
    """Run the stack's track stages and mark the track as enhanced; warn if it already was.

    A long clip is gone through in parts, and a line on the terminal shows how far.
    """
    import warnings

    import numpy as np

    from gagjax.app import programs
    from gagjax.long_clips import Walk
    from gagjax.stack import LONG, enhance_track, enhance_track_by

    if track.source.endswith(MARK):
        warnings.warn("this track has been enhanced already; a second pass smooths what is left", stacklevel=1)
    if len(track) > LONG:
        with _progress() as told:
            after = enhance_track(stack, track, Walk(told=told))
    else:
        after = enhance_track_by(programs.run, stack, track)
        after = after.with_channels(after.channels.map(np.asarray))
    source = track.source.removesuffix(MARK) + MARK
    return dataclasses.replace(after, source=source, names=track.names, fps=track.fps, origin=track.origin)


@contextlib.contextmanager
def _progress() -> Iterator[Callable[[float, str], None]]:
    """A bar on the terminal for `gagjax.long_clips.Walk`; none where there is no terminal."""
    from tqdm import tqdm

    with tqdm(
        total=100, unit="%", dynamic_ncols=True, disable=None, bar_format="{desc}: {percentage:3.0f}%|{bar}|"
    ) as bar:

        def told(share: float, what: str) -> None:
            bar.set_description(what, refresh=False)
            bar.n = round(100 * share)
            bar.refresh()

        yield told


def in_a_row(track: Track) -> Track:
    """Concatenate the sequences of a track, and print their names if there are several."""
    found = track.sequences
    if len(found) == 1:
        return track
    starts, places = 0, []
    for name, frames in found.items():
        places.append(f"{name} (frames {starts}-{starts + len(frames) - 1})")
        starts += len(frames)
    print(f"sequences: {', '.join(places)}")
    return track.one_after_another()
