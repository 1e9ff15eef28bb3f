"""The clips of a batch: which there are, what is done with one, and the way through all of them."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from gagjax.app.manifest import Manifest
from gagjax.buckets import bucket
from gagjax.errors import InputError

TRACKS = (".npz", ".pkl", ".pickle")
FRAME_SIZE = 485  # bytes of a frame in our own format
VIDEOS = (".mp4", ".mov", ".m4v", ".mkv", ".avi", ".webm", ".gif")


class Job(NamedTuple):
    """One clip: the track or video, and the file that it becomes; paths or URLs."""

    source: str
    result: str


class Counts(NamedTuple):
    """How many clips are done now, were done before, and failed (now, or before and not tried again)."""

    done: int
    before: int
    failed: int


def is_url(path: str) -> bool:
    """Whether it is a URL for fsspec, not a path."""
    return "://" in path


def config_of(preset: str, fps: str | None = None) -> dict[str, Any]:
    """What `process_clip` needs besides the clip; holds the content of a preset file, which a worker may not have."""
    text = Path(preset).read_text(encoding="utf-8") if Path(preset).is_file() else None
    return {"preset": preset, "text": text, "fps": fps}


def jobs_of(inputs: Sequence[str], out: str) -> list[Job]:
    """The clips of the inputs, each with a result of its own.

    Raises:
        InputError: If an input does not exist or holds no clip, or two clips would have the same result.
    """
    jobs: dict[str, Job] = {}
    for source in [clip for each in inputs for clip in _clips_in(each)]:
        path = Path(source)
        suffix = path.suffix.lower()
        name = f"{path.stem if suffix in TRACKS + VIDEOS else path.name}{'.mp4' if suffix in VIDEOS else '.npz'}"
        result = f"{out.rstrip('/')}/{name}" if is_url(out) else str(Path(out) / name)
        if name in jobs:
            raise InputError(
                f"and {jobs[name].source} would both become {name}",
                file=source,
                fix="Rename one, or run them into two folders",
            )
        if not is_url(source) and path.resolve() == Path(result).resolve():
            raise InputError("would be replaced by its own result", file=source, fix="Choose another folder with -o")
        jobs[name] = Job(source, result)
    return list(jobs.values())


def likeness(job: Job) -> str:
    """A name that clips share which need the same compiled programs, as far as their files tell without being read."""
    path = Path(job.source)
    if is_url(job.source) or path.suffix.lower() in VIDEOS or not path.is_file():
        return path.suffix.lower()
    return f"{path.suffix.lower()} {bucket(path.stat().st_size // FRAME_SIZE)}"


def process_clip(source: str, result: str, config: Mapping[str, Any]) -> None:
    """Enhance one clip. Wherever it runs, the same clip and configuration give the same file, whole or not at all.

    Args:
        source: A track or a video; a path or a URL that fsspec knows.
        result: The `.npz` or `.mp4` to write; replaced if it is there.
        config: Of `config_of`.

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


def run(
    jobs: Sequence[Job],
    manifest: Manifest,
    config: Mapping[str, Any],
    *,
    engine: str = "local",
    workers: int = 1,
    retry: bool = False,
) -> Counts:
    """Work through the jobs that are not done, each noted in the manifest as it ends."""
    from tqdm import tqdm

    from gagjax.app import engines

    before, given_up, left = [], [], []
    stamps = {job: _stamp(job.source) for job in jobs}
    for job in jobs:
        entry = manifest.get(job.result)
        same = entry is not None and entry.stamp == stamps[job]
        if same and entry.status == "done" and (is_url(job.result) or Path(job.result).exists()):
            before.append(job)
        elif same and entry.status == "failed" and not retry:
            given_up.append(job)
        else:
            left.append(job)
    failed = 0
    with tqdm(total=len(left), desc="clips", unit="clip", dynamic_ncols=True, disable=None) as bar:
        for job, reason in engines.ENGINES[engine](left, config, workers):
            failed += reason is not None
            manifest.add(job.result, job.source, stamps[job], reason)
            bar.update()
    return Counts(len(left) - failed, len(before), failed + len(given_up))


def tried(source: str, result: str, config: Mapping[str, Any]) -> str | None:
    """`process_clip`, with what went wrong as a text: one bad clip never stops the rest."""
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
    if source.suffix.lower() in VIDEOS:
        from gagjax.app.sharpening import enhance_video

        enhance_video(stack, source, result, force=True)
        return
    import jax
    import numpy as np

    from gagjax.app.enhance import fitting
    from gagjax.io.tracks import load_track, save_track
    from gagjax.stack import enhance_track

    track = load_track(source, fps=config["fps"])
    if len(track) < 2:
        raise InputError("has one frame", file=source, fix="A clip has at least two")
    after = enhance_track(fitting(stack, track)[0], track)
    save_track(jax.tree.map(np.asarray, after), result, format="gagjax", force=True)


def _clips_in(place: str) -> Iterator[str]:
    if is_url(place):
        yield place
        return
    path = Path(place)
    if not path.exists():
        raise InputError("does not exist", file=path)
    if _is_clip(path):
        yield place
        return
    inside = sorted(each for each in path.iterdir() if _is_clip(each)) if path.is_dir() else []
    if not inside:
        raise InputError("is no track or video and holds none", file=path)
    yield from map(str, inside)


def _is_clip(path: Path) -> bool:
    if path.is_file():
        return path.suffix.lower() in TRACKS + VIDEOS and not path.name.startswith(".")
    return any((path / name).is_file() for name in ("optim.pkl", "smoothed.pkl", "flame_param.npz"))


def _stamp(source: str) -> str:
    """What changes when a file does; a URL is its own."""
    if is_url(source):
        return source
    path = Path(source)
    files = [path] if path.is_file() else sorted(path.glob("*.*"))
    return ";".join(f"{f.name}:{f.stat().st_size}:{f.stat().st_mtime_ns}" for f in files if f.is_file())


def _fsspec() -> Any:
    try:
        from gagjax.app import remote
    except ImportError as error:
        raise InputError("needs fsspec", field="URL", fix="pip install 'gagjax[ray]'") from error
    return remote


def _fetched(url: str, folder: Path) -> Path:
    return _fsspec().get_file(url, folder)
