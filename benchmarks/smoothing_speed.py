"""Speed of filters and smoothers compared with named peers: `python -m benchmarks.smoothing_speed`.

10,000 frames of 424 channels and a camera. The per-frame peer mimics the original: PyTorch, one frame at a time, a dict
of channels, EMA followed by a scalar Kalman filter per entry, slerp for the camera. It runs on part of the frames, and
its time is extrapolated.
"""

from __future__ import annotations

import argparse
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import torch
from scipy.signal import lfilter

from benchmarks.common import timed, write_table
from gagjax import so3
from gagjax.filters import (
    AdaptiveSmoother,
    ConstantVelocity,
    Ema,
    Kalman,
    RigidTransform,
    RotationEma,
    chain,
    rts,
    scan,
    steady,
)

FIELDS = {"shapecode": 300, "expcode": 100, "posecode": 6, "eyecode": 6, "landmarks": 12}
CHANNELS = sum(FIELDS.values())


def frame_loop(frames: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The per-frame peer: every entry of every frame separately, in PyTorch."""
    before: dict[str, Any] = {}
    states: dict[str, tuple[Any, Any]] = {}
    out = []
    for frame in frames:
        done = {}
        for name, value in frame.items():
            if name == "transform":
                done[name] = _camera(before.get(name), value)
            else:
                done[name] = _channel(before.get(name), states, name, value)
            before[name] = done[name]
        out.append(done)
    return out


def _channel(last: Any, states: dict[str, tuple[Any, Any]], name: str, value: Any) -> Any:
    if last is None:
        return value
    value = 0.5 * value + 0.5 * last
    if name not in states:
        states[name] = (value.clone(), torch.ones_like(value))
        return value
    mean, variance = states[name]
    variance = variance + 1e-3
    gain = variance / (variance + 1e-2)
    mean = mean + gain * (value - mean)
    states[name] = (mean, (1 - gain) * variance)
    return mean


def _camera(last: Any, value: Any) -> Any:
    if last is None:
        return value
    place = 0.5 * value[:, 3] + 0.5 * last[:, 3]
    a, b = _quaternion(last[:, :3]), _quaternion(value[:, :3])
    cosine = torch.dot(a, b)
    if cosine < 0:
        b, cosine = -b, -cosine
    if cosine > 0.9995:
        q = 0.5 * (a + b)
    else:
        angle = torch.acos(cosine)
        q = torch.sin(0.5 * angle) / torch.sin(angle) * (a + b)
    w, x, y, z = q / q.norm()
    rows = [
        torch.stack([1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)]),
        torch.stack([2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)]),
        torch.stack([2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)]),
    ]
    return torch.cat([torch.stack(rows), place[:, None]], dim=1)


def _quaternion(r: Any) -> Any:
    w = torch.sqrt(torch.clamp(1 + r[0, 0] + r[1, 1] + r[2, 2], min=1e-8)) / 2
    return torch.stack([w, (r[2, 1] - r[1, 2]) / (4 * w), (r[0, 2] - r[2, 0]) / (4 * w), (r[1, 0] - r[0, 1]) / (4 * w)])


def main() -> None:
    """Run and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=10_000)
    parser.add_argument("--quick", action="store_true", help="2,000 frames")
    args = parser.parse_args()
    frames = 2_000 if args.quick else args.frames
    rng = np.random.default_rng(0)
    xs = np.cumsum(rng.normal(size=(frames, CHANNELS)).astype(np.float32) * 0.05, 0)
    turns = np.asarray(so3.exp(np.cumsum(rng.normal(size=(frames, 3)) * 0.005, 0).astype(np.float32)))
    camera = np.concatenate([turns, rng.normal(size=(frames, 3, 1)).astype(np.float32)], -1)
    on_device, camera_on_device = jnp.asarray(xs), jnp.asarray(camera)

    part = min(frames, 500)
    edges = np.cumsum([0, *FIELDS.values()])
    dicts = [
        {name: torch.from_numpy(xs[t, a:b]) for name, a, b in zip(FIELDS, edges[:-1], edges[1:], strict=True)}
        | {"transform": torch.from_numpy(camera[t])}
        for t in range(part)
    ]
    loop = timed(lambda: frame_loop(dicts), repeats=3) * frames / part

    # The fixed-parameter equivalent of that loop, as in `Stack.reference`: the document's cascade and a slerp.
    cascade = chain(Ema(0.5), Kalman(1e-3, 1e-2, 1.0))
    rigid = RigidTransform(RotationEma(0.5), Ema(0.5))
    plain = timed(lambda: xs.copy(), repeats=25)
    device_copy = jax.jit(lambda x: x + 1)
    copied = timed(lambda: device_copy(on_device), repeats=25)
    peer = timed(lambda: lfilter([0.5], [1, -0.5], xs, axis=0))

    def run(filter: Any) -> float:
        return timed(lambda: scan(filter, on_device), repeats=15)

    velocity = ConstantVelocity.from_cutoff(4.0, 0.1, 25)
    gated = ConstantVelocity.from_cutoff(4.0, 0.1, 25, gate=5.0)
    reference = run(cascade) + timed(lambda: scan(rigid, camera_on_device), repeats=7)
    kalman = run(Kalman(1e-3, 1e-2, 1.0))
    cv, cv_gated = run(velocity), run(gated)
    rows: list[list[Any]] = [
        ["per-frame PyTorch loop over dict entries", loop * 1e3, ""],
        [
            "reference formulas: EMA + Kalman, slerp camera",
            reference * 1e3,
            f"{loop / reference:.0f}x faster than the loop",
        ],
        ["scipy.signal.lfilter, EMA", peer * 1e3, ""],
        ["numpy copy", plain * 1e3, ""],
        ["jitted x + 1", copied * 1e3, ""],
        ["Kalman", kalman * 1e3, f"{peer / kalman:.1f}x faster than lfilter; {kalman / plain:.1f} copies"],
        ["ConstantVelocity", cv * 1e3, ""],
        ["ConstantVelocity, gate", cv_gated * 1e3, ""],
    ]
    for name, filter, forward in (
        ("Kalman", Kalman(1e-3, 1e-2, 1.0), kalman),
        ("Kalman, settled gain", steady(Kalman(1e-3, 1e-2, 1.0)), kalman),
        ("ConstantVelocity", velocity, cv),
        ("ConstantVelocity, settled gain", steady(velocity), cv),
        ("ConstantVelocity, gate", gated, cv_gated),
    ):
        seconds = timed(lambda f=filter: rts(f, on_device), repeats=9)
        rows.append([f"rts: {name}", seconds * 1e3, f"{seconds / forward:.1f}x the forward pass"])
    smoother = AdaptiveSmoother()
    seconds = timed(lambda: smoother(on_device, None, np.float32(0.04)), repeats=3)
    rows.append(["AdaptiveSmoother (12 cutoffs tried)", seconds * 1e3, f"{loop / seconds:.1f}x faster than the loop"])
    write_table(
        "smoothing_speed",
        ["what", "ms", "compared"],
        rows,
        command="python -m benchmarks.smoothing_speed",
        notes=[
            f"{frames} frames x {CHANNELS} channels and a camera; medians, compilation apart",
            f"the loop was run on {part} frames and scaled",
            "targets: reference >= 100x the loop; Kalman >= 4x lfilter and within 8 copies; rts within 3x of its forward "
            "pass",
        ],
    )


if __name__ == "__main__":
    main()
