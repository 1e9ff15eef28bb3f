"""Part 4: filters over a million frames and the picture stages, as shares of the device's memory bandwidth."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import gagjax as gj
from benchmarks.gpu.clock import copy_bandwidth, timed
from benchmarks.gpu.record import Record, shown
from benchmarks.gpu.settings import Settings
from gagjax.detail.eyes import EyeEnhancer
from gagjax.filters import AdaptiveSmoother, ConstantVelocity, Kalman, rts, scan

CHANNELS = 64
LONGEST = 12.0  # seconds that one way of smoothing may take; beyond, it is run on fewer frames and scaled
EYES = ((0.4, 0.45), (0.6, 0.45))


@dataclasses.dataclass(frozen=True)
class Bound:
    """What a plain copy reaches on this device, bytes a second, reads and writes counted."""

    bandwidth: float

    def share(self, size: int, seconds: float) -> str:
        """Reading and writing `size` bytes once, as a share of the bandwidth."""
        return f"{100 * 2 * size / seconds / self.bandwidth:.2g} % of the bandwidth"


def run(settings: Settings, record: Record) -> None:
    """The bound, the filters, the picture stages."""
    bandwidth = copy_bandwidth(settings.cuda, settings.size(1 << 30, 1 << 22))
    record.figure("copy on the device", f"{bandwidth / 1e9:.4g} GB/s", "read and written bytes")
    bound = Bound(bandwidth)
    record.attempt("the same numbers on the device as on the host", same_numbers, settings, record)
    for height, width in settings.size(((512, 512), (1080, 1920)), ((48, 48), (54, 96))):
        record.attempt(f"detail and eyes, {width} x {height}", pictures, settings, record, bound, height, width)
    record.attempt("smoothing", smoothing, settings, record, bound)


def ways() -> dict[str, Callable[[Any], Any]]:
    """Every way of smoothing that is timed: an array (T, C) to an array (T, C)."""
    kalman, velocity = Kalman(1e-3, 1e-2, 1.0), ConstantVelocity.from_cutoff(4.0, 0.1, 25)
    smoother = AdaptiveSmoother()
    return {
        "default (AdaptiveSmoother)": lambda xs: smoother(xs, dt=np.float32(0.04)),
        "Kalman, sequential": lambda xs: scan(kalman, xs, method="sequential")[0],
        "Kalman, parallel": lambda xs: scan(kalman, xs, method="parallel")[0],
        "ConstantVelocity rts, sequential": lambda xs: rts(velocity, xs, method="sequential"),
        "ConstantVelocity rts, parallel": lambda xs: rts(velocity, xs, method="parallel"),
    }


def smoothing(settings: Settings, record: Record, bound: Bound) -> None:
    """A million frames of 64 channels, each way; one that is too slow for the budget runs on fewer and is scaled."""
    frames, fewer = settings.size((1_000_000, 20_000), (600, 100))
    xs = signal(frames)
    for name, call in ways().items():
        note = ""
        if "parallel" not in name:  # those compile for long, and are fast
            part = timed(lambda call=call: call(xs[:fewer]), repeats=1)
            seconds, note = part.median * frames / fewer, f"scaled from {fewer:,} frames, {part.median:.3g} s"
        if "parallel" in name or seconds < min(LONGEST, record.left() / 3):
            whole = timed(lambda call=call: call(xs), repeats=5, most=LONGEST)
            seconds, note = whole.median, f"first call {whole.first:.2g} s"
        share = bound.share(xs.nbytes, seconds)
        record.figure(f"{frames:,} x {CHANNELS}, {name}", f"{1e3 * seconds:.4g} ms", f"{share}; {note}")


def signal(frames: int) -> jax.Array:
    """A random walk with noise, (frames, 64)."""
    rng = np.random.default_rng(0)
    walk = np.cumsum(0.02 * rng.standard_normal((frames, CHANNELS), np.float32), 0)
    return jnp.asarray(walk + 0.1 * rng.standard_normal((frames, CHANNELS), np.float32))


def same_numbers(settings: Settings, record: Record) -> None:
    """Each way and each picture stage on the device and on the host; parallel ways against the sequential ones."""
    xs = signal(settings.size(2000, 100))
    image = picture(64, 96)[None]
    centres = np.array([EYES], np.float32)
    stages = ways() | {
        "detail": lambda x: gj.detail.DetailEnhancer()(x),
        "eyes": lambda x: EyeEnhancer()(x, centres),
    }
    host = jax.devices("cpu")[0]
    found: dict[str, np.ndarray] = {}
    for name, call in stages.items():
        value = image if name in ("detail", "eyes") else xs
        found[name] = np.asarray(call(value))
        if "parallel" in name:
            expected, what = found[name.replace("parallel", "sequential")], "equals sequential"
        else:
            with jax.default_device(host):
                expected, what = np.asarray(call(jax.device_put(value, host))), "device and host agree"
        worst = float(np.abs(found[name] - expected).max() / np.abs(expected).max())
        record.check(f"{name}: {what}", worst < 1e-3, shown(worst), "share of the largest value")


def picture(height: int, width: int) -> np.ndarray:
    """A picture with edges at several scales and grain, (H, W, 3)."""
    rng = np.random.default_rng(2)
    y, x = np.mgrid[:height, :width]
    waves = sum(np.sin(x / a + y / b) for a, b in ((3.0, 7.0), (11.0, -5.0), (40.0, 23.0))) / 6 + 0.5
    grain = 0.02 * rng.normal(size=(height, width, 3))
    return np.clip(waves[..., None] + grain, 0, 1).astype(np.float32)


def pictures(settings: Settings, record: Record, bound: Bound, height: int, width: int) -> None:
    """Both picture stages of `default` on a few frames at once, without state and, for detail, with it."""
    count = settings.size(16, 2)
    frames = jnp.asarray(np.repeat(picture(height, width)[None], count, 0))
    centres = np.repeat(np.array([EYES], np.float32), count, 0)
    detail, eyes = gj.detail.DetailEnhancer(), EyeEnhancer()
    stack = gj.Stack.default(enable=("detail", "eyes"))
    both = jax.jit(gj.enhance_frames)
    state = jax.tree.map(jnp.asarray, detail.init(frames[0]))
    sequence = jax.jit(lambda s, x: detail.sequence(s, x))
    calls: dict[str, Callable[[], Any]] = {
        "detail": lambda: detail(frames),
        "detail with state": lambda: sequence(state, frames),
        "eyes": lambda: eyes(frames, centres),
        "detail and eyes, as in a video": lambda: both(stack, frames, centres)[0],
    }
    for name, call in calls.items():
        time = timed(call, repeats=settings.size(9, 2))
        note = f"{bound.share(frames.nbytes, time.median)}; {count} frames at once; first call {time.first:.2g} s"
        record.figure(f"{name}, {width} x {height}", f"{time.milliseconds / count:.3g} ms a frame", note)
