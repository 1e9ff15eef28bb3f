"""Workflow of `gagjax demo`: simulate, enhance, render, measure, and write the report."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, UInt8
from tqdm import tqdm

from gagjax.app.reports import curves, html_page, panels
from gagjax.app.waiting import waiting
from gagjax.app.workflows.avatar_source import Source, open_avatar
from gagjax.flame.builtin_head import CONTROLS
from gagjax.gaze import track_eye_masks
from gagjax.io import images, video
from gagjax.io.tracks import save_track
from gagjax.metrics import report
from gagjax.simulate import driver, observe
from gagjax.stack import STAGES, Stack, enhance_frames, enhance_track
from gagjax.track import Track

CHUNK = 25  # frames enhanced per call
#: The tracks compared, in order, with their column titles.
COLUMNS = {"noisy": "noisy", "temporal": "temporal alone", "enhanced": "all four"}


class Shot(NamedTuple):
    """A track and its rendered frames."""

    track: Track
    pixels: UInt8[np.ndarray, "T H W 3"]


def make(folder: Path, frames: int, size: int, seed: int) -> str:
    """Write the demo into a folder.

    Args:
        folder: Existing output folder.
        frames: Number of frames, at 25 frames per second.
        size: Width and height of each frame, pixels.
        seed: Seed of the performance; the tracker's noise uses seed + 1.

    Returns:
        The tables and remarks on them, as text.
    """
    avatar = open_avatar(None, None, None, size=size)
    truth = driver(frames, seed=seed, controls=CONTROLS)
    noisy = observe(truth, seed=seed + 1)
    stack = Stack.default(enable=STAGES).for_model(avatar.model, avatar.shape)
    tracks = {
        "truth": truth,
        "noisy": noisy,
    }
    with waiting("enhancing the track; the programs are compiled first"):
        tracks["temporal"] = enhance_track(Stack.default(enable=("temporal",)), noisy)
        tracks["enhanced"] = enhance_track(stack, noisy)
    shots = _render(avatar, tracks, size)
    shots["enhanced"] = _enhance_pixels(stack, avatar, shots["enhanced"])

    closing = [CONTROLS[name] for name in ("blink_left", "blink_right")]
    eyes = np.asarray(track_eye_masks(avatar.model, truth, size, size)).max(1)
    motion, pictures = {}, {}
    for name, column in _progress(COLUMNS.items(), "measuring", len(COLUMNS)):
        motion[column] = report.measure_track(shots[name].track, truth, avatar.model, closing=closing)
        pictures[column] = report.measure_frames(shots[name].pixels, shots["truth"].pixels, eyes)

    video.write(
        folder / "comparison.mp4",
        _progress((row(shots, i) for i in range(frames)), "writing", frames),
        truth.fps,
        crf=17,
    )
    curves.draw(folder / "curves.png", truth, noisy, tracks["temporal"], tracks["enhanced"], CONTROLS)
    instant = telling_instant(shots, np.asarray(truth.expression)[:, closing].max(1))
    images.write(folder / "poster.png", row(shots, instant, notes=False))
    for name in ("truth", "noisy", "enhanced"):
        save_track(tracks[name], folder / f"{name}.npz")
    facts = _facts(truth, noisy, size, seed)
    known = explain(motion, pictures)
    parts = _parts(folder, shots, instant, motion, pictures, facts, known)
    (folder / "report.html").write_text(html_page.page("gagjax demo", parts), encoding="utf-8")
    return "\n".join(
        [
            "",
            facts,
            "",
            "motion against the truth (* best)",
            report.as_text(report.MOTION, motion),
            "",
            "pictures against the truth",
            report.as_text(report.IMAGE, pictures),
            "",
            *(f"- {line}" for line in known),
        ]
    )


def row(shots: Mapping[str, Shot], i: int, *, notes: bool = True) -> UInt8[np.ndarray, "H W 3"]:
    """Truth, noisy and enhanced frame at one instant, labelled; a lost frame is noted."""
    lost = notes and not np.asarray(shots["noisy"].track.valid)[i]
    return panels.beside(
        [shots[name].pixels[i] for name in ("truth", "noisy", "enhanced")],
        ["truth", "noisy track", "enhanced"],
        ["", "frame lost" if lost else "", ""],
    )


def telling_instant(shots: Mapping[str, Shot], closed: Float[np.ndarray, "T"]) -> int:
    """The frame with the largest improvement over the noisy track, among valid frames with the eyes open."""
    gained = np.asarray(
        [
            np.square(np.subtract(shots["noisy"].pixels[i], shots["truth"].pixels[i], dtype=np.float32)).mean()
            - np.square(np.subtract(shots["enhanced"].pixels[i], shots["truth"].pixels[i], dtype=np.float32)).mean()
            for i in range(len(closed))
        ]
    )
    usable = (closed < 0.4) & np.asarray(shots["noisy"].track.valid)
    return int(np.argmax(np.where(usable, gained, -np.inf)))


def explain(motion: Mapping[str, Mapping[str, float]], pictures: Mapping[str, Mapping[str, float]]) -> list[str]:
    """Summarise the results in sentences derived from them, including unfavourable ones."""
    noisy, steady, full = (motion[name] for name in COLUMNS.values())
    ratio = noisy["acceleration"] / steady["acceleration"]
    lines = [
        f"The temporal stage divides the acceleration error by {ratio:.1f} and the vertex error by "
        f"{noisy['vertex'] / steady['vertex']:.1f}; its lag is {steady['lag_face']:+.0f} ms in the face and "
        f"{steady['lag_head']:+.0f} ms in the head (it sees the whole clip)."
    ]
    if np.isfinite(steady.get("blink", np.nan)):
        lines.append(
            f"Blinks keep {steady['blink']:.0f} % of their depth (the noisy track shows {noisy['blink']:.0f} %, noise "
            "included)."
        )
    else:
        lines.append("There is no blink in this clip: take a longer one to see what is left of blinks.")
    lines.append(
        "Gaze correction makes eye contact where the eyes all but look at the camera, and leaves glances away alone "
        f"({noisy['contact']:.1f}° off the camera on average before, {full['contact']:.1f}° after); that is a change on "
        f"purpose, so with all four the gaze error against the truth is {full['gaze']:.1f}° instead of "
        f"{steady['gaze']:.1f}°."
    )
    before, after = (pictures[name] for name in list(COLUMNS.values())[1:])
    lines.append(
        f"Sharpening goes beyond the truth as rendered: PSNR is {after['psnr']:.2f} dB with all four, "
        f"{before['psnr']:.2f} dB with the temporal stage alone."
    )
    worse = [
        each.label
        for key, each in report.MOTION.items()
        if each.best == "low" and key in steady and steady[key] > noisy[key]
    ]
    if worse:
        lines.append(f"Worse than the noisy track after the temporal stage: {', '.join(worse)}.")
    return lines


def _render(avatar: Source, tracks: Mapping[str, Track], size: int) -> dict[str, Shot]:
    shots = {}
    with tqdm(total=sum(map(len, tracks.values())), desc="rendering", unit="frame", dynamic_ncols=True) as bar:
        for name, track in tracks.items():
            pixels = np.empty((len(track), size, size, 3), np.uint8)
            for i, frame in enumerate(avatar.frames(track)):
                pixels[i] = frame
                bar.update()
            shots[name] = Shot(track, pixels)
    return shots


def _enhance_pixels(stack: Stack, avatar: Source, shot: Shot) -> Shot:
    centres, state, chunks = avatar.eye_centres(shot.track), None, []
    for start in _progress(range(0, len(shot.pixels), CHUNK), "sharpening", -(-len(shot.pixels) // CHUNK)):
        part = slice(start, start + CHUNK)
        pixels, state = enhance_frames(stack, shot.pixels[part], centres[part], state)
        chunks.append(np.asarray(pixels))
    return Shot(shot.track, np.concatenate(chunks))


def _progress(items: Iterable[Any], what: str, total: int) -> Iterator[Any]:
    return iter(tqdm(items, what, total, dynamic_ncols=True))


def _facts(truth: Track, noisy: Track, size: int, seed: int) -> str:
    lost = int((~np.asarray(noisy.valid)).sum())
    return (
        f"{len(truth)} frames at {truth.fps} fps, {size} pixels, seed {seed}; the tracker lost {lost} frames and was "
        f"grossly wrong in {round(0.02 * len(truth))}"
    )


def _parts(
    folder: Path,
    shots: Mapping[str, Shot],
    instant: int,
    motion: Mapping[str, Any],
    pictures: Mapping[str, Any],
    facts: str,
    known: list[str],
) -> list[str]:
    count = len(shots["truth"].pixels)
    fps = float(shots["truth"].track.fps)
    strip = [_strip(shots, i) for i in np.linspace(0, count - 1, min(6, count)).round().astype(int).tolist()]
    gaps = np.full((strip[0].shape[0], 4, 3), 255, np.uint8)
    joined = np.concatenate([piece for each in strip for piece in (each, gaps)][:-1], axis=1)
    return [
        html_page.paragraph(
            "A built-in head performs (the truth), a simulated tracker writes down what it sees (noisy track), and the "
            "default stack works on that alone (enhanced). Since the truth is known, every figure is an error against it."
        ),
        html_page.paragraph(facts + ".", soft=True),
        html_page.video(folder / "comparison.mp4", "comparison.mp4: truth, noisy track, enhanced."),
        html_page.heading("What to take from it"),
        html_page.bullets(known),
        html_page.heading("Curves"),
        html_page.picture(
            (folder / "curves.png").read_bytes(), "One channel of each field. Grey: lost frames.", plot=True
        ),
        html_page.heading("Motion against the truth"),
        html_page.paragraph(
            "“Temporal alone” is the smoothing stage; “all four” adds expression, gaze and detail, as --enhanced does. "
            "The best figure of a row is marked."
        ),
        html_page.table(report.MOTION, motion),
        html_page.heading("Pictures against the truth"),
        html_page.table(report.IMAGE, pictures),
        html_page.heading("Frames"),
        html_page.picture(
            row(shots, instant, notes=False), f"Where enhancing gains most: frame {instant}, {instant / fps:.2f} s."
        ),
        html_page.picture(joined, "Six instants of the clip; from the top: truth, noisy track, enhanced."),
        html_page.heading("Files"),
        html_page.bullets(
            [
                "truth.npz, noisy.npz, enhanced.npz: the tracks; gagjax.load_track reads them.",
                "comparison.mp4, curves.png, poster.png: what is shown above.",
            ]
        ),
    ]


def _strip(shots: Mapping[str, Shot], i: int) -> np.ndarray:
    return np.concatenate([panels.resized(shots[name].pixels[i], 200) for name in ("truth", "noisy", "enhanced")])
