"""The report of `gagjax ablate`: table and intervals; curves, frame strips and a video of the first clip."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from gagjax.app.reports import curves, html_page, panels
from gagjax.flame.builtin_head import CONTROLS
from gagjax.io import video
from gagjax.metrics.report import Measure
from gagjax.track import Track

COMPARED = ("nothing", "default, all", "reference, all")
COLUMNS = 6  # frames in a strip


class Shown(NamedTuple):
    """A variant's result on the first clip; no frames unless the clip is of the built-in head."""

    track: Track
    frames: np.ndarray | None


def parts_of(
    names: Sequence[str],
    chosen: dict[str, Measure],
    means: Mapping[str, Mapping[str, float]],
    samples: Mapping[str, list[dict[str, float]]],
    truth: Shown,
    noisy: Track,
    shown: Mapping[str, Shown],
) -> list[str]:
    """The HTML parts of the page."""
    parts = [
        html_page.paragraph(
            "Each column is a stack: nothing, each enhancement of the default stack alone, all of them, and the original's "
            "enhancements. Figures are means over clips and seeds against the known truth; the best of a row is marked. "
            f"Clips: {', '.join(names)}."
        ),
        html_page.table(chosen, means),
        html_page.heading("95 % bootstrap intervals of the mean"),
        html_page.bullets([_interval_line(name, samples[name], chosen) for name in samples]),
        html_page.heading("Curves of the first clip"),
        html_page.picture(_plot(truth.track, noisy, shown), "Truth, the noisy track, and two stacks.", plot=True),
    ]
    if truth.frames is None:
        return parts
    frames = {"truth": truth.frames, **{name: shown[name].frames for name in shown}}
    pictures = {name: each for name, each in frames.items() if each is not None}
    parts.append(html_page.heading("Frames of the first clip, evenly spaced"))
    parts += [html_page.picture(_strip(each), name) for name, each in pictures.items()]
    compared = ["truth", *(name for name in COMPARED if name in pictures)]
    rows = [panels.beside([pictures[name][i] for name in compared], compared) for i in range(len(truth.frames))]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "compared.mp4"
        video.write(path, rows, truth.track.fps, crf=23)
        parts += [html_page.heading("Side by side"), html_page.video(path, ", ".join(compared))]
    return parts


def _strip(frames: np.ndarray) -> np.ndarray:
    chosen = np.linspace(0, len(frames) - 1, min(COLUMNS, len(frames))).round().astype(int)
    return np.concatenate(list(frames[chosen]), axis=1)


def _plot(truth: Track, noisy: Track, shown: Mapping[str, Shown]) -> bytes:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    time = np.arange(len(truth)) / float(truth.fps)
    lines = {"noisy": (noisy, curves.NOISY, 0.8), "default": (shown["default, all"].track, curves.ENHANCED, 1.6)}
    lines |= {"reference": (shown["reference, all"].track, "#2f855a", 1.2), "truth": (truth, curves.TRUTH, 1.0)}
    # Other trackers' templates have neither jaw nor eyes: channels that do not move are left out.
    sets = {name: curves.channels(track, CONTROLS) for name, (track, _, _) in lines.items()}
    moving = [name for name, values in sets["truth"].items() if np.ptp(values) > 1e-6] or list(sets["truth"])[:1]
    figure = Figure(figsize=(11, 1.9 * len(moving) + 0.6), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(moving), 1, sharex=True, squeeze=False)[:, 0]
    for axis, channel in zip(axes, moving, strict=True):
        for name, (_, colour, width) in lines.items():
            axis.plot(
                time, sets[name][channel], color=colour, lw=width, ls="--" if name == "truth" else "-", label=name
            )
        true = sets["truth"][channel]
        margin = 0.5 * max(float(np.ptp(true)), 1e-3)  # outliers may leave the plot
        axis.set_ylim(true.min() - margin, true.max() + margin)
        axis.set_ylabel(channel, fontsize=9)
        axis.grid(alpha=0.25, lw=0.5)
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].legend(fontsize=8, ncols=4, frameon=False, loc="upper right")
    axes[-1].set_xlabel("time (s)", fontsize=9)
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=110, format="png", facecolor="white")
    return buffer.getvalue()


def _interval_line(name: str, samples: Sequence[dict[str, float]], measures: dict[str, Measure]) -> str:
    rng = np.random.default_rng(0)
    parts = []
    for key, each in measures.items():
        values = np.array([s[key] for s in samples if key in s and np.isfinite(s[key])])
        if len(values) < 2 or key in ("ms", "mb"):
            continue
        drawn = values[rng.integers(0, len(values), (1000, len(values)))].mean(1)
        low, high = np.quantile(drawn, [0.025, 0.975])
        parts.append(f"{each.label} {low:.{each.digits}f} to {high:.{each.digits}f}")
    return f"{name}: " + ("; ".join(parts) or "one clip and seed: no interval")
