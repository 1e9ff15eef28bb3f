"""Tracking accuracy: videos with ground truth, real videos, and situations in which tracking must fail.

Three built-in identities perform, are rendered at 512 pixels under different lights and lenses, and are tracked from
the pixels with another identity's head (the mean one). Run: `python -m benchmarks.tracking_quality`.
"""

from __future__ import annotations

import argparse
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

import gagjax as gj
from benchmarks import tracking_failures, tracking_published
from benchmarks import tracking_truth as truth
from benchmarks.common import write_table
from gagjax import flame, so3
from gagjax.track import Track
from gagjax.tracking.clip import track_clip
from gagjax.tracking.faces.following import Follower
from gagjax.tracking.fit.shot import subject
from gagjax.tracking.sources import Source, open_source

SHARED = Path(__file__).resolve().parents[2] / "shared"
TARGETS = [
    "Targets: rotation <= 1.0 deg after a constant, constant <= 1.0; jaw r >= .97; lips r >= .99, slope >= .95; lids r >= .98, "
    "slope >= .92; gaze yaw r >= .90, pitch r >= .75, error <= 2 deg; blinks found >= 95 %.",
    "Raw is what the tracker gives (it smooths nothing), enhanced what `gagjax enhance` makes of it. "
    "Jitter is the mean second difference of the fitted expression.",
    "The fit's constants were chosen on the films that are not marked held out.",
    "The marking of the built-in head (benchmarks/calibrate_marking.py) was measured on identities 11 to 32, none of which is shown here; "
    "its numbers of modes and the weights of the gaze's pitch were chosen on the films that are not marked held out.",
]

PUBLISHED = [
    "footage/a against the track published with it (VHAP, FLAME 2023; global rotation and neck composed). Targets: r >= .98, "
    "difference <= 1.5 deg after a constant, jaw r >= .9. Spread is the standard deviation over the clip.",
    "The network's depth and PnP know nothing of this project's fit. They turn as far as ours with an estimated focal "
    "length, 1.5 times as far in yaw as the published track, and their roll agrees with it no better than ours: the "
    "published roll has a spread of less than a degree. With the published rotations landmarks are met worse than with "
    "those of PnP. What the published track is right about cannot be told from this clip.",
]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--frames", type=int, default=truth.FRAMES)
    options = parser.parse_args()
    rows = []
    for case in truth.CASES + truth.HELD_OUT:
        rows += truth_rows(case, options.frames)
    write_table("tracking_quality", HEADER, rows, command="python -m benchmarks.tracking_quality", notes=TARGETS)
    real = real_rows()
    if real:
        write_table(
            "tracking_real",
            ["film", "frames", "valid", "residual of 105 points, %", "focal length, picture sides"],
            real,
            command="python -m benchmarks.tracking_quality",
            notes=[
                "Residual is a part of the distance between the pupils; target <= 1.3 %. "
                "What the modes of the network's own errors take up is not part of it."
            ],
        )
    tracking_failures.main()


HEADER = ["film", "track", "rotation, deg", "constant, deg", "jaw r", "lips r", "lips slope", "lids r", "lids slope"]
HEADER += ["gaze yaw r", "pitch r", "error, deg", "blinks found", "jitter"]


def tracked(case: truth.Case, frames: int) -> Track:
    """The raw track of a case's film, made from its pixels, in the frame of the whole picture's camera."""
    marks = truth.landmarks(case, frames)
    source = Source(Path(f"truth{case.seed}.mp4"), "film", truth.SIZE, truth.SIZE, frames, Fraction(25))
    head = subject(flame.builtin())
    clip = track_clip(head, marks, np.zeros(len(marks), bool), source)
    # The truth's camera sees the full image: compare in its frame, not in the crop's.
    return Track(
        clip.track.expression,
        clip.track.jaw,
        clip.track.eyes,
        np.concatenate([shot.transform for shot in clip.shots]),
        shape=clip.track.shape,
        valid=clip.track.valid,
    )


def truth_rows(case: truth.Case, frames: int) -> list[list[Any]]:
    """One row for the raw and one for the enhanced track."""
    raw = tracked(case, frames)
    smooth = gj.enhance_track(gj.Stack.default(enable=("temporal",)), raw)
    known = truth.performance(case, frames)
    name = f"identity {case.seed}, lens {case.focal:g}, {case.light}" + (", held out" if case in truth.HELD_OUT else "")
    return [[name, label, *measured(case, known, track)] for label, track in (("raw", raw), ("enhanced", smooth))]


