"""A whole video through the frame enhancements: decoded, enhanced and encoded side by side, resumable."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import numpy as np

from gagjax import __version__
from gagjax.app.reports import panels
from gagjax.app.streaming.pipeline import ahead
from gagjax.io import atomic, resumable, video
from gagjax.io.identity import content_hash
from gagjax.stack import enhance_frames, init_frames

if TYPE_CHECKING:
    from gagjax.stack import Stack

CHUNK = 8  # frames in memory and in one call
PIXELS = 8 * 1024 * 1024  # a chunk of large frames is shorter
PART = 240  # frames after which a run that is stopped need not begin again


class Made(NamedTuple):
    """A chunk of frames: the originals, what became of them, and the state after the last."""

    before: list[Any]
    after: Any
    state: Any


def enhance_video(
    stack: Stack,
    source: Path,
    out: Path,
    *,
    show: str = "result",
    crf: float = 18.0,
    force: bool = False,
    part: int = PART,
    fps: object = None,
) -> tuple[int, video.VideoInfo]:
    """Enhance a video; the next run goes on where a stopped one was, and makes the same file.

    Args:
        stack: The stages; those for tracks are passed over.
        source: A film, a folder of pictures, or a frame database (LMDB).
        out: The output, with the source's audio: a film, a GIF, or without suffix a folder of PNG pictures.
        show: "result", "beside" (original and result side by side) or "split" (one picture, with a line).
        crf: Constant rate factor of H.264.
        force: Replace an existing output.
        part: After how many frames the work so far is safe.
        fps: Frame rate of pictures (25 where it is left out); a film has its own.

    Returns:
        How many frames there are, and what the source is.

    Raises:
        InputError: If the source is no video or damaged, or the output exists or cannot be written.
    """
    from tqdm import tqdm

    kind = video.kind_of(out)
    atomic.check(out, force, folder=kind == "pictures")
    frames, info = video.read(source, fps=fps)
    coding = video.Coding(kind, info.fps, crf, info.aspect)
    chunk = chunk_of(info.width, info.height)
    job = _job(stack, source, show=show, crf=crf, chunk=chunk, part=part, fps=str(info.fps))
    with frames, resumable.kept(out, job) as kept:
        frames.skip(kept.frames)
        with tqdm(
            total=info.frames,
            initial=kept.frames,
            desc="going on" if kept.frames else "enhancing",
            unit="frame",
            dynamic_ncols=True,
            disable=None,
        ) as bar:
            times = _times(info, kept.frames)
            # Decoding, enhancing and encoding each run ahead of the next.
            chunks = ahead(_shown(enhanced(stack, ahead(frames, chunk), chunk, kept.state), show), 1)
            try:
                while _one_part(kept, itertools.islice(chunks, max(1, part // chunk)), times, coding, bar):
                    pass
            finally:
                chunks.close()
        return kept.join(out, coding, audio_from=source if info.audio else None, force=force), info


def chunk_of(width: int, height: int) -> int:
    """How many frames of a size to hold at once."""
    return max(1, min(CHUNK, PIXELS // (width * height)))


def enhanced(stack: Stack, frames: Iterator[Any], chunk: int, leaves: list[np.ndarray] | None = None) -> Iterator[Made]:
    """Frames with their enhanced selves, a chunk at a time: memory does not grow with the video's length.

    Args:
        stack: The stages.
        frames: (H, W, 3) uint8 each.
        chunk: How many go through one call.
        leaves: The arrays of the state in which an earlier run ended.
    """
    state = None
    pending: Made | None = None
    while True:
        part = list(itertools.islice(frames, chunk))
        made = None
        if part:
            # The last chunk is filled up, so that one program serves all.
            whole = np.stack(part + [part[-1]] * (chunk - len(part)))
            if leaves is not None and state is None:
                state = jax.tree.unflatten(jax.tree.structure(init_frames(stack, whole)), leaves)
            after, state = enhance_frames(stack, whole, None, state)
            made = Made(part, after, state)
        # While a chunk is computed, the one before is encoded and the next one decoded.
        if pending is not None:
            yield pending._replace(after=np.asarray(jax.device_get(pending.after))[: len(pending.before)])
        if made is None:
            return
        pending = made


def _one_part(kept: Any, chunks: Iterable[tuple[list[Any], Any]], times: Any, coding: video.Coding, bar: Any) -> int:
    """Encode the frames of some chunks as the next part; how many there were."""
    latest = None
    with kept.begun(coding) as part:
        for pictures, state in chunks:
            for picture in pictures:
                part.put(picture, next(times))
            bar.update(len(pictures))
            latest = state
        if part.frames:
            part.end(jax.tree.leaves(jax.device_get(latest)))
        return part.frames


def _shown(chunks: Iterator[Made], show: str) -> Iterator[tuple[list[Any], Any]]:
    for before, after, state in chunks:
        pairs = zip(before, after, strict=True)
        if show == "split":
            yield [panels.split(a, b) for a, b in pairs], state
        elif show == "beside":
            yield [panels.beside([a, b], ["original", "enhanced"]) for a, b in pairs], state
        else:
            yield list(after), state


def _times(info: video.VideoInfo, start: int) -> Iterator[Fraction]:
    """When each frame from a first one on is shown, in seconds."""
    if not info.variable:
        return (number / info.fps for number in itertools.count(start))
    return iter(video.times(info)[start:])


def _job(stack: Stack, source: Path, **settings: object) -> dict[str, Any]:
    """Everything that decides what the result is, so that no run goes on with another one's work."""
    digest = hashlib.sha256(str(jax.tree.structure(stack)).encode())
    for leaf in jax.tree.leaves(stack):
        digest.update(np.asarray(leaf).tobytes())
    file = {"path": str(source.resolve()), "content": content_hash(source)}
    return {"version": __version__, "source": file, "stack": digest.hexdigest(), **settings}
