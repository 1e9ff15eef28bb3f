"""The jobs of a batch: collect the clips, and run those that are not done yet."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from gagjax.app.batch.manifest import Manifest
from gagjax.app.batch.processing import TRACKS, Job, is_film, is_url
from gagjax.errors import InputError
from gagjax.io.identity import content_hash

#: Runs jobs with a configuration on a number of workers; yields each as it ends, with the reason of a failure or None.
Executor = Callable[[Sequence[Job], Mapping[str, Any], int], Iterator[tuple[Job, str | None]]]


#: Suffixes of files that hold a track or something else: networks, cameras, tables.
LOOKED_INTO = (".pt", ".pth", ".json", ".csv", ".npy", ".mat")
#: Size in bytes above which a torch file in a folder is taken to be a network; a one-hour track is half of it.
TORCH_TRACK = 1 << 29


class Counts(NamedTuple):
    """Number of clips done now, done before, and failed (now, or before and not retried)."""

    done: int
    before: int
    failed: int


def config_of(preset: str, fps: str | None = None, *, keep: bool = False) -> dict[str, Any]:
    """Configuration for `process_clip`; includes the text of a preset file, which a worker may not be able to read.

    Args:
        preset: Name of a preset, or its file.
        fps: Frame rate of tracks whose file has none.
        keep: Tracks keep their format, as `jobs_of` was told.
    """
    text = Path(preset).read_text(encoding="utf-8") if Path(preset).is_file() else None
    return {"preset": preset, "text": text, "fps": fps} | ({"keep": True} if keep else {})


def jobs_of(inputs: Sequence[str], out: str, *, keep: bool = False) -> list[Job]:
    """The clips of the inputs, each with its own result path.

    Args:
        inputs: Tracks and videos, folders of them, or URLs.
        out: Where results go, a folder or a URL.
        keep: Tracks keep their names and with them their formats, instead of becoming `.npz`.

    Raises:
        InputError: If an input does not exist or holds no clip, or two clips would have the same result.
    """
    jobs: dict[str, Job] = {}
    for source in [clip for each in inputs for clip in _clips_in(each)]:
        path = Path(source)
        film = is_film(source)
        whole = path.is_dir() or not (film or path.suffix.lower() in TRACKS)
        kept = keep and not film
        name = path.name if kept else f"{path.name if whole else path.stem}{'.mp4' if film else '.npz'}"
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


def run_jobs(
    jobs: Sequence[Job],
    manifest: Manifest,
    config: Mapping[str, Any],
    *,
    executor: Executor,
    workers: int = 1,
    retry: bool = False,
) -> Counts:
    """Run the jobs that are not done, recording each in the manifest as it ends."""
    from tqdm import tqdm

    before, given_up, left = [], [], []
    stamps = {job: _stamp(job.source) for job in jobs}
    for job in jobs:
        entry = manifest.get(job.result)
        status = entry.status if entry is not None and entry.stamp == stamps[job] else None
        if status == "done" and (is_url(job.result) or Path(job.result).exists()):
            before.append(job)
        elif status == "failed" and not retry:
            given_up.append(job)
        else:
            left.append(job)
    failed = 0
    with tqdm(total=len(left), desc="clips", unit="clip", dynamic_ncols=True, disable=None) as bar:
        for job, reason in executor(left, config, workers):
            failed += reason is not None
            manifest.add(job.result, job.source, stamps[job], reason)
            bar.update()
    return Counts(len(left) - failed, len(before), failed + len(given_up))


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
    inside = sorted(each for each in path.iterdir() if _is_clip(each, listed=True)) if path.is_dir() else []
    if not inside:
        raise InputError("is no track or video and holds none", file=path, fix="`gagjax info` says what a file is")
    yield from map(str, inside)


def _is_clip(path: Path, *, listed: bool = False) -> bool:
    """Whether a path is a clip; of a folder's files, those that may be anything are only if they hold a track."""
    from gagjax.io.tracks import find, holds_track

    if path.is_dir():
        return not path.name.startswith(".") and (is_film(str(path)) or holds_track(path))
    suffix = path.suffix.lower()
    if path.name.startswith(".") or not (suffix in TRACKS or is_film(str(path))):
        return False
    if not listed or suffix not in LOOKED_INTO:
        return True
    try:
        return path.stat().st_size < TORCH_TRACK and find(path).format != "portraits"
    except InputError:
        return False


def _stamp(source: str) -> str:
    """Identify a clip by its location and a hash of its contents; a URL identifies itself."""
    if is_url(source):
        return source
    return f"{Path(source).resolve()} {content_hash(source)}"
