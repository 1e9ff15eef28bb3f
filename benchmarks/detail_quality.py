"""Image enhancers on degraded real images: fidelity, halos, flicker.

python -m benchmarks.detail_quality [--quick] [--pictures FOLDER]
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from scipy.ndimage import gaussian_filter, maximum_filter, minimum_filter

from benchmarks.common import write_table
from benchmarks.pictures import DEGRADATIONS, clip, degrade, real

COMMAND = "python -m benchmarks.detail_quality"
LUMA = np.array([0.299, 0.587, 0.114], np.float32)


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    return float(-10 * np.log10(np.mean((a - b) ** 2)))


def high(x: np.ndarray) -> np.ndarray:
    return x - gaussian_filter(x, (1.5, 1.5, 0))


def halo(out: np.ndarray, truth: np.ndarray) -> float:
    """Overshoot beyond the 5x5 range of the truth, mean over pixels, in 1/255."""
    y, t = out @ LUMA, truth @ LUMA
    over = np.maximum(y - maximum_filter(t, 5), 0) + np.maximum(minimum_filter(t, 5) - y, 0)
    return float(over.mean() * 255)


def enhancers(quick: bool) -> dict[str, Callable[[np.ndarray], np.ndarray]]:
    import cv2
    import jax

    import gagjax as gj
    from gagjax.detail.networks import reference_weights
    from gagjax.reference.detail import enhance

    def unsharp(amount: float) -> Callable[[np.ndarray], np.ndarray]:
        return lambda x: np.clip(x + amount * (x - cv2.GaussianBlur(x, (0, 0), 1.0)), 0, 1)

    published, weights = jax.jit(enhance, static_argnums=3), reference_weights(1).attention
    default, laplacian = gj.detail.DetailEnhancer(), gj.detail.LocalLaplacian()
    found = {
        "input": lambda x: x,
        "unsharp mask 0.5 (OpenCV)": unsharp(0.5),
        "unsharp mask 1.0 (OpenCV)": unsharp(1.0),
        "unsharp mask 1.5 (OpenCV)": unsharp(1.5),
        "published": lambda x: np.asarray(published(x[None], weights, 1.0, "code")[0]),
        "default": lambda x: np.asarray(default(x)),
        "local Laplacian": lambda x: np.asarray(laplacian(x)),
    }
    if quick:
        del found["unsharp mask 0.5 (OpenCV)"], found["unsharp mask 1.5 (OpenCV)"]
    return found


def flicker(frames: np.ndarray) -> float:
    return float(np.abs(np.diff(frames, axis=0)).mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--pictures", type=Path, help="write enlarged comparisons here")
    arguments = parser.parse_args()

    from skimage.metrics import structural_similarity

    import gagjax as gj

    scenes = real(256)
    video = clip(4 if arguments.quick else 12)
    if video is not None:
        scenes["video frame"] = video[0]
    # Static camera with sensor noise: any flicker comes from the enhancer.
    still = scenes["astronaut"][None] + np.random.default_rng(0).normal(0, 2 / 255, (8, 256, 256, 3))
    clips = {"still": np.clip(gaussian_filter(still, (0, 0.7, 0.7, 0)), 0, 1).astype(np.float32)}
    if video is not None:
        clips["video"] = video
    rows = []
    for name, enhance in enhancers(arguments.quick).items():
        values: list[list[float]] = []
        by_kind: dict[str, list[float]] = {kind: [] for kind in DEGRADATIONS}
        for truth in scenes.values():
            for kind in DEGRADATIONS:
                out = enhance(degrade(truth, kind))
                similar = structural_similarity(
                    out @ LUMA,
                    truth @ LUMA,
                    gaussian_weights=True,
                    sigma=1.5,
                    use_sample_covariance=False,
                    data_range=1,
                )
                by_kind[kind].append(similar)
                values.append([psnr(out, truth), similar, psnr(high(out), high(truth)), halo(out, truth)])
        ratios = []
        for frames in clips.values():
            if name == "default":
                out, _ = gj.enhance_frames(gj.Stack.default(enable=("detail",)), frames)
                out = np.asarray(out)
            else:
                out = np.stack([enhance(frame) for frame in frames])
            ratios += [flicker(out) / flicker(frames), flicker(out - frames) / flicker(frames)]
        row: list[Any] = [name, *np.mean(values, 0).tolist(), *ratios]
        rows.append([*row, *(float(np.mean(v)) for v in by_kind.values())])
    write_table(
        "detail_quality",
        [
            "enhancer",
            "PSNR",
            "SSIM",
            "HF PSNR",
            "halo /255",
            *(f"{what}, {n}" for n in clips for what in ("flicker ratio", "added flicker")),
        ]
        + [f"SSIM {kind}" for kind in DEGRADATIONS],
        rows,
        command=COMMAND,
        notes=[
            f"Means over {len(scenes)} pictures ({', '.join(scenes)}) and the degradations of benchmarks/pictures.py.",
            "SSIM on luma, Gaussian window of 1.5 pixels. HF PSNR: of the picture minus its Gaussian of 1.5 pixels.",
            "Halo: mean distance by which the luma leaves the 5x5 range of the truth.",
            "Flicker ratio: mean absolute frame difference of the result over that of the input; sharper edges that move",
            "raise it too. Added flicker: that of result minus input over that of the input; asked for: at most 1.10.",
        ],
    )
    if arguments.pictures:
        _pictures(arguments.pictures, scenes, enhancers(True))


def _pictures(folder: Path, scenes: dict[str, np.ndarray], chosen: dict[str, Any]) -> None:
    """Degraded, enhanced and true crops side by side at 200 %, in the order of `chosen`."""
    from PIL import Image

    folder.mkdir(parents=True, exist_ok=True)
    for name in ("astronaut", "chelsea", "video frame"):
        if name not in scenes:
            continue
        truth = scenes[name]
        for kind in ("blur", "codec"):
            bad = degrade(truth, kind)
            cut = np.s_[20:190, 60:230] if truth.shape[0] <= 256 else np.s_[120:320, 150:350]
            tiles = [*(run(bad)[cut] for run in chosen.values()), truth[cut]]
            sheet = np.concatenate([np.concatenate(tiles[:3], 1), np.concatenate(tiles[3:6], 1)], 0)
            picture = Image.fromarray(np.round(np.clip(sheet, 0, 1) * 255).astype(np.uint8))
            size = (2 * picture.width, 2 * picture.height)
            picture.resize(size, Image.Resampling.NEAREST).save(folder / f"{name.replace(' ', '_')}_{kind}.png")


if __name__ == "__main__":
    main()