def measured(case: truth.Case, known: Track, track: Any) -> list[Any]:
    """The columns of `HEADER` from rotation on."""
    turn = np.einsum("tba,tbc->tac", np.asarray(known.transform)[:, :, :3], np.asarray(track.transform)[:, :, :3])
    error = np.degrees(np.asarray(so3.log(turn.astype(np.float32))))
    constant = error.mean(0)
    model, actor = flame.builtin(), flame.builtin(case.seed)
    ours, theirs = _landmarks(model, track, np.asarray(track.shape)), _landmarks(actor, known, np.zeros(1))
    lips, true_lips = (np.asarray(flame.lip_aperture(x)) for x in (ours, theirs))
    lids, true_lids = (np.asarray(flame.lid_aperture(x)).mean(1) for x in (ours, theirs))
    eyes, true_eyes = (np.degrees(np.asarray(x.eyes)).reshape(-1, 2, 3).mean(1)[:, :2] for x in (track, known))
    open_eyes = true_lids > 0.5 * np.median(true_lids)
    away = (eyes - true_eyes)[open_eyes]
    away = np.linalg.norm(away - np.median(away, 0), axis=1).mean()
    r = lambda a, b: float(np.corrcoef(a, b)[0, 1])  # noqa: E731
    slope = lambda a, b: float(np.polyfit(a, b, 1)[0])  # noqa: E731
    found, blinks = _blinks(true_lids, lids)
    return [
        float(np.linalg.norm(error - constant, axis=1).mean()),
        float(np.linalg.norm(constant)),
        r(np.asarray(known.jaw)[:, 0], np.asarray(track.jaw)[:, 0]),
        r(true_lips, lips),
        slope(true_lips, lips),
        r(true_lids, lids),
        slope(true_lids, lids),
        r(true_eyes[open_eyes, 1], eyes[open_eyes, 1]),
        r(true_eyes[open_eyes, 0], eyes[open_eyes, 0]),
        float(away),
        f"{found} of {blinks}",
        float(np.abs(np.diff(np.asarray(track.expression), 2, axis=0)).mean()),
    ]


def _landmarks(model: Any, track: Any, shape: np.ndarray) -> np.ndarray:
    jaw = np.asarray(track.jaw)
    used = shape[: min(len(shape), model.shapes)]
    v = flame.vertices(
        model, used, np.asarray(track.expression), np.concatenate([0 * jaw, jaw], 1), np.zeros((len(jaw), 6))
    )
    return np.asarray(flame.landmarks(model, v))


def _blinks(known: np.ndarray, found: np.ndarray) -> tuple[int, int]:
    """The number of true blinks at which the track's eyelids close at least by half, and the number of true blinks."""
    low, mine = known < 0.5 * np.median(known), found < 0.6 * np.median(found)
    starts = np.flatnonzero(low & ~np.r_[False, low[:-1]])
    return sum(bool(mine[max(0, s - 1) : s + 4].any()) for s in starts), len(starts)


def real_rows() -> list[list[Any]]:
    """Residuals on real videos; empty if these are absent."""
    rows: list[list[Any]] = []
    head = subject(flame.builtin())
    for name in ("video/obama.mp4", "footage/a/clip.mp4"):
        path = SHARED / name
        if not path.exists():
            continue
        source, follower = open_source(path), Follower()
        looks = [follower(picture) for picture in source.frames()]
        clip = track_clip(head, np.stack([x.points for x in looks]), np.array([x.cut for x in looks]), source)
        camera = clip.shots[0].camera
        valid = np.asarray(clip.track.valid)
        focal = float("nan") if camera is None else camera.focal / max(camera.width, camera.height)
        if (path.parent / "flame_params.json").exists():
            marks = np.stack([x.points for x in looks])
            write_table(
                "tracking_published",
                tracking_published.HEADER,
                tracking_published.rows(head, marks, path.parent, float(source.fps)),
                command="python -m benchmarks.tracking_quality",
                notes=PUBLISHED,
            )
        rows.append([name, len(valid), int(valid.sum()), 100 * float(np.nanmean(clip.residual)), focal])
    return rows


if __name__ == "__main__":
    main()
