"""Videos with ground truth: built-in identities perform, rendered under different lights and lenses."""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gagjax import avatars
from gagjax.avatars import Parameters
from gagjax.avatars.rendering import drawn
from gagjax.camera import FOCAL, from_track
from gagjax.simulate import driving
from gagjax.track import Track
from gagjax.tracking.faces.following import Follower

SIZE, FRAMES = 512, 200


class Case(NamedTuple):
    """One video.

    Attributes:
        seed: Seed of the identity and of the performance.
        focal: Focal length in half-widths.
        light: "even", "side" or "dim".
    """

    seed: int
    focal: float
    light: str


#: Videos used to choose the fit's constants (priors, weights, slide, iris depth).
CASES = (Case(3, 12.0, "even"), Case(5, 7.0, "side"), Case(8, 4.5, "dim"))
#: Held-out videos, not used for any choice.
HELD_OUT = (Case(4, 12.0, "side"), Case(6, 7.0, "dim"), Case(9, 4.5, "even"))


def performance(case: Case, frames: int = FRAMES) -> Track:
    """Ground truth: the identity's performance, with the camera of this case's lens."""
    from gagjax import flame

    track = driving.driver(frames, seed=case.seed, controls=flame.CONTROLS)
    transform = np.array(track.transform)
    transform[:, 2, 3] *= case.focal / FOCAL  # a shorter lens at a smaller distance, so that the head keeps its size
    return dataclasses.replace(track, transform=transform)


def film(case: Case, frames: int = FRAMES) -> Iterator[np.ndarray]:
    """The frames, (512, 512, 3) uint8."""
    return film_of(case, performance(case, frames))


def film_of(case: Case, track: Track) -> Iterator[np.ndarray]:
    """Frames of a case's identity, light and lens along any track."""
    avatar = avatars.builtin(case.seed)
    ground = jnp.asarray([0.80, 0.83, 0.86])

    @jax.jit
    def picture(transform, expression, jaw, eyes):
        camera = from_track(transform, SIZE, case.focal)
        pose = jnp.concatenate([jnp.zeros(3), jaw])
        shape = jnp.zeros(300)
        return drawn(avatar, Parameters(expression, pose, eyes, jnp.zeros(3), shape, camera), ground)[0]

    light = _light(case.light)
    noise = np.random.default_rng(case.seed)
    for frame in zip(track.transform, track.expression, track.jaw, track.eyes, strict=True):
        shown = np.asarray(picture(*(jnp.asarray(x, jnp.float32) for x in frame))) * light
        yield (np.clip(shown + noise.normal(0, 0.008, shown.shape), 0, 1) * 255 + 0.5).astype(np.uint8)


def _light(kind: str) -> np.ndarray:
    x = np.linspace(-1, 1, SIZE)[None, :, None]
    if kind == "side":
        return (0.75 + 0.4 * x) * np.array([1.0, 0.93, 0.82])
    if kind == "dim":
        return np.full((1, 1, 1), 0.45) * np.array([0.9, 0.97, 1.1])
    return np.ones((1, 1, 1))


def landmarks(case: Case, frames: int = FRAMES) -> np.ndarray:
    """Landmarks that the follower detects in the video, (T, 478, 3); cached in $GAGJAX_BENCH_CACHE if that is set."""
    cache = os.environ.get("GAGJAX_BENCH_CACHE")
    key = hashlib.sha256(repr((case, frames)).encode()).hexdigest()[:12]
    path = None if cache is None else Path(cache) / f"marks-{key}.npz"
    if path is not None and path.exists():
        return np.load(path)["marks"]
    follower = Follower()
    marks = np.stack([follower(picture).points for picture in film(case, frames)])
    if path is not None:
        np.savez_compressed(path, marks=marks)
    return marks
