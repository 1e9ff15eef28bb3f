"""Speed of FLAME vertices for a clip, compared with smplx's PyTorch layer.

Run: python -m benchmarks.flame_speed [--quick]
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import jax
import numpy as np

from benchmarks.common import timed, write_table
from gagjax import flame

VERTICES, FACES = 5023, 9976


def random_model(seed: int = 0) -> flame.FlameModel:
    """Random arrays of FLAME's sizes; timing does not depend on the values."""
    rng = np.random.default_rng(seed)
    weights, regressor = (np.abs(rng.normal(size=size)) for size in ((VERTICES, 5), (5, VERTICES)))
    return flame.FlameModel(
        0.1 * rng.normal(size=(VERTICES, 3)),
        0.003 * rng.normal(size=(VERTICES, 3, 400)),
        0.01 * rng.normal(size=(VERTICES, 3, 36)),
        regressor / regressor.sum(1, keepdims=True),
        weights / weights.sum(1, keepdims=True),
        rng.integers(0, VERTICES, (FACES, 3)),
        rng.integers(0, FACES, 70),
        np.full((70, 3), 1 / 3),
    )


def smplx_layer(model: flame.FlameModel) -> Any:
    """A function of NumPy (betas, full pose) that calls smplx's lbs."""
    import torch
    from smplx.lbs import lbs

    template, shapedirs, regressor, weights = (
        torch.tensor(np.asarray(x)) for x in (model.v_template, model.shapedirs, model.J_regressor, model.weights)
    )
    posedirs = torch.tensor(np.asarray(model.posedirs).reshape(-1, 36).T.copy())
    parents = torch.tensor(model.parents)

    @torch.no_grad()
    def call(betas: np.ndarray, pose: np.ndarray) -> Any:
        numbers = torch.from_numpy(betas), torch.from_numpy(pose)
        return lbs(*numbers, template, shapedirs, posedirs, regressor, parents, weights)[0]

    return call


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="200 frames instead of 1,000")
    quick = parser.parse_args().quick
    frames, repeats = (200, 3) if quick else (1000, 5)
    model, rng = random_model(), np.random.default_rng(1)
    shape = rng.normal(size=300).astype(np.float32)
    expression, pose, eyes = (0.3 * rng.normal(size=(frames, n)).astype(np.float32) for n in (100, 6, 6))
    expression, pose, eyes = (x.astype(np.float32) for x in (expression, pose, eyes))
    betas = np.concatenate([np.broadcast_to(shape, (frames, 300)), expression], 1)
    full = np.concatenate([pose[:, :3], np.zeros((frames, 3), np.float32), pose[:, 3:], eyes], 1)
    peer = smplx_layer(model)

    start = time.perf_counter()
    jax.block_until_ready(flame.vertices(model, shape, expression, pose, eyes))
    compile_seconds = time.perf_counter() - start
    clip = timed(lambda: flame.vertices(model, shape, expression, pose, eyes), repeats)

    def frame_by_frame() -> None:
        for t in range(frames):
            peer(betas[t : t + 1], full[t : t + 1])

    single = timed(frame_by_frame, repeats=3)
    batch = min(frames, 100)

    def in_batches() -> None:
        for t in range(0, frames, batch):
            peer(betas[t : t + batch], full[t : t + batch])

    batched = timed(in_batches, repeats=3)
    one = timed(lambda: flame.vertices(model, shape, expression[0], pose[0], eyes[0]), 30)
    peer_one = timed(lambda: peer(betas[:1], full[:1]), 30)
    gradient = jax.jit(jax.grad(lambda e: (flame.vertices(model, shape, e, pose, eyes) ** 2).sum()))
    backward = timed(lambda: gradient(expression), repeats)
    apart = np.abs(
        np.asarray(flame.vertices(model, shape, expression[:4], pose[:4], eyes[:4])) - peer(betas[:4], full[:4]).numpy()
    )
    rows = [
        [f"gagjax, {frames} frames in one call", 1e3 * clip, 1e3 * clip / frames, 1.0],
        ["smplx, frame by frame", 1e3 * single, 1e3 * single / frames, single / clip],
        [f"smplx, batches of {batch}", 1e3 * batched, 1e3 * batched / frames, batched / clip],
        ["gagjax, value and gradient in the expression", 1e3 * backward, 1e3 * backward / frames, backward / clip],
        ["gagjax, one frame", 1e3 * one, 1e3 * one, 1.0],
        ["smplx, one frame", 1e3 * peer_one, 1e3 * peer_one, peer_one / one],
    ]
    write_table(
        "flame_speed",
        ["what", "ms", "ms per frame", "times gagjax's"],
        rows,
        command="python -m benchmarks.flame_speed" + (" --quick" if quick else ""),
        notes=[
            f"First call of the clip, compilation included: {compile_seconds:.2f} s.",
            f"Largest difference between the two on the same input: {1e3 * apart.max():.1e} mm.",
            "Target: the clip at least 5 times faster than smplx frame by frame on 2 cores.",
            "5023 vertices, 300 + 100 coefficients; one identity for the clip, which gagjax blends once.",
        ],
    )


if __name__ == "__main__":
    main()
