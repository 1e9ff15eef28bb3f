"""`gagjax video`: the frame enhancements on any video."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from gagjax.errors import InputError


@dataclass
class Video:
    """Sharpen a video: detail comes back, noise and halos do not.

    Any video that FFmpeg reads; frame rate, length and audio stay as they are. The eyes are sharpened where they are
    known, which is so for tracked clips (`gagjax reenact`), not here. A run that was stopped goes on where it was when
    the same command is given again, and makes the same file.

    examples:
      gagjax video in.mp4 -o out.mp4
      gagjax video in.mp4 -o compare.mp4 --side-by-side --strength 1.5
      gagjax video in.mp4 -o compare.mp4 --split
    """

    input: tyro.conf.Positional[Path]
    """The video."""
    out: Annotated[Path, tyro.conf.arg(aliases=["-o"])]
    """Where to: .mp4, .mov, .m4v or .mkv."""
    strength: float = 1.0
    """How much: 0 changes nothing, 1 is as the preset means it."""
    side_by_side: bool = False
    """Show the original beside the result."""
    split: bool = False
    """Show the original on the left of a line and the result on the right, in one picture."""
    preset: str = "default"
    """default, live, reference, quality, balanced, or a preset file."""
    crf: float = 18.0
    """Quality of the H.264 output: 0 is lossless, 18 looks like the source, 28 is small."""
    force: bool = False
    """Replace an existing output."""

    def run(self) -> int:
        if not 0 <= self.strength <= 5:
            raise InputError(f"is {self.strength:g}", field="--strength", fix="Use 0 to 5; 1 is as the preset means it")
        if not 0 <= self.crf <= 51:
            raise InputError(f"is {self.crf:g}", field="--crf", fix="Use 0 (lossless) to 51")
        if self.split and self.side_by_side:
            raise InputError("excludes --side-by-side", field="--split", fix="Choose one of them")
        from gagjax.app import presets
        from gagjax.app.workflows.video import enhance_video
        from gagjax.io import video

        if self.out.suffix.lower() not in video.SUFFIXES:
            raise InputError("is no video file name", file=self.out, fix=f"Use {', '.join(video.SUFFIXES)}")
        stack = _with_strength(presets.stack_of(self.preset), self.strength, self.preset)
        show = "split" if self.split else "beside" if self.side_by_side else "result"
        count, info = enhance_video(stack, self.input, self.out, show=show, crf=self.crf, force=self.force)
        sound = f", audio copied ({', '.join(info.audio)})" if info.audio else ", no audio"
        varying = " (varying, kept)" if info.variable else ""
        print(f"{self.out}: {count} frames at {info.fps} fps{varying}{sound}")
        if info.width % 2 or info.height % 2:
            print("the size is odd, which H.264 cannot hold: the last row or column is there twice")
        return 0


def _with_strength(stack: Any, strength: float, preset: str) -> Any:
    import numpy as np

    if stack.detail is None:
        raise InputError(
            f"{preset!r} enhances no frames", field="--preset", fix="Use default, quality, balanced or reference"
        )
    if not hasattr(stack.detail, "strength"):
        if strength == 1:
            return stack
        raise InputError("has no strength", field="--strength", fix="Leave it out for this preset")
    changed = np.float32(strength) * np.asarray(stack.detail.strength, np.float32)
    return dataclasses.replace(stack, detail=dataclasses.replace(stack.detail, strength=changed))
