"""`gagjax video`: apply the frame enhancements to any video."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast

import tyro

from gagjax.errors import InputError

if TYPE_CHECKING:
    from gagjax.io.video import VideoInfo
    from gagjax.stack import Stack


@dataclass
class Video:
    """Sharpen a video without amplifying noise or adding halos.

    The input is any video that FFmpeg reads, a folder of images, or a frame database (LMDB). Timestamps, length, pixel
    aspect and audio are preserved; HDR is mapped to SDR, and transparent pixels are composited over black. A video
    of a face is tracked first, and the track is kept beside the output: its eyes are sharpened as well, and frames
    without the face stay as they are. Give the same command again to resume a stopped run; the output is the same file.

    examples:
      gagjax video in.mp4 -o out.mp4
      gagjax video pictures/ -o out.webm --fps 30
      gagjax video in.mp4 -o pictures
      gagjax video in.mp4 -o compare.mp4 --side-by-side --strength 1.5
      gagjax video in.mp4 -o compare.mp4 --split
    """

    input: tyro.conf.Positional[Path]
    """Input: a video, a folder of images, or a frame database."""
    out: Annotated[Path, tyro.conf.arg(aliases=["-o"])]
    """Output: .mp4, .mov, .m4v, .mkv, .webm or .gif; a name without suffix is a folder of PNG images."""
    strength: float = 1.0
    """Sharpening strength: 0 changes nothing, 1 is the preset's strength."""
    side_by_side: bool = False
    """Show original and result side by side."""
    split: bool = False
    """Show the original left of a dividing line and the result right of it, in one frame."""
    preset: str = "default"
    """default, live, reference, quality, balanced, or a preset file."""
    crf: float = 18.0
    """Constant rate factor of the encoder: 0 is best, 18 looks like the source, 28 gives a small file."""
    region: Literal["frame", "face"] = "frame"
    """In a video of a face, what to sharpen: the whole frame, or the face alone."""
    fps: str | None = None
    """Frame rate of a folder of images, 25 by default; a video has its own."""
    force_retrack: Annotated[bool, tyro.conf.arg(aliases=["-f"])] = False
    """Track the face again even if its track exists beside the output."""
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
        from gagjax.app.workflows.faces import faces_in
        from gagjax.app.workflows.video import enhance_video
        from gagjax.io import atomic, video
        from gagjax.io.video import sound

        kind = video.kind_of(self.out)
        stack = _with_strength(presets.stack_of(self.preset), self.strength, self.preset)
        show = "split" if self.split else "beside" if self.side_by_side else "result"
        atomic.check(self.out, self.force, folder=kind == "pictures")
        faces = faces_in(self.input, self.out, again=self.force_retrack)
        if faces is None and self.region == "face":
            raise InputError("knows no face here", field="--region face", fix="Pass a video of a face, or leave it out")
        count, info = enhance_video(
            stack,
            self.input,
            self.out,
            show=show,
            crf=self.crf,
            force=self.force,
            fps=self.fps,
            faces=faces,
            region=self.region,
        )
        varying = (", varying, not kept" if kind == "pictures" else " (varying, kept)") if info.variable else ""
        again = sound.will_encode(self.input, self.out) if info.audio else ()
        print(f"{self.out}: {count} frames at {info.fps} fps{varying}, {_audio(info, kind, again)}")
        if faces is not None:
            found = int(faces.found(0, count).sum())
            print(f"{found} of {count} frames show the face; the others are as they were")
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
    """What the output lacks or changes relative to the source, one line each."""
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
