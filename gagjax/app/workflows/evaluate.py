"""Workflow of `gagjax eval`: measures of tracks and videos, with units."""

from __future__ import annotations

import contextlib
import csv
import io
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from tqdm import tqdm

from gagjax.app.waiting import waiting
from gagjax.errors import InputError
from gagjax.io import video
from gagjax.io.tracks import load_track
from gagjax.metrics import motion, quality, report
from gagjax.metrics.channels import channel_jitter, channels_of
from gagjax.text.table import text_table
from gagjax.track import Track
from gagjax.typing import AnyArray


class Row(NamedTuple):
    """One measured value."""

    name: str
    value: float
    unit: str


#: What the enhancements' document names, and LPIPS; `gagjax.metrics.quality` defines them.
QUALITY: dict[str, report.Measure] = {
    "fidelity": report.Measure("detail fidelity", "", "high", "Agreement of the three finest Laplacian bands.", 3),
    "stability": report.Measure(
        "temporal stability", "", "none", "1 for stillness and steady change, 0 for back and forth.", 3
    ),
    "stability_true": report.Measure("temporal stability of the truth", "", "none", "The same of the true frames.", 3),
    "lpips": report.Measure("LPIPS", "", "low", "Perceptual distance, AlexNet.", 4),
}


def of_tracks(result: Path, truth: Path | None, flame: Path | None, fps: str | None) -> list[Row]:
    """Measure a track file.

    Raises:
        InputError: If the tracks do not match, or one cannot be read.
    """
    track = load_track(result, fps=fps).validate(str(result))
    true = None if truth is None else load_track(truth, fps=fps).validate(str(truth))
    if true is not None and len(true) != len(track):
        raise InputError(f"has {len(track)} frames, its truth {len(true)}", file=result, fix="Compare the same clip")
    parts = track.split()
    if true is not None and list(true.sequences) != list(parts) and len(parts) > 1:
        raise InputError(
            f"holds {', '.join(parts)}, its truth {', '.join(true.sequences)}",
            file=result,
            fix="Compare the same clips",
        )
    if min(len(part) for part in parts.values()) < 4:
        raise InputError(
            f"has {min(len(part) for part in parts.values())} frames", file=result, fix="Four are needed to see jitter"
        )
    model: Any = None
    if true is not None and np.any(true.expression):
        from gagjax.flame.builtin_head import builtin
        from gagjax.flame.loader import load

        model = builtin() if flame is None else load(flame)
    truths = {} if true is None else {name: true.take(places) for name, places in track.sequences.items()}
    rows = []
    for name, part in parts.items():
        each: list[Row] = []
        if model is not None:
            with waiting(f"measuring {len(part)} frames on the head"):
                values = report.measure_track(part, truths[name], model)
            each += [Row(report.MOTION[key].label, value, report.MOTION[key].unit) for key, value in values.items()]
        each += of_fields(part, truths.get(name))
        # Measured per sequence: a change of person is not jitter.
        rows += [row._replace(name=f"{name}, {row.name}") if len(parts) > 1 else row for row in each]
    return rows


def of_fields(track: Track, truth: Track | None) -> list[Row]:
    """Jitter of every moving channel and, given the truth, its error and lag; rotations in degrees."""
    rows = []
    mine, true = channels_of(track), None if truth is None else channels_of(truth)
    valid = np.asarray(track.valid)
    for name, channel in mine.items():
        if true is not None and name not in true:
            continue
        xs, unit = channel.values, channel.unit
        reference = None if true is None else true[name].values
        if np.ptp(xs if reference is None else reference, axis=0).max() < 1e-6:
            continue
        rows.append(Row(f"{name}: jitter", channel_jitter(channel, valid), f"{unit or 1}/frame²"))
        if reference is not None:
            error = xs - reference
            rows.append(Row(f"{name}: error", _rms(error), unit))
            rows.append(Row(f"{name}: acceleration error", _rms(np.diff(error, 2, axis=0)), f"{unit or 1}/frame²"))
            if len(xs) >= 15:
                rows.append(Row(f"{name}: lag", float(motion.lag(xs, reference, max_lag=10)), "frames"))
    return rows


