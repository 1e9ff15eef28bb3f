"""`gagjax video`: the frame enhancements on any video."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import tyro

from gagjax.errors import InputError

if TYPE_CHECKING:
    from gagjax.io.video import VideoInfo
    from gagjax.stack import Stack


@dataclass
class Video:
    """Sharpen a video: detail comes back, noise and halos do not.

    Any video that FFmpeg reads, a folder of pictures, or a frame database (LMDB). Frame times, length, pixel aspect and
    audio stay as they are; HDR is mapped to SDR, and what is seen through is put over black. The eyes are sharpened
    where they are known, which is so for tracked clips (`gagjax reenact`), not here. A run that was stopped goes on
    where it was when the same command is given again, and makes the same file.

    examples:
      gagjax video in.mp4 -o out.mp4
      gagjax video pictures/ -o out.webm --fps 30
      gagjax video in.mp4 -o pictures
      gagjax video in.mp4 -o compare.mp4 --side-by-side --strength 1.5
      gagjax video in.mp4 -o compare.mp4 --split
    """

    input: tyro.conf.Positional[Path]
    """The video: a film, a folder of pictures, or a frame database."""
    out: Annotated[Path, tyro.conf.arg(aliases=["-o"])]
    """Where to: .mp4, .mov, .m4v, .mkv, .webm or .gif; a name without a suffix is a folder of PNG pictures."""
    strength: float = 1.0
    """How much: 0 changes nothing, 1 is as the preset means it."""
    side_by_side: bool = False
    """Show the original beside the result."""
    split: bool = False
    """Show the original on the left of a line and the result on the right, in one picture."""
    preset: str = "default"
    """default, live, reference, quality, balanced, or a preset file."""
    crf: float = 18.0
    """Quality of a film: 0 is the best, 18 looks like the source, 28 is small."""
    fps: str | None = None
    """Frame rate of pictures, 25 where it is left out; a film has its own."""
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
        from gagjax.io.video import sound

        kind = video.kind_of(self.out)
        stack = _with_strength(presets.stack_of(self.preset), self.strength, self.preset)
        show = "split" if self.split else "beside" if self.side_by_side else "result"
        count, info = enhance_video(
            stack, self.input, self.out, show=show, crf=self.crf, force=self.force, fps=self.fps
        )
        varying = (", varying, not kept" if kind == "pictures" else " (varying, kept)") if info.variable else ""
        again = sound.will_encode(self.input, self.out) if info.audio else ()
        print(f"{self.out}: {count} frames at {info.fps} fps{varying}, {_audio(info, kind, again)}")
        for line in _said(info, kind):
            print(line)
        return 0


def _audio(info: VideoInfo, kind: str, again: tuple[str, ...]) -> str:
    if not info.audio:
        return "no audio"
    if kind in ("gif", "pictures"):
        return f"audio left out ({'a GIF' if kind == 'gif' else 'a folder of pictures'} holds none)"
    copied = [each for each in info.audio if each not in again]
    parts = [f"audio copied ({', '.join(copied)})"] if copied else []
    if again:
        parts.append(f"audio encoded again, as the container cannot hold it ({', '.join(again)})")
    return ", ".join(parts)


def _said(info: VideoInfo, kind: str) -> list[str]:
    """What the output is without, or has otherwise, a line each."""
    lines = [change for change in info.changes if not change.startswith("the frame rate varies")]
    if info.aspect != 1:
        width, height = info.shown_size
        if kind != "h264":
            lines.append(f"scaled to square pixels, {width} x {height}")
        else:
            lines.append(f"pixel aspect {info.aspect.numerator}:{info.aspect.denominator} kept")
    if info.sound is not None and info.sound < -0.1 and kind in ("h264", "vp9"):
        lines.append(
            f"the sound begins {-info.sound:.2f} s before the first frame that can be shown; players of .mp4 and .mov "
            "start it with the picture"
        )
    if kind == "pictures":
        lines.append("a folder of PNG pictures, as the name has no suffix; .mp4 makes it a film")
    elif kind == "gif":
        lines.append("a GIF holds 256 colours a frame and times to 1/100 s")
    elif info.width % 2 or info.height % 2:
        lines.append("the size is odd, which the film cannot hold: the last row or column is there twice")
    return lines


def _with_strength(stack: Stack, strength: float, preset: str) -> Any:
    import numpy as np

    from gagjax.protocols import HasStrength

    if stack.detail is None:
        raise InputError(
            f"{preset!r} enhances no frames", field="--preset", fix="Use default, quality, balanced or reference"
        )
    if not isinstance(stack.detail, HasStrength):
        if strength == 1:
            return stack
        raise InputError("has no strength", field="--strength", fix="Leave it out for this preset")
    changed = np.float32(strength) * np.asarray(stack.detail.strength, np.float32)
    return dataclasses.replace(stack, detail=dataclasses.replace(cast(Any, stack.detail), strength=changed))
