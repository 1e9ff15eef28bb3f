"""Part 5, avatars through gsplat: a personal avatar fitted at 512 px, likeness of a portrait, the built-in avatar."""

from __future__ import annotations

import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import likeness
from benchmarks.gpu import tracking
from benchmarks.gpu.clock import timed, wait
from benchmarks.gpu.record import Record
from benchmarks.gpu.settings import Settings
from gagjax import avatars, flame
from gagjax.avatars.personal import appearance, canonical, training
from gagjax.avatars.personal.clip import FilmedClip
from gagjax.avatars.portrait import Sighting, build
from gagjax.avatars.rendering import BACKGROUND, drawn
from gagjax.simulate.driving import driver

HEAD = 1


def run(settings: Settings, record: Record) -> None:
    """Tracking, then avatars."""
    record.attempt("face networks", tracking.networks, settings, record)
    record.attempt("fit of the head model", tracking.fit, settings, record, needs=settings.size(15, 0))
    record.attempt("built-in avatar", builtin, settings, record)
    record.attempt("likeness of a portrait", portrait, settings, record, needs=settings.size(15, 0))
    record.attempt("fit of a personal avatar", fit, settings, record, needs=settings.size(25, 0))


def by(backend: str, avatar: Any, parameters: Any) -> np.ndarray:
    """A picture by a backend."""
    return np.asarray(drawn(avatar, parameters, jnp.asarray(BACKGROUND), backend=backend)[0])


def builtin(settings: Settings, record: Record) -> None:
    """The built-in avatar by gsplat and by the CPU rasterizer, and its frames a second."""
    size = settings.size(512, 32)
    avatar, parameters = avatars.builtin(HEAD), likeness.at_rest(0, size)
    alike = decibels(by("gsplat", avatar, parameters), by("cpu", avatar, parameters))
    record.check("built-in avatar: gsplat and CPU rasterizer", alike > 45, f"{alike:.3g} dB", f"{size} px")
    background = jnp.asarray(BACKGROUND)
    program = jax.jit(lambda p: drawn(avatar, p, background, backend="gsplat")[0])
    seen = timed(lambda: program(parameters), repeats=settings.size(15, 2))
    note = f"{size} px; first call {seen.first:.2g} s"
    record.figure("built-in avatar", f"{1 / seen.median:.4g} frames/s", note)


def portrait(settings: Settings, record: Record) -> None:
    """A portrait avatar built from a picture of the built-in one: its front view by gsplat against the truth."""
    size = settings.size(512, 96)
    front, turned = likeness.at_rest(HEAD, size), likeness.at_rest(HEAD, size, 15.0)
    photo, matte = likeness.truth_of(HEAD, front)
    began = time.perf_counter()
    avatar = build(Sighting(photo, matte, front))
    wait()
    record.figure("portrait avatar, first build", f"{time.perf_counter() - began:.3g} s", f"{len(avatar):,} Gaussians")
    for name, parameters in (("front", front), ("turned by 15 degrees", turned)):
        truth, _ = likeness.truth_of(HEAD, parameters)
        face = likeness.regions(parameters)[0]
        ours, host = (likeness.decibels(by(backend, avatar, parameters), truth, face) for backend in ("gsplat", "cpu"))
        good = abs(ours - host) < 0.5
        record.check(
            f"likeness, {name}", good, f"{ours:.4g} dB", f"by the CPU rasterizer {host:.4g} dB; {size} px, face"
        )


def fit(settings: Settings, record: Record) -> None:
    """`fit` through gsplat: seconds, and PSNR on held-out frames before and after."""
    size, frames, steps, count = settings.size((512, 32, 400, 8000), (32, 5, 4, 300))
    truth = avatars.builtin(HEAD)
    track = driver(frames, controls=flame.CONTROLS, seed=3)
    pictures = avatars.render(truth, track, size=size, backend="gsplat")
    clip = FilmedClip(
        np.asarray(np.clip(pictures, 0, 1) * 255 + 0.5, np.uint8), track, np.asarray(BACKGROUND, np.float32)
    )
    held = np.arange(2, frames, 8)
    start = appearance.create(canonical.person(truth.model), count)
    run = training.AvatarFit(start, clip, training.Settings(steps=steps, motion=False), held)
    before = psnr(run, held)
    began = time.perf_counter()
    run.run(1)
    wait(run.state)
    first = time.perf_counter() - began
    # Step by step, so that a slow card ends the fit and not the part.
    began, done = time.perf_counter(), 1
    while done < steps and record.left() > settings.size(12, 0):
        run.run(min(20, steps - done))
        wait(run.state)
        done = run.done
    seconds = time.perf_counter() - began
    after = psnr(run, held)
    note = f"{size} px, {done} of {steps} steps, {count:,} Gaussians; first step {first:.2g} s; PSNR at the start {before:.4g}"
    record.figure("fit of a personal avatar", f"{seconds:.3g} s", f"{max(done - 1, 1) / seconds:.3g} steps/s")
    record.check("fit: PSNR of held-out frames rises", after > before, f"{after:.4g} dB", note)


def psnr(run: training.AvatarFit, held: np.ndarray) -> float:
    """Mean over some frames, dB."""
    truth = run.clip.frames / 255
    return float(np.mean([decibels(run.picture(int(i)), truth[i]) for i in held]))


def decibels(picture: Any, truth: Any) -> float:
    """PSNR of a picture, dB."""
    return float(-10 * np.log10(max(float(((np.asarray(picture) - truth) ** 2).mean()), 1e-12)))
