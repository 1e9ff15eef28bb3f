"""`gagjax video`: the frame enhancements on any video."""

from __future__ import annotations

import collections
import dataclasses
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from gagjax.errors import InputError

CHUNK = 8  # frames in memory and in one call
PIXELS = 8 * 1024 * 1024  # a chunk of large frames is shorter


@dataclass
class Video:
    """Sharpen a video: detail comes back, noise and halos do not.

    Any video that FFmpeg reads; frame rate, length and audio stay as they are. The eyes are sharpened where they are
    known, which is so for tracked clips (`gagjax reenact`), not here.

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
        from gagjax.app.pipeline import ahead
        from gagjax.io import atomic, video

        if self.out.suffix.lower() not in video.SUFFIXES:
            raise InputError("is no video file name", file=self.out, fix=f"Use {', '.join(video.SUFFIXES)}")
        atomic.check(self.out, self.force)
        stack = _with_strength(presets.stack_of(self.preset), self.strength, self.preset)
        frames, info = video.read(self.input)
        times: collections.deque[float] = collections.deque()
        rows = ahead(self._rows(stack, frames, info, times), chunk_of(info.width, info.height))
        with frames:
            count = video.write(
                self.out,
                rows,
                info.fps,
                audio_from=self.input if info.audio else None,
                times=_popped(times) if info.variable else None,
                crf=self.crf,
                force=self.force,
            )
        sound = f", audio copied ({', '.join(info.audio)})" if info.audio else ", no audio"
        varying = " (varying, kept)" if info.variable else ""
        print(f"{self.out}: {count} frames at {info.fps} fps{varying}{sound}")
        if info.width % 2 or info.height % 2:
            print("the size is odd, which H.264 cannot hold: the last row or column is there twice")
        return 0

    def _rows(self, stack: Any, frames: Any, info: Any, times: collections.deque[float]) -> Iterator[Any]:
        from tqdm import tqdm

        from gagjax.app import panels
        from gagjax.app.pipeline import ahead

        def timed() -> Iterator[Any]:
            for frame in frames:
                times.append(frames.time)
                yield frame

        with tqdm(total=info.frames, desc="enhancing", unit="frame", dynamic_ncols=True, disable=None) as bar:
            # Decoding, enhancing and encoding each run ahead of the next.
            chunk = chunk_of(info.width, info.height)
            for before, after in enhanced(stack, ahead(timed(), chunk), chunk):
                if self.split:
                    yield panels.split(before, after)
                else:
                    yield panels.beside([before, after], ["original", "enhanced"]) if self.side_by_side else after
                bar.update()


def chunk_of(width: int, height: int) -> int:
    """How many frames of a size to hold at once."""
    return max(1, min(CHUNK, PIXELS // (width * height)))


def enhanced(stack: Any, frames: Iterator[Any], chunk: int) -> Iterator[tuple[Any, Any]]:
    """Each frame with its enhanced self, a chunk at a time: memory does not grow with the video's length."""
    import jax
    import numpy as np

    from gagjax.stack import enhance_frames

    state = None
    pending: tuple[list[Any], Any] | None = None
    while True:
        part = list(itertools.islice(frames, chunk))
        made = None
        if part:
            # The last chunk is filled up, so that one program serves all.
            whole = np.stack(part + [part[-1]] * (chunk - len(part)))
            made, state = enhance_frames(stack, whole, None, state)
        # While a chunk is computed, the one before is encoded and the next one decoded.
        if pending is not None:
            yield from zip(pending[0], np.asarray(jax.device_get(pending[1])), strict=False)
        if not part or made is None:
            return
        pending = (part, made)


def _popped(times: collections.deque[float]) -> Iterator[float]:
    while times:
        yield times.popleft()


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
