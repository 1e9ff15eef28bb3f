"""Run the frame enhancements over a video: decode, enhance and encode as a resumable pipeline."""

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
    from gagjax.app.workflows.faces import Faces
    from gagjax.stack import Stack

CHUNK = 8  # frames in memory and per call
PIXELS = 8 * 1024 * 1024  # pixel limit per chunk, so that chunks of large frames are shorter
PART = 240  # frames per part; a resumed run restarts after the last complete part


class Made(NamedTuple):
    """A chunk of frames: the originals, the enhanced frames, and the state after the last."""

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
    faces: Faces | None = None,
    region: str = "frame",
) -> tuple[int, video.VideoInfo]:
    """Enhance a video; the next run resumes a stopped one and produces the same file.

    Args:
        stack: The stages; track stages are skipped.
        source: A video, a folder of images, or a frame database (LMDB).
        out: The output, with the source's audio: a video, a GIF, or without suffix a folder of PNG images.
        show: "result", "beside" (original and result side by side) or "split" (one frame with a dividing line).
        crf: Constant rate factor of the encoder.
        force: Replace an existing output.
        part: Number of frames after which progress is saved.
        fps: Frame rate of a folder of images, 25 by default; a video has its own.
        faces: Where the face and its eyes are; frames without a face are left as they are.
        region: Given faces: "frame" enhances the whole frame, "face" the face alone.

    Returns:
        The number of frames, and information on the source.

    Raises:
        InputError: If the source is not a video or is damaged, or the output exists or cannot be written.
    """
    from tqdm import tqdm

    kind = video.kind_of(out)
    atomic.check(out, force, folder=kind == "pictures")
    frames, info = video.read(source, fps=fps)
    coding = video.Coding(kind, info.fps, crf, info.aspect)
    chunk = chunk_of(info.width, info.height)
    told = None if faces is None else [faces.digest(), region]
    job = _job(stack, source, show=show, crf=crf, chunk=chunk, part=part, fps=str(info.fps), faces=told)
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
            # Decoding, enhancing and encoding run as a pipeline.
            # Nothing else may refer to the stages: they end from the last one to the first.
            chunks = ahead(
                _shown(
                    enhanced(
                        stack, ahead(frames, chunk), chunk, kept.state, faces=faces, region=region, start=kept.frames
                    ),
                    show,
                ),
                1,
            )
            try:
                while _one_part(kept, itertools.islice(chunks, max(1, part // chunk)), times, coding, bar):
                    pass
            finally:
                chunks.close()
        return kept.join(out, coding, audio_from=source if info.audio else None, force=force), info


def chunk_of(width: int, height: int) -> int:
    """Number of frames of a size to hold at once."""
    return max(1, min(CHUNK, PIXELS // (width * height)))


def enhanced(
    stack: Stack,
    frames: Iterator[Any],
    chunk: int,
    leaves: list[np.ndarray] | None = None,
    *,
    faces: Faces | None = None,
    region: str = "frame",
    start: int = 0,
) -> Iterator[Made]:
    """Enhance frames one chunk at a time, so memory does not grow with the video's length.

    Args:
        stack: The stages.
        frames: Frames, (H, W, 3) uint8 each.
        chunk: Frames per call.
        leaves: Arrays of the state at which an earlier run ended.
        faces: Where the face is; None enhances every frame, without its eyes.
        region: "frame", or "face" for the face alone.
        start: Number of the first frame.
    """
    state = None
    pending: Made | None = None
    done = start
    while True:
        part = list(itertools.islice(frames, chunk))
        made = None
        if part:
            # The last chunk is padded, so that one compiled program serves all.
            whole = np.stack(part + [part[-1]] * (chunk - len(part)))
            if leaves is not None and state is None:
                state = jax.tree.unflatten(jax.tree.structure(init_frames(stack, whole)), leaves)
            centres = None if faces is None else faces.eye_centres(done, chunk, *whole.shape[1:3])
            after, state = enhance_frames(stack, whole, centres, state)
            made = Made(part, after, state)
        # While a chunk is computed, the previous one is encoded and the next one decoded.
        if pending is not None:
            count = len(pending.before)
            pixels = np.asarray(jax.device_get(pending.after))[:count]
            yield pending._replace(after=_within(pixels, pending.before, faces, region, done - count))
        if made is None:
            return
        pending = made
        done += len(part)


def _within(after: np.ndarray, before: list[np.ndarray], faces: Faces | None, region: str, start: int) -> np.ndarray:
    """The enhanced frames, limited to the face; a frame without one as it was."""
    if faces is None:
        return after
    after = np.array(after)
    for i, found in enumerate(faces.found(start, len(before))):
        if not found:
            after[i] = before[i]
        elif region == "face":
            mask = faces.mask(start + i, *after.shape[1:3])
            after[i] = np.round(before[i] + mask * (after[i].astype(np.float32) - before[i])).astype(np.uint8)
    return after


def _one_part(kept: Any, chunks: Iterable[tuple[list[Any], Any]], times: Any, coding: video.Coding, bar: Any) -> int:
    """Encode the frames of some chunks as the next part; return their number."""
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
    """Presentation times of the frames from a given one on, in seconds."""
    if not info.variable:
        return (number / info.fps for number in itertools.count(start))
    return iter(video.times(info)[start:])


def _job(stack: Stack, source: Path, **settings: object) -> dict[str, Any]:
    """Everything that determines the result, so that a run never resumes work done with other settings."""
    digest = hashlib.sha256(str(jax.tree.structure(stack)).encode())
    for leaf in jax.tree.leaves(stack):
        digest.update(np.asarray(leaf).tobytes())
    file = {"path": str(source.resolve()), "content": content_hash(source)}
    return {"version": __version__, "source": file, "stack": digest.hexdigest(), **settings}
