"""`gagjax live`: enhance a track or frames in real time."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from gagjax.errors import InputError

if TYPE_CHECKING:
    from gagjax.stack import Stack


@dataclass
class Live:
    """Enhance a track frame by frame as it arrives, or track a face while a camera films it.

    A track arrives as lines of JSON, from a pipe (-) or from a file; --follow waits for the file to grow:

      {"time": 0.04, "expression": [100 numbers], "jaw": [3], "eyes": [6], "transform": [3 rows of 4]}

    Each line is answered immediately by one of the same form. {"time": 0.08, "valid": false} marks a frame that the
    tracker lost; it is predicted.

    From a camera (camera:0), or a video or pipe that FFmpeg reads, the face is tracked: each picture is answered by such
    a line, filtered, whose "camera" holds the lens that filmed it (focal length and centre in pixels, image size) and to
    which "transform" refers. With a video as the output, the pictures are enhanced instead, and not tracked. A camera's
    frames are dropped, oldest first, where the machine is too slow; --realtime plays a video like that. Latency is
    reported at the end.

    examples:
      tracker | gagjax live - | renderer
      gagjax live track.jsonl --follow -o steady.jsonl --state steady.state
      gagjax live camera:0 | renderer
      gagjax live film.mp4 --realtime -o track.jsonl
      gagjax live camera:0 -o sharp.mkv
    """

    source: tyro.conf.Positional[str]
    """Input: - for lines from a pipe, a .jsonl file, camera:N, or a video or named pipe."""
    out: Annotated[str, tyro.conf.arg(aliases=["-o"])] = "-"
    """Output: - for lines to a pipe, a .jsonl file, or a video (of enhanced pictures)."""
    preset: str = "live"
    """live, or a preset file based on it."""
    fps: float = 25.0
    """Frames per second, for lines without a time."""
    realtime: bool = False
    """Play a video at its own pace, as a camera would; otherwise as fast as it is tracked."""
    flame: Path | None = None
    """The FLAME file to track with; the built-in head by default."""
    face: str = "largest"
    """Face to track: largest, or its index from the left (0, 1, ...)."""
    focal: float | None = None
    """Focal length in units of the longer image side, if known; estimated otherwise."""
    follow: bool = False
    """At the end of the file, wait for more lines until Ctrl-C."""
    idle: float = 0.0
    """With --follow: stop after this many seconds without a new line; 0 waits forever."""
    state: Path | None = None
    """Save the filter state here to resume from; after a crash the output is the same as without one."""
    force: bool = False
    """Replace an existing output."""

    def run(self) -> int:
        if not 1 <= self.fps <= 1000:
            raise InputError(f"is {self.fps:g}", field="--fps", fix="Use 1 to 1000")
        if self.idle < 0:
            raise InputError(f"is {self.idle:g}", field="--idle", fix="Give seconds, or 0 to wait for ever")
        from gagjax.app import presets
        from gagjax.app.streaming.incoming import is_pictures

        stack = presets.stack_of(self.preset)
        if not is_pictures(self.source):
            if self.realtime:
                raise InputError("plays videos", field="--realtime", fix="Leave it out for lines of a track")
            from gagjax.app.streaming.track_lines import run

            return run(
                stack,
                self.source,
                self.out,
                fps=self.fps,
                follow=self.follow,
                idle=self.idle,
                state=self.state,
                force=self.force,
            )
        if self.follow or self.state is not None:
            raise InputError("is for lines of a track", field="--follow and --state", fix="Leave them out for pictures")
        if self.out == "-" or self.out.endswith(".jsonl"):
            return self._tracked(stack)
        from gagjax.app.streaming.pictures import run as run_pictures

        return run_pictures(stack, self.source, Path(self.out), fps=self.fps, realtime=self.realtime, force=self.force)

    def _tracked(self, stack: Stack) -> int:
        from gagjax.app.streaming.tracked_pictures import run

        if self.face != "largest" and not self.face.isdigit():
            raise InputError(f"is {self.face!r}", field="--face", fix="Use largest, or a number from 0")
        if self.focal is not None and not 0.2 <= self.focal <= 50:
            raise InputError(f"is {self.focal}", field="--focal", fix="Use longer picture sides: 0.5 to 10")
        return run(
            stack,
            self.source,
            self.out,
            fps=self.fps,
            flame=self.flame,
            face=self.face if self.face == "largest" else int(self.face),
            focal=self.focal,
            realtime=self.realtime,
            force=self.force,
        )
