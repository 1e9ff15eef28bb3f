"""Building blocks of simulated motion: functions of time in seconds, so that any frame rate samples the same motion.

Everything is drawn in order of time from its own random generator: a longer clip begins with the shorter one.
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
        generator: Where the phases come from.
        t: Times, (T,), seconds.
        cutoff: Frequency in Hz at which the power is halved; nothing lies above four times it.
        deviation: Standard deviation over long times.
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
    """From 0 to 1 in `duration` seconds along the minimum-jerk path of human movement.

    Source: Flash and Hogan, The coordination of arm movements, J. Neuroscience 1985.
    """
    u = np.clip((t - start) / duration, 0, 1)
    return u**3 * (10 - 15 * u + 6 * u**2)


def pulse(t: Times, start: float, rise: float, hold: float, fall: float) -> Float[np.ndarray, "T"]:
    """Up to 1, held, and back to 0: times of the three parts in seconds."""
    return step(t, start, rise) - step(t, start + rise + hold, fall)


def renewal(generator: np.random.Generator, seconds: float, shortest: float, mean: float, first: float) -> list[float]:
    """Start times of events: gaps of at least `shortest`, `mean` on average, the first one `first` after zero."""
    times, now = [], first
    while now < seconds:
        times.append(now)
        now += shortest + generator.gamma(2.0, (mean - shortest) / 2)
    return times
