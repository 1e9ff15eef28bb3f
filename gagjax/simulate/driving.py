"""A simulated performance: head, face and eye motion of a person talking to a camera."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from fractions import Fraction

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from gagjax.errors import InputError
from gagjax.simulate.signals import Times, pulse, renewal, step, wander
from gagjax.track import EXPRESSIONS, SHAPES, Track, as_rate
from gagjax.typing import FrameRate

# The head rotates about the top of the neck, below and behind the origin; GAGAvatar units.
PIVOT = np.array([0.0, -0.45, -0.1])
DISTANCE = 9.3
# A camera straight ahead, in the row-vector convention of Track: x left, y up, z forward.
FRONT = np.diag([-1.0, 1.0, -1.0])
# Half of the angle between the two eyes' axes when they meet about 1.8 m away.
VERGENCE = np.deg2rad(1.0)
COLUMNS = {
    name: column
    for column, name in enumerate(
        ("blink_left", "blink_right", "smile", "mouth_open", "pucker", "brow_up", "brow_down", "lips_press", "squint")
    )
}


def driver(
    frames: int,
    fps: FrameRate = 25,
    seed: int = 0,
    *,
    controls: Mapping[str, int] | None = None,
    shape: Float[np.ndarray, "300"] | None = None,
) -> Track:
    """A person who talks, looks around, blinks and smiles: the ground truth of a clip.

    The head sways below half a hertz and reorients every few seconds; the eyes jump first and counter-rotate while the
    head follows. Between saccades they drift and make microsaccades. Blinks close both lids within 60 ms, stay closed
    for one frame at 25 fps and open in 90 ms (three to five frames in all). Speech is a chain of syllables at about
    5 Hz, each with its jaw opening and lip shape, with closed lips before some and pauses between phrases.

    Args:
        frames: Number of frames.
        fps: Frames per second; another rate samples the same motion.
        seed: Each seed gives a different performance.
        controls: Expression column of each named control, at unit coefficient = full effect; None uses `COLUMNS`.
            Controls without a column are omitted.
        shape: FLAME shape for the clip, (300,); None is the mean head.

    Returns:
        The track, all frames valid, `source` "simulated". A shorter clip is a prefix of a longer one.

    Raises:
        InputError: If `frames` is less than one or `fps` is not a frame rate.

    Example:
        >>> track = driver(50, fps=25, seed=3)
        >>> len(track), bool(track.valid.all())
        (50, True)
    """
    if frames < 1:
        raise InputError(f"must be at least 1, got {frames}", field="frames")
    rate = as_rate(fps)
    t = np.arange(frames) / float(rate)
    generators = dict(
        zip(("head", "gaze", "blink", "speech", "face", "rest"), np.random.default_rng(seed).spawn(6), strict=True)
    )
    shifts = _gaze_shifts(generators["gaze"], t)
    rotation, translation = _head(generators["head"], t, shifts)
    eyes, down = _eyes(generators["gaze"], t, shifts, rotation)
    jaw, face = _speech(generators["speech"], t)
    for name, value in _emotion(generators["face"], t).items():
        face[name] = face.get(name, 0) + value
    # Lids follow the gaze down; a blink closes the remaining opening.
    lid = np.clip(0.9 * down, 0, 0.35)
    closed = lid + (1 - lid) * _closure(t, blink_times(t[-1], seed))
    face["blink_left"] = face["blink_right"] = closed
    return Track(
        expression=_coefficients(face, controls, frames),
        jaw=np.stack([jaw, wander(generators["rest"], t, 0.8, 0.006), np.zeros(frames)], 1),
        eyes=eyes,
        transform=np.concatenate([rotation, translation[:, :, None]], 2),
        shape=np.zeros(SHAPES) if shape is None else shape,
        fps=Fraction(rate),
        source="simulated",
    )


def blink_times(seconds: float, seed: int = 0) -> list[float]:
    """Blink onsets of the driver of a seed, in seconds: about every three seconds, as in conversation."""
    generator = np.random.default_rng(seed).spawn(6)[2]
    return renewal(generator, seconds, 1.0, 2.8, first=generator.uniform(0.6, 1.2))


def _closure(t: Times, times: list[float]) -> Float[np.ndarray, "T"]:
    return sum((pulse(t, start, 0.06, 0.04, 0.09) for start in times), np.zeros_like(t))


def _gaze_shifts(generator: np.random.Generator, t: Times) -> list[tuple[float, float, float]]:
    """Large gaze shifts, shared by head and eyes: (start in seconds, yaw, pitch up) of the new target, radians."""
    shifts = [(-10.0, 0.0, 0.0)]
    times, places = generator.spawn(2)
    for start in renewal(times, t[-1], 0.9, 2.0, first=times.uniform(0.7, 1.3)):
        away = shifts[-1][1] == 0.0
        # About every second shift returns to the camera.
        home = not away and places.uniform() < 0.6
        yaw = places.choice([-1, 1]) * np.deg2rad(places.uniform(10, 30))
        pitch = np.deg2rad(places.uniform(-14, 9))
        shifts.append((start, 0.0, 0.0) if home else (start, yaw, pitch))
    return shifts


def _head(
    generator: np.random.Generator, t: Times, shifts: list[tuple[float, float, float]]
) -> tuple[Float[np.ndarray, "T 3 3"], Float[np.ndarray, "T 3"]]:
    """World-to-camera rotation and translation (row vectors) of a head that moves in front of a static camera."""
    yaw = wander(generator, t, 0.35, np.deg2rad(2.2))
    pitch = wander(generator, t, 0.4, np.deg2rad(1.6)) + wander(generator, t, 1.5, np.deg2rad(0.35))
    roll = wander(generator, t, 0.3, np.deg2rad(1.6))
    for (_, from_yaw, from_pitch), (start, to_yaw, to_pitch) in itertools.pairwise(shifts):
        # The head starts 80 ms after the eyes and covers about two thirds of the shift.
        path = step(t, start + 0.08, 0.35 + 0.5 * abs(to_yaw - from_yaw))
        yaw += 0.65 * (to_yaw - from_yaw) * path
        pitch -= 0.55 * (to_pitch - from_pitch) * path
    turn = Rotation.from_euler("YXZ", np.stack([yaw, pitch, roll], 1)).as_matrix()
    sway = np.stack([wander(generator, t, 0.3, deviation) for deviation in (0.035, 0.025, 0.07)], 1)
    rotation = turn.transpose(0, 2, 1) @ FRONT
    about_pivot = (PIVOT - turn @ PIVOT) @ FRONT
    return rotation, about_pivot + sway + np.array([0.0, 0.0, DISTANCE])


def _eyes(
    generator: np.random.Generator,
    t: Times,
    shifts: list[tuple[float, float, float]],
    rotation: Float[np.ndarray, "T 3 3"],
) -> tuple[Float[np.ndarray, "T 6"], Float[np.ndarray, "T"]]:
    """Eye-in-head rotations, axis-angle, and downward gaze angle, radians."""
    # Small saccades within the scene and microsaccades, each to a new position around the current large target.
    glances = _small_saccades(generator, t, 0.25, 0.8, (3.0, 1.8))
    micro = _small_saccades(generator, t, 0.15, 0.6, (0.25, 0.2))
    place = np.zeros((len(t), 2))
    for path in (shifts, glances, micro):
        for before, after in itertools.pairwise(path):
            move = np.subtract(after[1:], before[1:])
            # The main sequence: a saccade lasts 21 ms and 2.2 ms for each degree.
            duration = 0.021 + 0.0022 * np.rad2deg(np.hypot(*move))
            place += move * step(t, after[0], duration)[:, None]
    drift = np.deg2rad(0.12)
    yaw, pitch = place[:, 0] + wander(generator, t, 0.8, drift), place[:, 1] + wander(generator, t, 0.8, drift)
    world = np.stack([np.cos(pitch) * np.sin(yaw), np.sin(pitch), np.cos(pitch) * np.cos(yaw)], 1)
    # World to head: the direction d becomes H^T d, and H^T = rotation @ FRONT^T.
    seen = np.einsum("tij,tj->ti", rotation @ FRONT.T, world)
    # The eyes rotate up to about 40 degrees; beyond that the gaze falls short of its target.
    flat = np.hypot(seen[:, 0], seen[:, 1])
    angle = np.arctan2(flat, seen[:, 2])
    limited = np.deg2rad(40) * np.tanh(angle / np.deg2rad(40))
    scale = limited / np.where(flat > 1e-9, flat, 1)
    right, up = seen[:, 0] * scale, seen[:, 1] * scale
    none = np.zeros_like(t)
    left_eye = np.stack([-up, right - VERGENCE, none], 1)
    right_eye = np.stack([-up, right + VERGENCE, none], 1)
    return np.concatenate([left_eye, right_eye], 1), np.maximum(-up, 0)


def _small_saccades(
    generator: np.random.Generator, t: Times, shortest: float, mean: float, degrees: tuple[float, float]
) -> list[tuple[float, float, float]]:
    times, places = generator.spawn(2)
    starts = renewal(times, t[-1], shortest, mean, first=shortest)
    return [(-10.0, 0.0, 0.0), *((start, *np.deg2rad(places.normal(0, degrees))) for start in starts)]


def _speech(
    generator: np.random.Generator, t: Times
) -> tuple[Float[np.ndarray, "T"], dict[str, Float[np.ndarray, "T"]]]:
    """Jaw opening in radians, and the lip controls."""
    jaw = 0.01 + 0.004 * np.sin(2 * np.pi * 0.25 * t)
    lips = {name: np.zeros_like(t) for name in ("pucker", "mouth_open", "lips_press", "brow_up", "smile")}
    now = generator.uniform(0.1, 0.4)
    while now < t[-1] + 0.1:  # lips close and brows rise before their syllable
        phrase_end = now + generator.uniform(1.4, 3.2)
        while now < phrase_end:
            length = generator.uniform(0.15, 0.27)
            # Stress varies the jaw opening between the syllables of a phrase.
            opening = generator.choice([0.06, 0.11, 0.18], p=[0.35, 0.4, 0.25]) * generator.uniform(0.8, 1.2)
            shape = pulse(t, now, 0.5 * length, 0.04, 0.55 * length)
            jaw = jaw + opening * shape
            kind = generator.choice(["open", "round", "spread"])
            lips["mouth_open"] += 0.35 * opening / 0.18 * shape
            if kind == "round":
                lips["pucker"] += generator.uniform(0.4, 0.8) * shape
            elif kind == "spread":
                lips["smile"] += generator.uniform(0.1, 0.25) * shape
            if generator.uniform() < 0.25:
                lips["lips_press"] += generator.uniform(0.4, 0.8) * pulse(t, now - 0.06, 0.05, 0.03, 0.06)
            if opening > 0.17 and generator.uniform() < 0.5:
                lips["brow_up"] += generator.uniform(0.2, 0.5) * pulse(t, now - 0.05, 0.15, 0.15, 0.3)
            now += length
        now += generator.uniform(0.35, 0.8)
    return jaw, lips


def _emotion(generator: np.random.Generator, t: Times) -> dict[str, Float[np.ndarray, "T"]]:
    """Smiles with squinting eyes, raised and lowered brows: the slow part of the face."""
    face = {name: np.zeros_like(t) for name in ("smile", "squint", "brow_up", "brow_down")}
    smiles, brows, amounts, heights = generator.spawn(4)
    for start in renewal(smiles, t[-1], 2.0, 3.5, first=smiles.uniform(1.5, 2.5)):
        amount, rise, hold = amounts.uniform(0.4, 0.9), amounts.uniform(0.3, 0.5), amounts.uniform(0.6, 1.4)
        shape = amount * pulse(t, start, rise, hold, 0.6)
        face["smile"] += shape
        face["squint"] += 0.35 * shape
    for start in renewal(brows, t[-1], 1.5, 4.0, first=brows.uniform(0.5, 3.0)):
        name = heights.choice(["brow_up", "brow_up", "brow_down"])
        face[name] += heights.uniform(0.3, 0.8) * pulse(t, start, 0.2, heights.uniform(0.2, 0.6), 0.35)
    return face


def _coefficients(
    face: Mapping[str, Float[np.ndarray, "T"]], controls: Mapping[str, int] | None, frames: int
) -> Float[np.ndarray, "T 100"]:
    controls = COLUMNS if controls is None else controls
    expression = np.zeros((frames, EXPRESSIONS))
    for name, value in face.items():
        if name in controls:
            expression[:, controls[name]] += value
    return expression
