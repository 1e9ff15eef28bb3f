"""Real-time enhancement of frames from a camera or a pipe."""

from __future__ import annotations

import collections
import sys
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from gagjax.app.streaming.incoming import Incoming
from gagjax.app.streaming.latency import Latency
from gagjax.app.streaming.pipeline import newest
from gagjax.errors import InputError
from gagjax.io import atomic, video
from gagjax.stack import Stack, enhance_frames


def run(stack: Stack, source: str, out: Path, *, fps: float, realtime: bool = False, force: bool = False) -> int:
    """Enhance frames until the input ends, or until Ctrl-C; see `gagjax.app.commands.live.Live` for the arguments."""
    if stack.detail is None and stack.eyes is None:
        raise InputError("enhances no frames", field="--preset", fix="Use live, or a preset file based on it")
    atomic.check(out, force, folder=video.kind_of(out) == "pictures")
    pictures = Incoming(source, realtime=realtime)
    latency = Latency()
    times: collections.deque[float] = collections.deque()
    # A camera does not wait: frames that cannot be processed in time are dropped, oldest first. A pipe waits.
    waiting: Any = newest(pictures) if pictures.live else pictures
    start = None

    def enhanced() -> Iterator[Any]:
        nonlocal start
        state = None
        try:
            for picture, came, _ in waiting:
                if state is None:
                    enhance_frames(stack, picture[None], None, None)  # compilation does not count as latency
                    _, state = enhance_frames(stack, picture[None], None, None)
                    enhance_frames(stack, picture[None], None, state)
                    state, came = None, time.perf_counter()
                start = came if start is None else start
                after, state = enhance_frames(stack, picture[None], None, state)
                made = np.asarray(after[0])
                latency.add(time.perf_counter() - came)
                if pictures.live:
                    times.append(came - start)
                yield made
        except KeyboardInterrupt:
            return  # the usual way to stop a camera: the frames so far become the video

    shown: Iterator[float] = (times.popleft() for _ in iter(int, 1))
    count = video.write(
        out,
        enhanced(),
        Fraction(fps).limit_denominator(1001),
        times=shown if pictures.live else None,
        aspect=pictures.aspect,
        force=force,
    )
    dropped = f", {waiting.dropped} dropped" if pictures.live else ""
    print(f"{out}: {count} frames{dropped}; from a picture read to its result: {latency}", file=sys.stderr)
    return 0
