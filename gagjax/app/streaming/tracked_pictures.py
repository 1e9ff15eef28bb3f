"""A face in a camera or a film, tracked, smoothed and told line by line while it is filmed."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from gagjax import flame as heads
from gagjax.app.streaming.incoming import Incoming
from gagjax.app.streaming.latency import Latency
from gagjax.app.streaming.live_track import LiveTrack
from gagjax.app.streaming.pipeline import newest
from gagjax.app.streaming.track_lines import open_output, still
from gagjax.io import atomic
from gagjax.io.formats import json_lines
from gagjax.stack import Stack
from gagjax.track import Channels
from gagjax.tracking import models
from gagjax.tracking.fit.shot import subject
from gagjax.tracking.live import LiveFrame, LiveTracker
from gagjax.tracking.sources import with_square_pixels


def run(
    stack: Stack,
    source: str,
    out: str,
    *,
    fps: float,
    flame: Path | None = None,
    face: str | int = "largest",
    focal: float | None = None,
    realtime: bool = False,
    force: bool = False,
) -> int:
    """Track until the input ends, or until Ctrl-C; see `gagjax.app.commands.live.Live` for the arguments."""
    models.path_of("face_mesh")
    pictures = Incoming(source, realtime=realtime)
    with contextlib.ExitStack() as opened:
        outgoing = open_output(out, opened, force=force)
        print("compiling", file=sys.stderr)
        head = subject(heads.builtin() if flame is None else heads.load(flame))
        session = TrackedSession(stack, LiveTracker(head, face, focal), fps)
        session.warm(with_square_pixels(np.zeros((pictures.height, pictures.width, 3), np.uint8), pictures.aspect))
        print("ready", file=sys.stderr)
        # A camera does not wait: frames that cannot be tracked in time are dropped, oldest first.
        waiting: Any = newest(pictures) if pictures.live else pictures
        start = None
        try:
            for picture, came, shown in waiting:
                start = came if start is None else start
                seconds = shown if shown is not None else came - start
                began = came if pictures.live else time.perf_counter()
                data = session.answer(with_square_pixels(picture, pictures.aspect), seconds).encode()
                with atomic.no_room(out):
                    if outgoing.write(data) < len(data):
                        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                    outgoing.flush()
                session.latency.add(time.perf_counter() - began)
        except KeyboardInterrupt:
            pass  # the usual way to stop a camera
    session.report(waiting.dropped if pictures.live else 0)
    return 0


class TrackedSession:
    """A live tracker and the filters after it.

    Args:
        stack: The causal stages.
        tracker: The tracker.
        fps: Frames per second, where no clock says it.

    Raises:
        InputError: If a stage needs the whole sequence.
    """

    def __init__(self, stack: Stack, tracker: LiveTracker, fps: float) -> None:
        self.tracker = tracker
        self.filters = LiveTrack(stack, still(neck=False), fps)
        self.latency = Latency()
        self.number = self.lost = 0

    def warm(self, picture: UInt8[np.ndarray, "H W 3"]) -> None:
        """Compile for pictures of this size."""
        self.tracker.warm(picture.shape[1], picture.shape[0])

    def answer(self, picture: UInt8[np.ndarray, "H W 3"], seconds: float) -> str:
        """The line of the next picture.

        Args:
            picture: RGB, square pixels.
            seconds: Its time.
        """
        found = self.tracker(picture)
        self.number += 1
        line = json_lines.Line(None, round(seconds, 6), self._rest(found))
        channels = _channels(found) if found is not None and found.valid else None
        self.lost += channels is None
        if found is not None and found.fresh:
            self.filters.state = None
        after, _ = self.filters.step(channels, seconds)
        return json_lines.dump_lost(line) if after is None else json_lines.dump(after, line, valid=channels is not None)

    def _rest(self, found: LiveFrame | None) -> dict[str, Any]:
        rest: dict[str, Any] = {"frame": self.number - 1}
        lens = self.tracker.lens
        if lens is not None:
            rest["camera"] = {
                "focal": round(lens.focal, 3),
                "centre": [lens.cx, lens.cy],
                "size": [lens.width, lens.height],
            }
        if found is not None and np.isfinite(found.residual):
            rest["residual"] = round(found.residual, 5)
        return rest

    def report(self, dropped: int) -> None:
        """Print a summary of the run."""
        odd = [f"{self.lost} without a face that fits" if self.lost else "", f"{dropped} dropped" if dropped else ""]
        counted = ", ".join([f"{self.number} frames", *filter(None, odd)])
        print(f"{counted}; from a picture to its line: {self.latency}", file=sys.stderr)


def _channels(found: LiveFrame) -> Channels:
    expression, jaw, eyes, transform = (
        np.asarray(x, np.float32) for x in (found.expression, found.jaw, found.eyes, found.transform)
    )
    return Channels(expression, jaw, eyes, transform, extra={})
