"""Tuning on whole tracks: noise added to tracks taken as truth, field weights, and the smoothers to fit."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from gagjax.conventions.head_pose import GLOBAL_ROTATION, ROTATION, TRANSLATION
from gagjax.filters import AdaptiveSmoother
from gagjax.track import Track, concat
from gagjax.track_smoother import LiveTrackSmoother, TrackSmoother
from gagjax.typing import AnyArray

_ROUNDING = float(np.finfo(np.float32).eps)
FIELDS = ("expression", "jaw", "eyes", "rotation", "translation", "neck", "extra")


def observed(
    track: Track, seed: int = 0, *, noise: float = 0.3, outliers: float = 0.02, dropped: float = 0.05
) -> Track:
    """Add noise proportional to each channel's own motion, and so independent of units, as input for a fit.

    Args:
        track: The track, taken as truth.
        seed: Seed of the noise.
        noise: Standard deviation of the noise, relative to that of the channel.
        outliers: Fraction of frames in which all channels are wrong, by twenty times the noise.
        dropped: Fraction of frames that are marked lost.
    """
    from scipy.spatial.transform import Rotation

    rng = np.random.default_rng(seed)
    frames = len(track)
    struck = rng.random(frames) < outliers
    size = noise * np.where(struck, 20.0, 1.0)
    lost = rng.random(frames) < dropped
    lost[0] = False

    def shaken(x: AnyArray) -> np.ndarray:
        x = np.asarray(x, np.float64)
        return (x + size.reshape(-1, *[1] * (x.ndim - 1)) * x.std(0) * rng.normal(size=x.shape)).astype(np.float32)

    def turned(x: AnyArray) -> np.ndarray:
        turns = Rotation.from_matrix(np.asarray(x, np.float64))
        spread = (turns.mean().inv() * turns).as_rotvec().std(0)
        # An outlier of a rotation stays below a half turn.
        step = np.clip(size[:, None] * spread * rng.normal(size=(frames, 3)), -1, 1)
        return (turns * Rotation.from_rotvec(step)).as_matrix().astype(np.float32)

    transform = np.asarray(track.transform)
    return dataclasses.replace(
        track,
        expression=shaken(track.expression),
        jaw=shaken(track.jaw),
        eyes=shaken(track.eyes),
        neck=None if track.neck is None else shaken(track.neck),
        transform=np.concatenate([turned(transform[..., :3]), shaken(transform[..., 3:])], -1),
        extra={
            name: turned(x) if name in track.rotations else shaken(x)  # type: ignore[misc]
            for name, x in track.extra.items()
        },
        valid=np.asarray(track.valid) & ~lost,
    )


def weights(tracks: Sequence[Track]) -> Any:
    """Squared-error weight of each array: the inverse mean variance of its channels; zero for arrays without motion."""
    channels = [jax.tree.map(np.asarray, track.channels) for track in tracks]

    def weigh(*leaves: np.ndarray) -> float:
        variance = float(np.mean([leaf.var(0).mean() for leaf in leaves]))
        # Variance below an array's own rounding error is not motion.
        size = max(float(np.abs(leaf).max(initial=0)) for leaf in leaves)
        return 1 / variance if variance > (_ROUNDING * size) ** 2 else 0.0

    return jax.tree.map(weigh, *channels)


def shared(tracks: Sequence[Track]) -> tuple[list[Track], tuple[str, ...]]:
    """Reduce tracks of any trackers to their common channels, so that they can be fitted together.

    Args:
        tracks: The tracks.

    Returns:
        The tracks with the same channels, and the names of the omitted channels.
    """

    def kinds(track: Track) -> dict[str, tuple[Any, ...]]:
        found = {name: (np.shape(x)[1:], name in track.rotations) for name, x in track.extra.items()}
        return found | ({} if track.neck is None else {"neck": ((3,), False)})

    held = [kinds(track) for track in tracks]
    common = {name for name, kind in held[0].items() if all(each.get(name) == kind for each in held)}
    left_out = sorted({name for each in held for name in each} - common)
    if not left_out:
        return list(tracks), ()
    cut = [
        dataclasses.replace(
            track,
            neck=track.neck if "neck" in common else None,
            rotations=tuple(name for name in track.rotations if name in common),
            extra={name: x for name, x in track.extra.items() if name in common},
        )
        for track in tracks
    ]
    return cut, tuple(left_out)


def together(tracks: Sequence[Track]) -> Track:
    """All tracks concatenated, at the rate of the first: determines which fields move in any of them."""
    first = tracks[0]
    return concat(dataclasses.replace(track, fps=first.fps, names=None, shape=None) for track in tracks)


def moving(track: Track) -> tuple[str, ...]:
    """The fields of a smoother that move in a track."""
    channels = track.channels
    transform = np.asarray(channels.transform)
    found = {name: getattr(channels, name) for name in ("expression", "jaw", "eyes", "neck")}
    found |= {"rotation": transform[..., :3], "translation": transform[..., 3]}
    names = [name for name, x in found.items() if x is not None and _moves(np.asarray(x))]
    own = {ROTATION: "rotation", GLOBAL_ROTATION: "rotation", TRANSLATION: "translation"}
    names += [own.get(name, "extra") for name, x in channels.extra.items() if _moves(np.asarray(x))]
    return tuple(name for name in FIELDS if name in names)


def _moves(x: np.ndarray) -> bool:
    return bool((np.ptp(x, axis=0) > 4 * _ROUNDING * np.abs(x).max(axis=0)).any())


def offline(track: Track) -> TrackSmoother:
    """The offline smoother with one cutoff per field, the middle of the default's candidates: the start of a fit."""
    base = TrackSmoother.default(track.fps).for_track(track)

    def fixed(each: AdaptiveSmoother) -> AdaptiveSmoother:
        middle = np.float32(np.sqrt(float(each.lowest) * float(each.highest)))
        return dataclasses.replace(each, lowest=middle, highest=middle, candidates=1)

    # A field without motion provides no information and costs compile time.
    used = moving(track)
    parts: dict[str, Any] = {name: fixed(getattr(base, name)) if name in used else None for name in FIELDS}
    return dataclasses.replace(base, **parts)


def live(track: Track) -> LiveTrackSmoother:
    """The causal smoother as shipped."""
    return TrackSmoother.live(track.fps).for_track(track)


def leaves(track: Track, *, causal: bool) -> tuple[str, ...]:
    """The hyperparameters to fit for a track: one cutoff per field that moves."""
    names = []
    for name in moving(track):
        if not causal:
            names.append(f"{name}.lowest")
        elif name in ("rotation", "translation"):
            names.append(f"transform.{name}.cutoff")
        else:
            names.append(f"{name}.cutoff")
    if causal and track.rotations and "extra" in moving(track):
        names.append("extra_rotation.cutoff")
    return tuple(names)
