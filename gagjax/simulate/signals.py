"""Building blocks of simulated motion: functions of time in seconds, independent of the frame rate.

Events are drawn in temporal order, each kind from its own random generator: a shorter clip is a prefix of a longer one.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

Times = Float[np.ndarray, "T"]


def wander(
    generator: np.random.Generator, t: Times, cutoff: float, deviation: float, waves: int = 24
) -> Float[np.ndarray, "T"]:
    """A band-limited random signal: a sum of sinusoids whose power falls off above a cutoff.

    Args:
        generator: Source of the phases.
        t: Times, (T,), seconds.
        cutoff: Frequency in Hz at which the power is halved; there is no power above four times the cutoff.
        deviation: Standard deviation over a long time.
        waves: Number of sinusoids.

    Returns:
        The signal, (T,).
    """
    # Stratified, so that no draw leaves a gap in the band.
    frequency = (np.arange(waves) + generator.uniform(size=waves)) / waves * 4 * cutoff
    phase = generator.uniform(0, 2 * np.pi, waves)
    power = 1 / (1 + (frequency / cutoff) ** 4)
    amplitude = deviation * np.sqrt(2 * power / power.sum())
    return np.sin(2 * np.pi * np.outer(t, frequency) + phase) @ amplitude


def step(t: Times, start: float, duration: float) -> Float[np.ndarray, "T"]:
    """From 0 to 1 in `duration` seconds along the minimum-jerk profile of human movement.

    Source: Flash and Hogan, The coordination of arm movements, J. Neuroscience 1985.
    """
    u = np.clip((t - start) / duration, 0, 1)
    return u**3 * (10 - 15 * u + 6 * u**2)


def pulse(t: Times, start: float, rise: float, hold: float, fall: float) -> Float[np.ndarray, "T"]:
    """Rise to 1, hold, and fall to 0; durations in seconds."""
    return step(t, start, rise) - step(t, start + rise + hold, fall)


def renewal(generator: np.random.Generator, seconds: float, shortest: float, mean: float, first: float) -> list[float]:
    """Start times of events in seconds: gaps of at least `shortest`, `mean` on average, the first event at `first`."""
    times, now = [], first
    while now < seconds:
        times.append(now)
        now += shortest + generator.gamma(2.0, (mean - shortest) / 2)
    return times
