"""Behaviour of tracking in hard and impossible situations, and whether `valid` reports the failure."""

from __future__ import annotations

import dataclasses
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks import tracking_truth as truth
from benchmarks.common import write_table
from gagjax import flame
from gagjax.errors import InputError
from gagjax.tracking.clip import track_clip
from gagjax.tracking.faces.following import Follower
from gagjax.tracking.fit.shot import subject
from gagjax.tracking.sources import Source


def main() -> None:
    """Write the table of failures."""
    a, b = truth.Case(3, 12.0, "even"), truth.Case(8, 12.0, "even")
    first, other = list(truth.film(a, 24)), list(truth.film(b, 12))
    rows = [row(name, frames, expected) for name, expected, frames in situations(first, other)]
    for yaw in (45, 60, 75, 90):
        rows.append(row(f"head turned by {yaw} degrees", [profile(yaw)], "found" if yaw < 75 else "lost or not valid"))
    write_table(
        "tracking_failures",
        ["situation", "expected", "found", "valid", "shots", "residual, %", "what came out"],
        rows,
        command="python -m benchmarks.tracking_quality",
        notes=["Found and valid are frames of all frames. A frame that is not valid repeats the last good one."],
    )


def situations(first: list[np.ndarray], other: list[np.ndarray]) -> list[tuple[str, str, list[np.ndarray]]]:
    """Each situation: name, expected behaviour, and frames."""
    clean = first[:12]
    grey = [np.full_like(p, 127) for p in clean]
    lower = [p.copy() for p in first]
    for p in lower[8:16]:
        p[290:390, 170:310] = (196, 150, 128)
    two = [
        np.concatenate([p, np.asarray(Image.fromarray(q).resize((380, 380)).crop((0, 0, 380, 512)))], 1)
        for p, q in zip(clean, other, strict=True)
    ]
    dark = [(p * 0.1).astype(np.uint8) for p in clean]
    tiny = []
    big = []
    for p in clean[:4]:
        canvas = np.full((1080, 1920, 3), 110, np.uint8)
        canvas[500:668, 900:1068] = np.asarray(Image.fromarray(p).resize((168, 168), Image.Resampling.BOX))
        tiny.append(canvas)
        wide = np.full((2160, 3840, 3), 110, np.uint8)
        wide[400:1800, 1200:2600] = np.asarray(Image.fromarray(p).resize((1400, 1400)))
        big.append(wide)
    tall = [np.pad(p, ((256, 142), (0, 0), (0, 0)), mode="edge") for p in clean]
    return [
        ("no face", "an error that says so", grey),
        ("two faces", "the larger one throughout", two),
        ("hand over the mouth, frames 8-15", "those not valid", lower),
        ("upside down", "found, turned", [np.ascontiguousarray(p[::-1, ::-1]) for p in clean]),
        ("lying on a side", "found, turned", [np.ascontiguousarray(np.rot90(p)) for p in clean]),
        ("cut to another face", "two shots", clean + other),
        ("face gone in between", "lost, then found", clean + grey + clean),
        ("dark, a tenth", "found or lost, said", dark),
        ("35 px between the eyes in full HD", "found", tiny),
        ("4K", "found", big),
        ("one frame", "found", clean[:1]),
        ("portrait phone film", "found", tall),
    ]


def row(name: str, frames: list[np.ndarray], expected: str) -> list[Any]:
    """Track some frames and summarise the result."""
    follower = Follower()
    looks = [follower(frame) for frame in frames]
    height, width = frames[0].shape[:2]
    source = Source(Path("film.mp4"), "film", width, height, len(frames), Fraction(25))
    marks, cuts = np.stack([x.points for x in looks]), np.array([x.cut for x in looks])
    try:
        mouths = np.stack([x.mouth for x in looks])
        clip = track_clip(subject(flame.builtin()), marks, cuts, source, mouths=mouths)
    except InputError as error:
        return [name, expected, f"0/{len(frames)}", f"0/{len(frames)}", 0, "-", error.problem]
    valid, found = np.asarray(clip.track.valid), np.isfinite(marks[:, 0, 0])
    bad = np.flatnonzero(~valid)
    said = f"not valid: {_ranges(bad)}" if len(bad) else "all valid"
    counts = (f"{int(found.sum())}/{len(frames)}", f"{int(valid.sum())}/{len(frames)}")
    return [name, expected, *counts, len(clip.shots), round(100 * float(np.nanmedian(clip.residual)), 2), said]


def _ranges(numbers: np.ndarray) -> str:
    groups = np.split(numbers, np.flatnonzero(np.diff(numbers) > 1) + 1)
    return ", ".join(str(g[0]) if len(g) == 1 else f"{g[0]}-{g[-1]}" for g in groups)


def profile(yaw: float) -> np.ndarray:
    """One rendered image of a head turned by an angle in degrees."""
    case = truth.Case(3, 12.0, "even")
    track = truth.performance(case, 1)
    angle = np.radians(yaw)
    turn = np.array([[np.cos(angle), 0, -np.sin(angle)], [0, 1, 0], [np.sin(angle), 0, np.cos(angle)]])
    transform = np.concatenate([turn @ np.diag([-1.0, 1.0, -1.0]), [[0], [0], [9]]], 1)[None]
    return next(truth.film_of(case, dataclasses.replace(track, transform=transform)))


if __name__ == "__main__":
    main()
