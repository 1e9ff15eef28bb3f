"""Workflow of `gagjax ablate`: variants of the stack on clips with ground truth."""

from __future__ import annotations

import csv
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from tqdm import tqdm

from gagjax.app.reports import html_page
from gagjax.app.reports.ablation import Shown, parts_of
from gagjax.app.workflows.avatar_source import Source, open_avatar
from gagjax.app.workflows.enhance import fitting
from gagjax.errors import InputError
from gagjax.flame.builtin_head import CONTROLS
from gagjax.io.tracks import load_track
from gagjax.metrics import motion, report
from gagjax.metrics.channels import channels_of
from gagjax.metrics.report import Measure
from gagjax.simulate import driver, observe
from gagjax.stack import STAGES, Stack, enhance_frames, enhance_track
from gagjax.track import Track

BUILTIN = "builtin"
#: Measures for tracks without a head, relative to the noisy track.
SHARES = {
    "error": Measure("error over the noisy track's", "", "low", "Root mean square over all channels that move.", 3),
    "bend": Measure("acceleration error over the noisy track's", "", "low", "The same of second differences.", 3),
    "lag": Measure("lag", "frames", "zero", "By cross-correlation of first differences.", 2),
}
COST = {
    "ms": Measure("time", "ms/frame", "low", "Track and frame stages together, compiled, best of two runs.", 3),
    "mb": Measure(
        "memory", "MB", "low", "What the compiled programs of the first clip hold: input, output, between.", 1
    ),
}


class AblationClip(NamedTuple):
    """Ground truth, its noisy track, and whether the clip is of the built-in head."""

    name: str
    truth: Track
    noisy: Track
    builtin: bool


def variants() -> dict[str, Callable[[], Stack]]:
    """The stacks to compare, in order."""
    return {
        "nothing": Stack,
        "temporal": lambda: Stack.default(enable=("temporal",)),
        "expression": lambda: Stack.default(enable=("expression",)),
        "gaze": lambda: Stack.default(enable=("gaze",)),
        "detail": lambda: Stack.default(enable=("detail", "eyes")),
        "default, all": lambda: Stack.default(enable=STAGES),
        "reference, all": Stack.reference,
    }


def clips_of(drivers: Sequence[str], seeds: int, frames: int) -> list[AblationClip]:
    """All clips of all drivers.

    Raises:
        InputError: If a track cannot be read, is too short, or does not move.
    """
    from gagjax.tuning import tracks

    found = []
    for name in drivers:
        if name == BUILTIN:
            for seed in range(seeds):
                truth = driver(frames, seed=seed, controls=CONTROLS)
                found.append(AblationClip(f"{name} {seed}", truth, observe(truth, seed=seed + 100), True))
            continue
        whole = load_track(Path(name)).validate(name)
        parts = whole.split()
        for sequence, truth in parts.items():
            called = f"{Path(name).stem} {sequence}" if len(parts) > 1 else Path(name).stem
            place = f"{name}, {sequence}" if len(parts) > 1 else name
            count = int(np.asarray(truth.valid).sum())
            if count < 15:
                raise InputError(f"has {count} frames that were tracked", file=place, fix="Pass a clip of 15 or more")
            if not tracks.moving(truth):
                raise InputError("does not move", file=place, fix="Pass a clip with motion")
            for seed in range(seeds):
                found.append(AblationClip(f"{called} {seed}", truth, tracks.observed(truth, seed), False))
    return found


def run(clips: Sequence[AblationClip], folder: Path, size: int) -> str:
    """Measure all variants on all clips, write report and CSV, and return the table as text."""
    avatar = open_avatar(None, None, None, size=size) if any(clip.builtin for clip in clips) else None
    samples: dict[str, list[dict[str, float]]] = {}
    kept: dict[str, Shown] = {}
    first: Shown | None = None
    with warnings.catch_warnings(), tqdm(total=len(clips) * 7, desc="ablating", unit="run", dynamic_ncols=True) as bar:
        warnings.simplefilter("ignore", UserWarning)  # the reference stack warns about its known faults on every run
        for clip in clips:
            true = None if avatar is None or not clip.builtin else np.stack(list(avatar.frames(clip.truth)))
            for name, make in variants().items():
                stack = make() if avatar is None else make().for_model(avatar.model, avatar.shape)
                stack = fitting(stack, clip.noisy)[0]
                values, shown = _measured(stack, clip, avatar, true)
                if name not in kept:
                    kept[name] = shown
                    values["mb"] = _memory(stack, clip, shown)
                samples.setdefault(name, []).append(values)
                bar.update()
            first = first or Shown(clip.truth, true)
    measures = {**report.MOTION, **report.IMAGE, **SHARES, **COST}
    keys = [key for key in measures if any(np.isfinite(each.get(key, np.nan)) for each in samples["nothing"])]
    means = {name: {key: _mean(each, key) for key in keys} for name, each in samples.items()}
    chosen = {key: measures[key] for key in keys}
    _write_csv(folder / "ablation.csv", samples, keys)
    assert first is not None
    parts = parts_of([clip.name for clip in clips], chosen, means, samples, first, clips[0].noisy, kept)
    (folder / "report.html").write_text(html_page.page("gagjax ablate", parts), encoding="utf-8")
    return report.as_text(chosen, means)