def of_videos(result: Path, truth: Path, lpips: Sequence[Path] = ()) -> list[Row]:
    """Compare a video with its reference, one chunk of frames at a time.

    Args:
        result: The video.
        truth: The reference video.
        lpips: The user's weights for LPIPS; empty skips it.

    Raises:
        InputError: If sizes or lengths differ, or a file cannot be read.
    """
    distance = _lpips(lpips) if lpips else None
    frames, info = video.read(result)
    true, other = video.read(truth)
    with frames, true, contextlib.ExitStack() as shown:
        if (info.width, info.height) != (other.width, other.height):
            raise InputError(
                f"is {info.width} x {info.height}, its truth {other.width} x {other.height}",
                file=result,
                fix="Compare videos of one size",
            )
        sums: dict[str, list[tuple[float, int]]] = {}
        count = 0
        bar = shown.enter_context(tqdm(total=info.frames or None, desc="measuring", unit="frame", dynamic_ncols=True))
        while True:
            mine, theirs = _chunk(frames), _chunk(true)
            if len(mine) != len(theirs):
                raise InputError("is not as long as its truth", file=result, fix="Compare the same clip")
            if not len(mine):
                break
            count += len(mine)
            bar.update(len(mine))
            if len(mine) < 2:
                mine, theirs = np.repeat(mine, 2, 0), np.repeat(theirs, 2, 0)
            for key, value in report.measure_frames(mine, theirs).items():
                sums.setdefault(key, []).append((value, len(mine)))
            sums.setdefault("fidelity", []).append((float(quality.detail_fidelity(mine, theirs).mean()), len(mine)))
            if len(mine) > 2:
                for key, pixels in (("stability", mine), ("stability_true", theirs)):
                    sums.setdefault(key, []).append((float(quality.temporal_stability(pixels)), len(mine)))
            if distance is not None:
                sums.setdefault("lpips", []).append((distance(mine, theirs), len(mine)))
    if not count:
        raise InputError("has no frames", file=result)
    means = {key: np.average([v for v, _ in each], weights=[n for _, n in each]) for key, each in sums.items()}
    known = report.IMAGE | QUALITY
    return [Row(known[key].label, float(value), known[key].unit) for key, value in means.items()]


def _lpips(files: Sequence[Path]) -> Callable[[Any, Any], float]:
    try:
        from bridge import perceptual
    except ImportError as error:
        raise InputError("needs torch", field="--lpips", fix="pip install 'gagjax[torch]'") from error
    metric = perceptual.Lpips.load(*files)

    def distance(mine: AnyArray, theirs: AnyArray) -> float:
        frames, truth = (jnp.asarray(x, jnp.float32) / 255 for x in (mine, theirs))
        return float(np.mean(perceptual.lpips(metric, frames, truth)))

    return distance


def as_text(rows: list[Row]) -> str:
    """Names, values and units in columns."""
    lines = text_table([(row.name, f"{row.value:12.5g}") for row in rows]).splitlines()
    return "\n".join(f"{line}  {row.unit}".rstrip() for line, row in zip(lines, rows, strict=True))


def as_csv(rows: list[Row]) -> str:
    """The rows as comma-separated values."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(Row._fields)
    writer.writerows(rows)
    return text.getvalue()


def _chunk(frames: Iterator[np.ndarray]) -> np.ndarray:
    import itertools

    part = list(itertools.islice(frames, report.CHUNK))
    return np.stack(part) if part else np.zeros((0, 1, 1, 3), np.uint8)


def _rms(x: AnyArray) -> float:
    return float(np.sqrt(np.mean(np.square(jax.device_get(x)))))
