"""Plots of curves before and after, rendered without a display."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from gagjax.track import Track

INK, TRUTH, NOISY, ENHANCED, GAZE = "#1f2430", "#1f2430", "#e8825a", "#2b6cb0", "#7a3fa0"


def head_angles(track: Track) -> Float[np.ndarray, "T 3"]:
    """Yaw, pitch and roll of the head relative to the camera, degrees: to the subject's left, down, and towards the
    subject's left shoulder are positive."""
    from scipy.spatial.transform import Rotation

    front = np.diag([-1.0, 1.0, -1.0])
    # Rows of the track's rotation are the world axes in the camera; the head's rotation is its transpose, from ahead.
    turn = front @ np.asarray(track.transform, np.float64)[:, :, :3].transpose(0, 2, 1)
    return np.rad2deg(np.unwrap(Rotation.from_matrix(turn).as_euler("YXZ"), axis=0))


def channels(track: Track, controls: Mapping[str, int]) -> dict[str, Float[np.ndarray, "T"]]:
    """Representative channels to plot, one from each field."""
    expression = np.asarray(track.expression)
    named = [name for name in ("blink_left", "smile") if name in controls]
    return {
        "head yaw (°)": head_angles(track)[:, 0],
        "jaw opening (°)": np.rad2deg(np.asarray(track.jaw)[:, 0]),
        **{f"expression: {name.replace('_', ' ')}": expression[:, controls[name]] for name in named},
        "left eye yaw (°)": np.rad2deg(np.asarray(track.eyes)[:, 1]),
    }


def draw(
    path: Path | io.BytesIO,
    truth: Track,
    noisy: Track,
    steadied: Track,
    enhanced: Track,
    controls: Mapping[str, int],
    format: str = "png",
) -> None:
    """Plot the curves of the four tracks in stacked panels.

    Args:
        path: Output file or buffer.
        truth: The true motion.
        noisy: The tracker's output; its invalid frames are shaded.
        steadied: After the temporal stage alone.
        enhanced: After all stages; drawn only where it differs, in the eyes.
        controls: Expression column by name.
        format: "png" or "svg".
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    time = np.arange(len(truth)) / float(truth.fps)
    sets = [channels(track, controls) for track in (truth, noisy, steadied, enhanced)]
    figure = Figure(figsize=(11, 1.9 * len(sets[0]) + 0.6), layout="constrained")
    FigureCanvasAgg(figure)
    axes: Any = figure.subplots(len(sets[0]), 1, sharex=True, squeeze=False)[:, 0]
    lost = ~np.asarray(noisy.valid)
    for axis, name in zip(axes, sets[0], strict=True):
        true, seen, steady, final = (each[name] for each in sets)
        for i in np.flatnonzero(lost):
            axis.axvspan(time[i] - 0.5 / float(truth.fps), time[i] + 0.5 / float(truth.fps), color="#d8dbe2", lw=0)
        axis.plot(time, seen, color=NOISY, lw=0.9, label="noisy track")
        axis.plot(time, steady, color=ENHANCED, lw=1.6, label="enhanced")
        if "eye" in name:
            axis.plot(time, final, color=GAZE, lw=1.2, label="enhanced, with gaze correction (towards the camera)")
        axis.plot(time, true, color=TRUTH, lw=1.0, ls=(0, (4, 2)), label="truth")
        # Outliers may leave the plot: the motion itself should fill it.
        low, high = min(true.min(), steady.min()), max(true.max(), steady.max())
        if "eye" in name:
            low, high = min(low, final.min()), max(high, final.max())
        margin = 0.25 * max(high - low, 1e-3)
        axis.set_ylim(low - margin, high + margin)
        axis.set_ylabel(name, fontsize=9)
        axis.grid(alpha=0.25, lw=0.5)
        axis.spines[["top", "right"]].set_visible(False)
        axis.tick_params(labelsize=8)
    handles, labels = axes[-1].get_legend_handles_labels()
    from matplotlib.patches import Patch

    figure.legend(
        [*handles, Patch(color="#d8dbe2")],
        [*labels, "frame lost by the tracker"],
        loc="outside upper center",
        ncols=5,
        fontsize=9,
        frameon=False,
    )
    axes[-1].set_xlabel("time (s)", fontsize=9)
    axes[-1].set_xlim(time[0], time[-1])
    figure.savefig(path, dpi=130, format=format, facecolor="white")
