"""Speed of the CPU rasterizer compared with a straightforward PyTorch tile compositor, and its scaling.

Scene: 5,023 Gaussians on an ellipsoid and two sheets of 296 x 296, as GAGAvatar lifts them; "light" and "heavy" differ
in the median size of a Gaussian (1.8 and 4.6 pixels). The size distribution of a trained avatar is not known here.

Run: python -m benchmarks.rasterize_speed [--quick]     the table; --quick takes fewer Gaussians and writes nothing
     python -m benchmarks.rasterize_speed --scaling     the plot
"""

from __future__ import annotations

import math
import statistics
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
import torch
from numba import njit

import bridge
from benchmarks import torch_rasterizer
from benchmarks.common import RESULTS, timed, write_table
from gagjax import splatting
from gagjax.camera import from_track
from gagjax.splatting import cpu
from gagjax.splatting.gaussians import Gaussians
from gagjax.splatting.projection import splats

EVALUATION = 25  # floating-point operations per alpha: exponent, exponential, cap, transmittance
TRANSFORM = np.float32([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 10]])


def scene(channels: int, median: float, sheet: int = 296, seed: int = 0) -> Gaussians:
    """The scene described above; 2 * `sheet`**2 + 5,023 Gaussians."""
    rng = np.random.default_rng(seed)
    d = rng.normal(size=(5023, 3))
    parts = [d / np.linalg.norm(d, axis=1, keepdims=True) * [0.5, 0.65, 0.5]]
    x, y = np.meshgrid(*[np.linspace(-0.83, 0.83, sheet)] * 2)
    height = np.sqrt(np.maximum(0, 1 - (x / 0.5) ** 2 - (y / 0.65) ** 2))
    parts += [np.stack([x, y, sign * 0.5 * height], -1).reshape(-1, 3) for sign in (1, -1)]
    turn = np.array([[np.cos(0.35), 0, np.sin(0.35)], [0, 1, 0], [-np.sin(0.35), 0, np.cos(0.35)]])
    means = np.concatenate(parts) @ turn.T
    opacities = 1 / (1 + np.exp(-rng.normal(size=len(means))))
    opacities[5023:] *= np.where(np.tile(height.ravel() > 0, 2), 1, 0.01)
    scales = np.minimum(np.exp(0.5 * rng.normal(size=means.shape)) * median / 307, 0.05)
    arrays = (means, scales, rng.normal(size=(len(means), 4)), opacities, rng.normal(size=(len(means), channels)))
    made = Gaussians.from_scales(*(np.float32(v) for v in arrays))
    return jax.tree.map(jnp.asarray, made)


def ours(g: Gaussians, size: int, repeats: int) -> tuple[float, float]:
    camera = from_track(TRANSFORM, size=size)
    forward = jax.jit(lambda g: bridge.rasterize(g, camera, backend="cpu"))
    backward = jax.jit(jax.grad(lambda g: (bridge.rasterize(g, camera, backend="cpu")[0] ** 2).sum()))
    return timed(lambda: forward(g), repeats), timed(lambda: backward(g), repeats)


