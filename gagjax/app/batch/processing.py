"""Process one clip of a batch: read it, enhance it, write the result."""

from __future__ import annotations

import contextlib
import dataclasses
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from gagjax.errors import InputError
from gagjax.shape_bucketing import bucket

TRACKS = (".npz", ".pkl", ".pickle", ".pt", ".pth", ".csv", ".json", ".npy", ".mat", ".frame")
FRAME_SIZE = 485  # bytes per frame in our own format


class Job(NamedTuple):
    """One clip: the track or video, and its result; paths or URLs."""

    source: str
    result: str


def is_url(path: str) -> bool:
    """Whether a path is a URL for fsspec."""
    return "://" in path


def is_film(source: str) -> bool:
    """Whether a clip goes through the frame enhancements: a video, or a folder of images."""
    from gagjax.io import suffixes, video

    return suffixes.is_video(source) or (not is_url(source) and video.is_stills(source))


def compile_group(job: Job) -> str:
    """A key shared by clips that need the same compiled programs, judged from file names and sizes."""
    path = Path(job.source)
    if is_url(job.source) or is_film(job.source) or not path.is_file():
        return path.suffix.lower()
    return f"{path.suffix.lower()} {bucket(path.stat().st_size // FRAME_SIZE)}"


def process_clip(source: str, result: str, config: Mapping[str, Any]) -> None:
    """Enhance one clip. The same clip and configuration give the same file anywhere, written whole or not at all.

    Args:
        source: A track or a video; a path or a URL that fsspec supports.
        result: The `.npz` or `.mp4` to write, or a file of the clip's own format; replaced if it exists.
        config: From `config_of`.

    Raises:
        InputError: If the clip cannot be used.
    """
    with contextlib.ExitStack() as stack:
        if not is_url(source) and not is_url(result):
            _process(Path(source), Path(result), config)
            return
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="gagjax-")))
        here = _fetched(source, folder / "in") if is_url(source) else Path(source)
        made = folder / "out" / Path(result).name if is_url(result) else Path(result)
        _process(here, made, config)
        if is_url(result):
            _fsspec().put_file(made, result)


def try_clip(source: str, result: str, config: Mapping[str, Any]) -> str | None:
    """Run `process_clip` and return the error as text, or None: one failing clip never stops the others."""
    try:
        process_clip(source, result, config)
    except InputError as error:
        return str(error)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return None


def _process(source: Path, result: Path, config: Mapping[str, Any]) -> None:
    from gagjax.app import presets

    stack = presets.stack_of(config["preset"], text=config["text"])
    if is_film(str(source)):
        from gagjax.app.workflows.video import enhance_video

        enhance_video(stack, source, result, force=True)
        return
    import numpy as np

    from gagjax.app import programs
    from gagjax.app.workflows.enhance import fitting
    from gagjax.io.formats.catalogue import SUFFIXES
    from gagjax.io.tracks import FORMATS, find, layout_of, read, save_track
    from gagjax.stack import enhance_track_by

    found = find(source)
    if found.format == "portraits":
        raise InputError("holds portraits, which are not frames of one clip", file=source, fix="Pass a tracked video")
    track = read(found, fps=config["fps"])
    if len(track) < 2:
        raise InputError("has one frame", file=source, fix="A clip has at least two")
    after = enhance_track_by(programs.run, fitting(stack, track)[0], track)
    after = after.with_channels(after.channels.map(np.asarray))
    after = dataclasses.replace(after, origin=track.origin)
    if not config.get("keep"):
        save_track(after, result, format="gagjax", force=True)
        return
    if found.format not in SUFFIXES:
        raise InputError(
            f"is a {FORMATS[found.format]}, which is not written", file=source, fix="Leave --keep-format away"
        )
    layout = layout_of(after, result, like=found.format)
    save_track(after, result, format=layout, force=True, frames_from=source if source.is_dir() else None)


def _fsspec() -> Any:
    try:
        from gagjax.app.batch import remote
    except ImportError as error:
        raise InputError("needs fsspec", field="URL", fix="pip install 'gagjax[ray]'") from error
    return remote


def _fetched(url: str, folder: Path) -> Path:
    return _fsspec().get_file(url, folder)
