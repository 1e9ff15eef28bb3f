"""What each part of a fit gains or loses: 8 cameras, rendered truth, errors that the fit is not told of.

    python -m benchmarks.fit_ablation [--quick] [--rows base,light] [--keep FOLDER] [--size 256 --steps 3000 ...]

The built-in avatar is filmed by cameras around it under lamps that stand still in the room, beside the first camera and
turned by 40 degrees. The fit gets: the track with a simulated tracker's errors, cameras that are a little off (pose,
focal length), pictures with each camera's own colours and with noise. One camera and every eighth frame are held out.
Every row is a process of its own, so that its memory is its own.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.common import write_table
from gagjax import avatars, flame, so3
from gagjax.app.workflows.fit import panel
from gagjax.app.workflows.fitting.parts import PartOptions, chosen
from gagjax.avatars.parameters import Parameters
from gagjax.avatars.personal import appearance, canonical, deformation, training
from gagjax.avatars.personal.cameras.rig import Rig
from gagjax.avatars.personal.clip import FilmedClip
from gagjax.camera import Camera, Intrinsics, from_track
from gagjax.io import atomic, images
from gagjax.simulate import driver, observe
from gagjax.splatting import rasterize

HEAD, OTHER, PERFORMANCE, TRACKER = 1, 0, 3, 1
#: Azimuth and elevation of the cameras from the first, degrees.
PLACES = ((0, 0), (-20, 8), (20, 8), (-40, 0), (40, 0), (-60, 5), (60, 5), (10, -12))
HELD = 2
NOISE, COLOUR = 2.0, 0.06
#: How far cameras are off: degrees (0.2 move a picture by two per cent of its width), world units, share of the focal length.
OFF = {"small": (0.02, 0.005, 0.003), "large": (0.2, 0.01, 0.005)}
ROWS: dict[str, dict[str, Any]] = {
    "base": {},
    "colours of cameras off": {"colour": "off"},
    "colours, mean fixed": {"colour": "mean"},
    "calibrate": {"calibrate": True},
    "light": {"light": True},
    "uv": {"uv": True},
    "warm-up": {"warm_up": True},
    "filters": {"perceptual": "filters"},
    "wrinkles": {"wrinkles": True},
    "learned background": {"background": "learned"},
    "fit-shape": {"fit_shape": True},
    "all of these": {
        "calibrate": True, "light": True, "uv": True, "warm_up": True, "perceptual": "filters", "fit_shape": True,
    },
    "without joint motion": {"settings": {"motion": False}},
    "one camera": {"cameras": [0]},
    "another head": {"head": OTHER},
    "another head, fit-shape": {"head": OTHER, "fit_shape": True},
    "field": {"model": "field"},
    "field, uv": {"model": "field", "uv": True},
}  # fmt: skip
HEADER = (
    "fit",
    "held-out camera dB",
    "its colours matched dB",
    "held-out frames given dB",
    "refined dB",
    "training views dB",
    "loss or gain dB",
    "CPU s a step",
    "of them compiling and starting s",
    "memory MB",
)


class Scene:
    """The truth, and what a fit is given of it."""

    def __init__(self, frames: int, size: int, off: str) -> None:
        tilt, shift, focal = OFF[off]
        rng = np.random.default_rng(0)
        truth = avatars.builtin(HEAD)
        self.truth = driver(frames, controls=flame.CONTROLS, seed=PERFORMANCE)
        first = np.asarray(self.truth.transform, np.float64)
        middle = np.asarray([0.0, 0.0, first[:, 2, 3].mean()])
        self.relative = np.stack([_around(a, e, middle) for a, e in PLACES])
        lens = np.asarray(Intrinsics.of_focal(size=size).K, np.float64)
        pictures, cameras, times = [], [], []
        gains = np.exp(COLOUR * rng.normal(size=(len(PLACES), 3)))
        gains[[0, HELD]] = 1
        shifts = 0.3 * COLOUR * rng.normal(size=(len(PLACES), 3))
        shifts[[0, HELD]] = 0
        draw = jax.jit(lambda p, c, d: _lit(truth, p, c, d, size))
        for c in range(len(PLACES)):
            for t in range(frames):
                parameters = Parameters.of(self.truth.expression[t], self.truth.jaw[t], self.truth.eyes[t])
                lamp = from_track(first[t].astype(np.float32), size)
                seen = np.asarray(_after(first[t], self.relative[c]), np.float32)
                clean = np.asarray(draw(parameters, from_track(seen, size), lamp))
                taken = clean * gains[c] + shifts[c] + NOISE / 255 * rng.normal(size=clean.shape)
                pictures.append((np.clip(taken, 0, 1) * 255 + 0.5).astype(np.uint8))
                cameras.append(c)
                times.append(t)
        told, lenses = self.relative.copy(), np.tile(lens, (len(PLACES), 1, 1))
        # The held-out camera is a ruler: its pose, lens and colours are right, or its own errors would bound the measure.
        for c in [c for c in range(1, len(PLACES)) if c != HELD]:
            turn = np.asarray(so3.exp(jnp.asarray(np.deg2rad(tilt) * rng.normal(size=3))), np.float64)
            told[c, :, :3] = told[c, :, :3] @ turn
            told[c, :, 3] = told[c, :, 3] @ turn + shift * rng.normal(size=3)
            lenses[c, [0, 1], [0, 1]] *= 1 + focal * rng.normal()
        rig = Rig(
            np.asarray(times, np.int32),
            np.asarray(cameras, np.int32),
            told.astype(np.float32),
            lenses.astype(np.float32),
            names=tuple(f"camera {c}" for c in range(len(PLACES))),
        )
        behind = np.clip(np.asarray(avatars.BACKGROUND, np.float32) * gains + shifts, 0, 1).astype(np.float32)
        given = observe(self.truth, seed=TRACKER, outliers=0, dropped=0)
        self.clip = FilmedClip(np.stack(pictures), given, behind, None, rig)
        self.held = np.arange(4, frames, 8)

    def cameras(self, chosen: list[int] | None) -> list[int]:
        """The cameras that are not learned from."""
        return [HELD] if chosen is None else [c for c in range(len(PLACES)) if c not in chosen]


def _around(azimuth: float, elevation: float, middle: np.ndarray) -> np.ndarray:
    """From the first camera to one that looks at the same point from elsewhere, `[R | t]` for row vectors."""
    y, x = np.deg2rad(azimuth), np.deg2rad(elevation)
    about_y = np.array([[np.cos(y), 0, -np.sin(y)], [0, 1, 0], [np.sin(y), 0, np.cos(y)]])
    about_x = np.array([[1, 0, 0], [0, np.cos(x), np.sin(x)], [0, -np.sin(x), np.cos(x)]])
    turn = about_y @ about_x
    return np.concatenate([turn, (middle - middle @ turn)[:, None]], 1)


def _after(first: np.ndarray, relative: np.ndarray) -> np.ndarray:
    """One rigid map after another."""
    turn = first[:, :3] @ relative[:, :3]
    return np.concatenate([turn, (first[:, 3] @ relative[:, :3] + relative[:, 3])[:, None]], 1)


def _lit(avatar: Any, parameters: Parameters, camera: Camera, lamp: Camera, size: int) -> Any:
    """The avatar as `camera` sees it under lamps that stand by `lamp`, turned by 40 degrees about the vertical."""
    a = np.deg2rad(40)
    turn = jnp.asarray([[np.cos(a), 0, np.sin(a)], [0, 1, 0], [-np.sin(a), 0, np.cos(a)]], jnp.float32)
    viewmat = jnp.asarray(lamp.viewmat).at[:3, :3].set(turn @ lamp.viewmat[:3, :3])
    by = dataclasses.replace(lamp, viewmat=viewmat)
    gaussians = avatar.gaussians(dataclasses.replace(parameters, camera=by))
    return rasterize(gaussians, camera, background=jnp.asarray(avatars.BACKGROUND))[0]


def run(scene: Scene, changes: dict[str, Any], steps: int, count: int, keep: Path | None) -> list[float]:
    """One fit and its measures."""
    began = time.process_time()
    options = {k: v for k, v in changes.items() if k not in ("settings", "cameras", "head", "model")}
    head = flame.builtin(changes.get("head", HEAD))
    model = canonical.person(head)
    clip, parts = chosen(PartOptions(**options), scene.clip, head, model)
    if changes.get("model") == "field":
        start: Any = deformation.create(model, count)
        learned = np.setdiff1d(np.arange(len(clip)), scene.held)
        expression, jaw, eyes = (
            np.asarray(x)[learned] for x in (clip.track.expression, clip.track.jaw, clip.track.eyes)
        )
        start = deformation.guide(start, expression, jaw, eyes, np.zeros((len(learned), 3)), steps=300)
    else:
        start = appearance.create(model, count)
    settings = dataclasses.replace(training.Settings(steps=steps), **changes.get("settings", {}))
    fit = training.AvatarFit(start, clip, settings, scene.held, parts, scene.cameras(changes.get("cameras")))
    fit.run(3)
    jax.block_until_ready(fit.state)
    started = time.process_time()
    fit.run()
    jax.block_until_ready(fit.state)
    each = (time.process_time() - started) / max(steps - 3, 1)
    rig = clip.rig
    assert rig is not None
    frames = np.ones(len(clip), bool)
    frames[scene.held] = False
    camera = _only(rig, frames, HELD)
    seen = [_psnr(fit.picture(int(i)), clip.frames[i]) for i in camera]
    matched = [
        _psnr(_matched(fit.picture(int(i)), clip.frames[i], clip.background[HELD]), clip.frames[i]) for i in camera
    ]
    training_views = [_psnr(fit.picture(int(i)), clip.frames[i]) for i in fit.usable[:: max(len(fit.usable) // 16, 1)]]
    later = _only(rig, ~frames, 0)
    given = [_psnr(fit.picture(int(i)), clip.frames[i]) for i in later]
    fit.refine(later, steps=30)
    refined = [_psnr(fit.picture(int(i)), clip.frames[i]) for i in later]
    if keep is not None:
        rows = [panel(fit, int(i)) for i in (*camera[:2], *later[:1])]
        images.write(keep, np.concatenate(rows), force=True)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    means = [float(np.mean(x)) for x in (seen, matched, given, refined, training_views)]
    return [*means, each, started - began, memory]


def _only(rig: Rig, frames: np.ndarray, camera: int) -> np.ndarray:
    return rig.pictures(frames, [c for c in range(len(rig)) if c != camera])


def _psnr(picture: np.ndarray, truth: np.ndarray) -> float:
    return float(-10 * np.log10(((np.clip(picture, 0, 1) - truth / 255) ** 2).mean()))


def _matched(picture: np.ndarray, truth: np.ndarray, behind: np.ndarray) -> np.ndarray:
    """The picture after the affine map of the head's colours that fits the truth best: a held-out camera's is not known."""
    head = np.abs(picture - behind).max(-1) > 0.02
    known = np.concatenate([picture[head], np.ones((head.sum(), 1))], 1)
    found = picture.copy()
    found[head] = known @ np.linalg.lstsq(known, truth[head] / 255, rcond=None)[0]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a few steps at 48 pixels: does it run")
    parser.add_argument("--frames", type=int, default=16)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--gaussians", type=int, default=6000)
    parser.add_argument("--off", choices=tuple(OFF), default="small", help="how far cameras are off")
    parser.add_argument("--rows", default="", help="which, by name, separated by semicolons; all by default")
    parser.add_argument("--keep", type=Path, default=Path("build/fit_ablation"), help="folder for rows and sheets")
    parser.add_argument("--table", default="fit_ablation", help="name of the table; empty for none")
    parser.add_argument("--row", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.quick:
        options.frames, options.size, options.steps, options.gaussians, options.table = 9, 48, 6, 800, ""
    setting = f"{options.off}-{options.frames}-{options.size}-{options.steps}-{options.gaussians}"
    cache = options.keep / f"{setting}.json"
    rows = json.loads(cache.read_text()) if cache.is_file() else {}
    if options.row:
        scene = Scene(options.frames, options.size, options.off)
        sheet = options.keep / f"{setting} {options.row}.png"
        rows[options.row] = run(scene, ROWS[options.row], options.steps, options.gaussians, sheet)
        with atomic.output(cache, True) as temporary:
            temporary.write_text(json.dumps(rows, indent=1) + "\n")
        print(options.row, [round(x, 3) for x in rows[options.row]], flush=True)
        return
    wanted = [name.strip() for name in options.rows.split(";") if name.strip()] or list(ROWS)
    for name in wanted:
        if name not in rows or options.quick:
            arguments = [
                "--off",
                options.off,
                "--frames",
                options.frames,
                "--size",
                options.size,
                "--steps",
                options.steps,
            ]
            arguments += ["--gaussians", options.gaussians, "--keep", options.keep, "--row", name]
            subprocess.run([sys.executable, "-m", "benchmarks.fit_ablation", *map(str, arguments)], check=True)
    if not options.table:
        return
    rows = json.loads(cache.read_text())
    first = rows.get("base", next(iter(rows.values())))[0]
    write_table(
        options.table,
        HEADER,
        [[n, *rows[n][:5], rows[n][0] - first, *rows[n][5:]] for n in ROWS if n in rows],
        command=f"python -m benchmarks.fit_ablation --off {options.off} --frames {options.frames} --size {options.size} "
        f"--steps {options.steps} --gaussians {options.gaussians}",
        notes=[
            f"{options.frames} frames by {len(PLACES)} cameras, {options.size} pixels, of the built-in avatar (identity "
            f"{HEAD}); camera {HELD} and every eighth frame held out; {options.steps} steps of one picture, at most "
            f"{options.gaussians} Gaussians; base: Gaussians on the mesh, joint motion, colours of cameras corrected with "
            "the first fixed",
            "not told to the fit: tracker's errors (`simulate.observe` at its usual levels), cameras off by "
            "{:g} degrees, {:g} world units, {:g} of the focal length (not the held-out one), "
            "colours of each camera by {:.0f} %, noise of {:.0f} grey levels; lamps stand still in the room, turned by 40 "
            "degrees".format(*OFF[options.off], 100 * COLOUR, NOISE),
            "held-out camera: in frames that were learned from; also after the best "
            "affine map of the head's colours; held-out frames: the first camera, motion as tracked, and refined against them",
            "loss or gain: of the held-out camera against base; rows that lose are kept",
            "CPU seconds of both cores; memory: largest of the process, in which the truth was drawn too",
        ],
    )


if __name__ == "__main__":
    main()