def peer(g: Gaussians, size: int, repeats: int) -> tuple[float, float]:
    camera = from_track(TRANSFORM, size=size)
    viewmat, k = (torch.from_numpy(np.array(v)) for v in (camera.viewmat, camera.K))
    arrays = [torch.from_numpy(np.array(v)) for v in (g.means, g.covariances, g.opacities, g.features)]
    leaves = [v.clone().requires_grad_() for v in arrays]

    def both():
        (torch_rasterizer.rasterize(*leaves, viewmat, k, size, size)[0] ** 2).sum().backward()

    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(repeats):
        start = time.perf_counter()
        with torch.no_grad():
            torch_rasterizer.rasterize(*arrays, viewmat, k, size, size)
        times[0].append(time.perf_counter() - start)
    for _ in range(max(1, repeats // 3)):
        start = time.perf_counter()
        both()
        times[1].append(time.perf_counter() - start)
    return statistics.median(times[0]), statistics.median(times[1])


def agreement(g: Gaussians, size: int) -> str:
    """Describe how the two images differ."""
    camera = from_track(TRANSFORM, size=size)
    arrays = [
        torch.from_numpy(np.array(v))
        for v in (g.means, g.covariances, g.opacities, g.features, camera.viewmat, camera.K)
    ]
    with torch.no_grad():
        theirs = torch_rasterizer.rasterize(*arrays, size, size)[0].numpy()
    difference = np.abs(theirs - np.asarray(bridge.rasterize(g, camera, backend="cpu")[0])).max(-1)
    apart = difference > 2e-5
    text = f"the two pictures differ by at most {difference[~apart].max():.1e}"
    if apart.any():
        # Compared with the float64 oracle, each of the two is right at about half of these.
        text += (
            f", but for {apart.sum()} of {apart.size} pixels (up to {difference.max():.1e}), where rounding takes an alpha of "
            "one of them across 1/255 or its light across 1e-4"
        )
    return text


def peak_flops() -> float:
    a = np.random.default_rng(0).random((3000, 3000), np.float32)
    return 2 * 3000**3 / timed(lambda: a @ a, 7)


@njit
def count_work(start, position, box, geometry, tile, tiles_x):
    """Count the alphas an image needs (pixels inside a Gaussian's 1/255 box and not yet opaque), and those blended."""
    evaluated, blended = 0, 0
    for t in range(start.shape[0] - 1):
        left, top = t % tiles_x * tile, t // tiles_x * tile
        light = np.ones((tile, tile))
        for entry in range(start[t], start[t + 1]):
            i = position[entry]
            for y in range(max(box[i, 2], top), min(box[i, 3], top + tile)):
                for x in range(max(box[i, 0], left), min(box[i, 1], left + tile)):
                    if light[y - top, x - left] < 0:
                        continue
                    evaluated += 1
                    dx, dy = x + 0.5 - geometry[i, 0], y + 0.5 - geometry[i, 1]
                    a, b, c, o = geometry[i, 2], geometry[i, 3], geometry[i, 4], geometry[i, 5]
                    alpha = min(0.99, o * math.exp(-0.5 * (a * dx * dx + c * dy * dy) - b * dx * dy))
                    if alpha < 1 / 255:
                        continue
                    after = light[y - top, x - left] * (1 - alpha)
                    blended += after >= 1e-4
                    light[y - top, x - left] = after if after >= 1e-4 else -1.0
    return evaluated, blended


def useful_flops(g: Gaussians, size: int) -> float:
    """Minimum operations of the forward pass: alphas, and two per channel and blended contribution."""
    flat = splats(g, from_track(TRANSFORM, size=size))
    opacities = jnp.where(flat.drawn, g.opacities, 0)
    arrays = (np.asarray(v) for v in (flat.centres, flat.conics, opacities, g.features, flat.depths))
    plan = cpu._Plan(size, size, *arrays)
    tile = cpu._kernels().TILE
    evaluated, blended = count_work(plan.start, plan.position, plan.box, plan.geometry, tile, plan.tiles_x)
    return float(EVALUATION * evaluated + 2 * g.features.shape[1] * blended)


def scaling() -> None:
    """Plot time against number of Gaussians, channels, resolution and threads."""
    from matplotlib.figure import Figure

    repeats = 5
    series: dict[str, list[tuple[float, float, float]]] = {}
    series["Gaussians (thousands)"] = [
        (n, *ours(scene(3, 1.8, sheet=int(np.sqrt((n * 1000 - 5023) / 2))), 512, repeats)) for n in (15, 50, 180)
    ]
    series["channels"] = [(c, *ours(scene(c, 1.8), 512, repeats)) for c in (3, 8, 16, 32)]
    series["resolution (pixels)"] = [(s, *ours(scene(3, 1.8 * s / 512), s, repeats)) for s in (128, 256, 512, 1024)]
    threads = []
    for count in range(1, splatting.threads() + 1):
        splatting.set_threads(count)
        threads.append((count, *ours(scene(32, 1.8), 512, repeats)))
    splatting.set_threads(None)
    series["threads"] = threads
    figure = Figure(figsize=(12, 3), layout="constrained")
    for axes, (name, points) in zip(figure.subplots(1, 4), series.items(), strict=True):
        x, forward, backward = np.array(points).T
        axes.plot(x, 1e3 * forward, marker="o", label="forward")
        axes.plot(x, 1e3 * backward, marker="o", label="forward and backward")
        axes.set(xlabel=name, ylabel="ms")
        axes.set_ylim(bottom=0)
        if name == "threads":
            axes.set_xticks(x)
    axes.legend()
    figure.savefig(RESULTS / "rasterize_scaling.png", dpi=110)


def main() -> None:
    if "--scaling" in sys.argv:
        scaling()
        return
    quick = "--quick" in sys.argv
    sheet, repeats = (100, 3) if quick else (296, 7)
    torch.set_num_threads(2)
    splatting.set_threads(2)
    peak = peak_flops()
    rows, notes = [], []
    for name, median in (("light", 1.8), ("heavy", 4.6)):
        g = scene(32, median, sheet)
        flops = useful_flops(g, 512)
        mine, theirs = ours(g, 512, repeats), peer(g, 512, 3)
        rows.append(
            [
                name,
                f"{1e3 * mine[0]:.0f} ms",
                f"{1e3 * theirs[0]:.0f} ms",
                f"{theirs[0] / mine[0]:.1f}x",
                f"{1e3 * mine[1]:.0f} ms",
                f"{1e3 * theirs[1]:.0f} ms",
                f"{theirs[1] / mine[1]:.0f}x",
                f"{100 * flops / mine[0] / peak:.0f} %",
            ]
        )
        notes.append(f"{name}: {flops / 1e9:.2f} useful GFLOP forward; {agreement(g, 512)}.")
    small = scene(3, 2.5, sheet=150)
    fps = 1 / ours(small, 512, repeats)[0]
    notes += [
        f"{len(g):,} Gaussians, 32 channels, 512 x 512. Targets: forward 10x, forward and backward 40x.",
        f"{len(small):,} Gaussians, 3 channels, 512 x 512: {fps:.0f} frames/s.",
        f"Share of the float32 peak: useful operations ({EVALUATION} per alpha, 2 per channel and blended contribution) over "
        f"the whole forward time, projection and sorting included, against a matrix product at {peak / 1e9:.0f} GFLOP/s.",
        f"Medians, compilation apart; the peer's forward + backward ran once. Threads of both: {splatting.threads()}.",
        "Scaling plot: `python -m benchmarks.rasterize_speed --scaling` writes rasterize_scaling.png.",
    ]
    header = [
        "scene",
        "forward",
        "PyTorch",
        "ratio",
        "forward + backward",
        "PyTorch",
        "ratio",
        "share of peak, forward",
    ]
    if quick:  # not the scene used for the recorded figures
        print("\n".join([*(" | ".join(row) for row in [header, *rows]), *notes]))
        return
    write_table("rasterize_speed", header, rows, command="python -m benchmarks.rasterize_speed", notes=notes)


if __name__ == "__main__":
    main()
