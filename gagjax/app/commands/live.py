"""`gagjax live`: enhance a track or frames in real time."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from gagjax.errors import InputError


@dataclass
class Live:
    """Enhance a track frame by frame as it arrives, or frames from a camera.

    A track arrives as lines of JSON, from a pipe (-) or from a file; --follow waits for the file to grow:

      {"time": 0.04, "expression": [100 numbers], "jaw": [3], "eyes": [6], "transform": [3 rows of 4]}

    Each line is answered immediately by one of the same form. {"time": 0.08, "valid": false} marks a frame that the
    tracker lost; it is predicted. Frames come from a camera (camera:0) or from a video or pipe that FFmpeg reads.
    Latency is reported at the end.

    examples:
      tracker | gagjax live - | renderer
      gagjax live track.jsonl --follow -o steady.jsonl --state steady.state
      gagjax live camera:0 -o sharp.mkv
    """

    source: tyro.conf.Positional[str]
    """Input: - for lines from a pipe, a .jsonl file, camera:N, or a video or named pipe."""
    out: Annotated[str, tyro.conf.arg(aliases=["-o"])] = "-"
    """Output: - for lines to a pipe, a .jsonl file, or a video."""
    preset: str = "live"
    """live, or a preset file based on it."""
    fps: float = 25.0
    """Frames per second, for lines without a time."""
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

        stack = presets.stack_of(self.preset)
        if self.source == "-" or self.source.endswith(".jsonl"):
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
        from gagjax.app.streaming.pictures import run as run_pictures

        return run_pictures(stack, self.source, Path(self.out), fps=self.fps, force=self.force)
