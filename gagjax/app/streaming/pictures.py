"""Real-time enhancement of frames from a camera or a pipe."""

from __future__ import annotations

import collections
import platform
import sys
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from gagjax.app.streaming.latency import Latency
from gagjax.app.streaming.pipeline import newest
from gagjax.errors import InputError
from gagjax.io import atomic, video
from gagjax.io.video import colour
from gagjax.stack import Stack, enhance_frames

#: FFmpeg's camera format and device, by operating system.
CAMERAS = {"Linux": ("v4l2", "/dev/video{}"), "Darwin": ("avfoundation", "{}:none"), "Windows": ("dshow", "video={}")}


def run(stack: Stack, source: str, out: Path, *, fps: float, force: bool = False) -> int:
    """Enhance frames until the input ends, or until Ctrl-C; see `gagjax.app.commands.live.Live` for the arguments."""
    if stack.detail is None and stack.eyes is None:
        raise InputError("enhances no frames", field="--preset", fix="Use live, or a preset file based on it")
    atomic.check(out, force, folder=video.kind_of(out) == "pictures")
    camera = source.startswith("camera:")
    latency = Latency()
    times: collections.deque[float] = collections.deque()
    pictures = _pictures(source, camera)
    # A camera does not wait: frames that cannot be processed in time are dropped, oldest first. A pipe waits.
    waiting: Any = newest(pictures) if camera else pictures
    start = None

    def enhanced() -> Iterator[Any]:
        nonlocal start
        state = None
        try:
            for picture, came in waiting:
                if state is None:
                    enhance_frames(stack, picture[None], None, None)  # compilation does not count as latency
                    _, state = enhance_frames(stack, picture[None], None, None)
                    enhance_frames(stack, picture[None], None, state)
                    state, came = None, time.perf_counter()
                start = came if start is None else start
                after, state = enhance_frames(stack, picture[None], None, state)
                made = np.asarray(after[0])
                latency.add(time.perf_counter() - came)
                if camera:
                    times.append(came - start)
                yield made
        except KeyboardInterrupt:
            return  # the usual way to stop a camera: the frames so far become the video

    shown: Iterator[float] = (times.popleft() for _ in iter(int, 1))
    count = video.write(
        out, enhanced(), Fraction(fps).limit_denominator(1001), times=shown if camera else None, force=force
    )
    dropped = f", {waiting.dropped} dropped" if camera else ""
    print(f"{out}: {count} frames{dropped}; from a picture read to its result: {latency}", file=sys.stderr)
    return 0


def _pictures(source: str, camera: bool) -> Iterator[tuple[Any, float]]:
    """Frames and their arrival times."""
    kind, place = CAMERAS.get(platform.system(), CAMERAS["Linux"]) if camera else (None, source)
    name = place.format(source.removeprefix("camera:")) if camera else source
    if not camera and not Path(source).exists():
        raise InputError("does not exist", file=source, fix="Pass -, a .jsonl file, camera:N, or a video or named pipe")
    try:
        options = {} if camera else {"protocol_whitelist": "file,pipe,fd"}
        container = av.open(name, format=kind, options=options)
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise InputError(f"cannot be opened: {error}", file=name) from error
    with container:
        if not container.streams.video:
            raise InputError("has no pictures", file=name)
        try:
            for frame in container.decode(container.streams.video[0]):
                came = time.perf_counter()
                yield colour.to_rgb(frame, colour.placement(frame)), came
        except av.error.FFmpegError as error:
            print(f"warning: {name} ended: {error}", file=sys.stderr)