def _measured(
    stack: Stack, clip: AblationClip, avatar: Source | None, true: np.ndarray | None
) -> tuple[dict[str, float], Shown]:
    def work() -> tuple[Track, np.ndarray | None, float]:
        started = time.perf_counter()
        track = jax.block_until_ready(enhance_track(stack, clip.noisy))
        spent = time.perf_counter() - started
        if avatar is None or true is None:
            return track, None, spent
        pixels = np.stack(list(avatar.frames(track)))
        started = time.perf_counter()
        if stack.detail is not None or stack.eyes is not None:
            pixels = np.asarray(enhance_frames(stack, pixels, avatar.eye_centres(track))[0])
        return track, pixels, spent + time.perf_counter() - started

    # The first run compiles and is not timed.
    *_, first = work()
    track, pixels, second = work()
    values = {"ms": 1e3 * min(first, second) / len(clip.truth)}
    if not clip.builtin or avatar is None or true is None or pixels is None:
        return values | _shares(track, clip), Shown(track, None)
    closing = [CONTROLS[name] for name in ("blink_left", "blink_right")]
    values |= report.measure_track(track, clip.truth, avatar.model, closing=closing)
    values |= report.measure_frames(pixels, true)
    return values, Shown(track, pixels)


def _memory(stack: Stack, clip: AblationClip, shown: Shown) -> float:
    """Peak memory of the compiled track and frame programs, MB."""
    sizes = [0]
    if any(stage is not None for stage in (stack.temporal, stack.expression, stack.gaze)):
        sizes.append(_held(jax.jit(lambda s, t: enhance_track(s, t).channels).lower(stack, clip.noisy)))
    if shown.frames is not None and (stack.detail is not None or stack.eyes is not None):
        centres = np.full((len(shown.frames), 2, 2), 0.5, np.float32)
        sizes.append(_held(jax.jit(lambda s, f: enhance_frames(s, f, centres)[0]).lower(stack, shown.frames)))
    return max(sizes) / 1e6


def _held(lowered: jax.stages.Lowered) -> int:
    found: Any = lowered.compile().memory_analysis()
    return int(found.temp_size_in_bytes + found.output_size_in_bytes + found.argument_size_in_bytes)


def _shares(track: Track, clip: AblationClip) -> dict[str, float]:
    """Errors relative to the noisy track's, each channel in units of its own motion, where ground truth exists.

    A lost frame of the noisy track repeats the frame before it. A track that no stage has changed equals the noisy one,
    so its relative errors are 1 whatever was lost.
    """
    truth, noisy, mine = (_scaled(each, clip.truth) for each in (clip.truth, clip.noisy, track))
    seen = np.asarray(clip.noisy.valid)
    held = noisy[np.maximum.accumulate(np.where(seen, np.arange(len(seen)), int(np.argmax(seen))))]
    if track is clip.noisy:
        mine = held
    known = np.asarray(clip.truth.valid)
    bends = known[2:] & known[1:-1] & known[:-2]

    def share(x: np.ndarray, y: np.ndarray) -> float:
        bottom = np.sqrt(np.mean(np.square(y))) if y.size else 0.0
        return float(np.sqrt(np.mean(np.square(x))) / bottom) if bottom else float("nan")

    return {
        "error": share((mine - truth)[known], (held - truth)[known]),
        "bend": share(np.diff(mine - truth, 2, axis=0)[bends], np.diff(held - truth, 2, axis=0)[bends]),
        "lag": float(motion.lag(mine, truth, max_lag=10)),
    }


def _scaled(track: Track, truth: Track) -> np.ndarray:
    parts = []
    mine = channels_of(track)
    for name, channel in channels_of(truth).items():
        reference = channel.values
        spread = reference.std(0)
        moving = spread > 1e-6
        parts.append((mine[name].values[:, moving] - reference[:, moving].mean(0)) / spread[moving])
    return np.concatenate(parts, 1)


def _mean(samples: Sequence[dict[str, float]], key: str) -> float:
    values = [each[key] for each in samples if key in each and np.isfinite(each[key])]
    return float(np.mean(values)) if values else float("nan")


def _write_csv(path: Path, samples: dict[str, list[dict[str, float]]], keys: Sequence[str]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["variant", "sample", *keys])
        for name, each in samples.items():
            writer.writerows([name, k, *(values.get(key, "") for key in keys)] for k, values in enumerate(each))
