"""All filters, by name, with settings under which every part of them is at work."""

from __future__ import annotations

import numpy as np

from gagjax import so3
from gagjax.filters import (
    ConstantAcceleration,
    ConstantVelocity,
    Ema,
    Kalman,
    LiveRotation,
    LiveVelocity,
    OneEuro,
    OneEuroRotation,
    RigidTransform,
    RotationConstantVelocity,
    RotationEma,
    chain,
    fixed_lag,
    steady,
)

FRAMES = 21
VECTOR = {
    "Ema": Ema(0.4),
    "Ema per channel": Ema(np.array([0.2, 0.5, 1.0], np.float32)),
    "Kalman": Kalman(0.1, 0.3, 1.0),
    "ConstantVelocity": ConstantVelocity(2.0, 0.3, 0.5),
    "ConstantVelocity, gate": ConstantVelocity(2.0, 0.3, 0.5, gate=2.0, patience=2),
    "ConstantVelocity, huber": ConstantVelocity(2.0, 0.3, 0.5, huber=1.0),
    "ConstantVelocity, dof": ConstantVelocity(2.0, 0.3, 0.5, dof=4.0),
    "ConstantAcceleration": ConstantAcceleration(2.0, 0.3, 0.5),
    "OneEuro": OneEuro(1.0, 0.3, 1.0, 10.0),
    "LiveVelocity": LiveVelocity(2.0, fps=10.0, gate=2.0),
    "fixed_lag": fixed_lag(ConstantVelocity(2.0, 0.3, 0.5, gate=3.0), 3),
    "steady": steady(ConstantVelocity(2.0, 0.3, 0.5)),
    "chain": chain(Ema(0.5), Kalman(0.1, 0.3, 1.0)),
}
ROTATION = {
    "RotationEma": RotationEma(0.4),
    "OneEuroRotation": OneEuroRotation(1.0, 0.3, 1.0, 10.0),
    "RotationConstantVelocity": RotationConstantVelocity(0.5, 0.3, 0.5),
    "RotationConstantVelocity, gate": RotationConstantVelocity(0.5, 0.1, 0.5, gate=2.0, patience=2),
    "LiveRotation": LiveRotation(2.0, fps=10.0, gate=2.0),
    "fixed_lag, rotation": fixed_lag(RotationConstantVelocity(0.5, 0.3, 0.5), 3),
}
RIGID = {
    "RigidTransform": RigidTransform(
        RotationConstantVelocity(0.5, 0.3, 0.5), ConstantVelocity(2.0, 0.3, 0.5), np.array([0.1, 0.2, 0.3], np.float32)
    ),
}
ALL = VECTOR | ROTATION | RIGID
SMOOTHED = {name: f for name, f in ALL.items() if hasattr(f, "adjoint")}


def vectors(seed: int = 0, frames: int = FRAMES) -> np.ndarray:
    """A wandering sequence with an outlier now and then, (T, 3)."""
    rng = np.random.default_rng(seed)
    walk = np.cumsum(rng.normal(size=(frames, 3)), 0) * 0.5
    return (walk + 8 * (rng.random((frames, 1)) < 0.1)).astype(np.float32)


def rotations(seed: int = 0, frames: int = FRAMES) -> np.ndarray:
    """A wandering sequence of rotations, (T, 3, 3)."""
    return np.asarray(so3.exp(0.2 * vectors(seed, frames)))


def sequence(name: str, seed: int = 0, frames: int = FRAMES) -> np.ndarray:
    """A sequence that the filter of that name takes."""
    if name in VECTOR:
        return vectors(seed, frames)
    if name in ROTATION:
        return rotations(seed, frames)
    return np.concatenate([rotations(seed, frames), vectors(seed + 1, frames)[..., None]], -1)


def gaps(seed: int = 0, frames: int = FRAMES) -> np.ndarray:
    """Which frames are valid: about three in four, the last one surely."""
    valid = np.random.default_rng(seed).random(frames) < 0.75
    valid[-1] = True
    return valid
