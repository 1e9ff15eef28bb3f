"""The README figures for temporal smoothing and detail.

    python -m benchmarks.figures [--out docs]

Expression and gaze are drawn by `benchmarks.expression_gaze`, the avatar by `benchmarks.avatar_sheet`.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.pictures import real
from gagjax import avatars
from gagjax.flame.builtin_head import CONTROLS
from gagjax.metrics.image import psnr, ssim
from gagjax.simulate import driver, observe
from gagjax.stack import Stack, enhance_frames, enhance_track

TRUTH, NOISY, OURS, THEIRS = "#1f2430", "#e8825a", "#2b6cb0", "#2f855a"


def temporal(path: Path) -> None:
    """Noisy, original and ours on one clip: three channels, and a row of frames of each from the worst moment on."""
    import warnings

    truth = driver(150, seed=3, controls=CONTROLS)
    noisy = observe(truth, seed=4)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tracks = {
            "truth": truth,
            "noisy track": noisy,
            "reference": enhance_track(Stack.reference(enable=("temporal",)), noisy),
            "default": enhance_track(Stack.default(enable=("temporal",)), noisy),
        }
    avatar = avatars.builtin()
    rows = {}
    error = np.abs(np.asarray(noisy.transform) - np.asarray(truth.transform)).max((1, 2))
    start = int(np.clip(np.argmax(error) - 2, 0, 144))
    for name, track in tracks.items():
        rows[name] = np.asarray(avatars.render(avatar, track[start : start + 5], size=192))
    figure, axes = _figure(4, (12, 7.6), [1, 1, 1, 2.0])
    time = np.arange(len(truth)) / 25
    colours = dict(zip(tracks, (TRUTH, NOISY, THEIRS, OURS), strict=True))
    curves: dict[str, Any] = {
        "camera, sideways (units)": lambda t: np.asarray(t.transform)[:, 0, 3],
        "jaw opening (°)": lambda t: np.rad2deg(np.asarray(t.jaw)[:, 0]),
        "left lid (coefficient)": lambda t: np.asarray(t.expression)[:, CONTROLS["blink_left"]],
    }
    for axis, (label, take) in zip(axes, curves.items(), strict=False):
        for name in ("noisy track", "reference", "default", "truth"):
            style = {"lw": 0.8} if name == "noisy track" else {"lw": 1.5}
            style |= {"ls": "--", "lw": 1.0} if name == "truth" else {}
            axis.plot(time, take(tracks[name]), color=colours[name], label=name, **style)
        true = take(truth)
        margin = 0.35 * np.ptp(true)
        axis.set_ylim(true.min() - margin, true.max() + margin)
        axis.axvspan(time[start], time[start] + 4 / 25, color="#dfe3ea", lw=0)
        axis.set_ylabel(label, fontsize=8)
        axis.grid(alpha=0.25, lw=0.5)
        axis.spines[["top", "right"]].set_visible(False)
        axis.tick_params(labelsize=7)
    axes[0].legend(ncols=4, fontsize=8, frameon=False, loc="upper right")
    axes[2].set_xlabel("time (s); the frames below are those of the grey band", fontsize=8)
    pictures = [np.concatenate(list(frames), 1) for frames in rows.values()]
    left, right = np.concatenate(pictures[:2]), np.concatenate(pictures[2:])
    gap = np.ones((left.shape[0], 16, 3))
    axes[3].imshow(np.clip(np.concatenate([left, gap, right], 1), 0, 1))
    width, height = left.shape[1], left.shape[0] // 2
    for number, name in enumerate(rows):
        x, y = (number // 2) * (width + 16) + 6, (number % 2) * height + 16
        axes[3].text(x, y, name, fontsize=8, color="white", bbox={"facecolor": colours[name], "lw": 0, "pad": 2})
    axes[3].axis("off")
    figure.savefig(path, dpi=130, facecolor="white")


def detail(path: Path) -> None:
    """A soft image, an unsharp mask, the original's enhancer and ours, at 200 %."""
    import warnings

    from scipy.ndimage import gaussian_filter

    sharp = real(256)["astronaut"]
    rng = np.random.default_rng(0)
    soft = gaussian_filter(sharp, (1.1, 1.1, 0)) + 0.008 * rng.normal(size=sharp.shape)
    soft = np.clip(soft, 0, 1).astype(np.float32)
    unsharp = np.clip(soft + 1.0 * (soft - gaussian_filter(soft, (1.5, 1.5, 0))), 0, 1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = np.asarray(enhance_frames(Stack.reference(enable=("detail",)), soft[None])[0])[0]
    ours = np.asarray(enhance_frames(Stack.default(enable=("detail",)), soft[None])[0])[0]
    shown = {"sharp": sharp, "softened, noisy": soft, "unsharp mask": unsharp, "reference": theirs, "default": ours}
    part = slice(20, 148), slice(60, 188)
    figure, axes = _figure(1, (13, 3.1), [1], columns=len(shown))
    for axis, (name, picture) in zip(axes, shown.items(), strict=True):
        mine, true = (np.clip(x, 0, 1)[None].astype(np.float32) for x in (picture, sharp))
        figures = f"{name}\n{psnr(mine, true)[0]:.1f} dB, SSIM {ssim(mine, true)[0]:.3f}"
        large = np.kron(np.clip(picture[part], 0, 1), np.ones((2, 2, 1)))
        axis.imshow(large)
        axis.set_title(f"{name}\n" if name == "sharp" else figures, fontsize=9)
        axis.axis("off")
    figure.savefig(path, dpi=130, facecolor="white")


def _figure(rows: int, size: tuple[float, float], heights: list[float], columns: int = 1) -> tuple[Any, Any]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.subplots(rows, columns, squeeze=False, height_ratios=heights).ravel()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("docs"), help="folder of the pictures")
    out = parser.parse_args().out
    temporal(out / "temporal.png")
    detail(out / "detail.png")
    print(f"{out / 'temporal.png'}, {out / 'detail.png'}")


if __name__ == "__main__":
    main()
