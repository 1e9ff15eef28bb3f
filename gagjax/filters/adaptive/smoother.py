"""The smoother that finds its own noise level and cutoff."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from gagjax.filters.adaptive import passes
from gagjax.filters.adaptive.gaps import neighbours
from gagjax.filters.base import check_lengths, check_observed
from gagjax.long_clips.walk import Walk
from gagjax.pytree import is_concrete, pytree, static
from gagjax.typing import AnyArray, Scalar, Values


@pytree
class AdaptiveSmoother:
    """A zero-lag smoother that finds its own noise level and cutoff: outlier-proof, blink-safe, any unit.

    Args:
        lowest: Lowest cutoff that may be chosen, Hz; below it nothing is smoothed away.
        highest: Highest cutoff that may be chosen, Hz; equal to `lowest` for a fixed cutoff.
        gate: Observations further from their neighbours than this many standard deviations are outliers.
        guard: Events that stand out by this many standard deviations for two frames or more are kept; infinity keeps
            none.
        floor: Standard deviation below which noise is of no interest, in the channel's unit; 0 for none.
        pooling: How much the other channels of an array count in the choice of a channel's cutoff.
        candidates: How many cutoffs are tried.

    Raises:
        ValueError: If the cutoffs are not positive or out of order, or gate or guard is not positive.

    Example:
        >>> import numpy as np
        >>> still = np.full((20, 2), 3.0, np.float32)
        >>> AdaptiveSmoother()(still, dt=0.04)[7].tolist()
        [3.0, 3.0]
    """

    lowest: Scalar = 1.0
    highest: Scalar = 10.0
    gate: Scalar = 5.0
    guard: Scalar = 4.0
    floor: Scalar = 0.0
    pooling: Scalar = 1.0
    candidates: int = static(default=12)

    def __post_init__(self) -> None:
        if is_concrete(self.lowest) and is_concrete(self.highest) and not 0 < self.lowest <= self.highest:
            raise ValueError(f"cutoffs must be positive and in order, got {self.lowest} and {self.highest} Hz")
        for name in ("gate", "guard"):
            value = getattr(self, name)
            if is_concrete(value) and not value > 0:
                raise ValueError(f"{name} must be positive, got {value}")

    def __call__(
        self,
        xs: Float[AnyArray, "T ..."],
        valid: Bool[AnyArray, "T"] | None = None,
        dt: Values = 1.0,
        cuts: Bool[AnyArray, "T"] | None = None,
    ) -> Float[Array, "T ..."]:
        """Smooth an array of independent channels.

        Args:
            xs: (T, ...).
            valid: (T,) bool; values of frames marked False are never read. Gaps inside are bridged, at the ends the
                nearest frame is held.
            dt: Seconds per frame, one number or (T,).
            cuts: (T,) bool; True where a new scene begins.

        Returns:
            The smoothed array, (T, ...).

        Raises:
            InputError: If `valid`, `dt` or `cuts` has another length, or no frame is valid.
        """
        _check(xs, valid, dt, cuts)
        return _smooth_vector(self, xs, valid, dt, cuts)

    def by_parts(
        self,
        xs: Float[np.ndarray, "T ..."],
        valid: Bool[np.ndarray, "T"] | None = None,
        dt: Values = 1.0,
        cuts: Bool[np.ndarray, "T"] | None = None,
        walk: Walk | None = None,
    ) -> Float[np.ndarray, "T ..."]:
        """Smooth an array that is too long for memory in parts: as calling does, to 5e-6 of each
        channel's range (5e-5 in the four frames about a cut).

        Noise levels and cutoffs are those of the whole array, and the filters' states are handed from part to part, so
        the length of a part does not matter. Nothing of the array's size is held but the array and the result.

        Args:
            xs: (T, ...), NumPy; may be a file's memory map.
            valid: As for calling.
            dt: As for calling.
            cuts: As for calling.
            walk: The length of a part, where the result is kept, and who is told of the progress.

        Returns:
            The smoothed array, (T, ...).

        Raises:
            InputError: As for calling.
        """
        _check(xs, valid, dt, cuts)
        from gagjax.filters.adaptive import long  # ten programs that short clips need not know of

        walk = Walk() if walk is None else walk
        return long.smooth_vector(self, xs.reshape(len(xs), -1), valid, dt, cuts, walk).reshape(xs.shape)

    def rotations(
        self,
        xs: Float[AnyArray, "T 3 3"],
        valid: Bool[AnyArray, "T"] | None = None,
        dt: Values = 1.0,
        cuts: Bool[AnyArray, "T"] | None = None,
    ) -> Float[Array, "T 3 3"]:
        """Smooth rotation matrices on SO(3); see `__call__` for the arguments."""
        _check(xs, valid, dt, cuts)
        return _smooth_rotations(self, xs, valid, dt, cuts)

    def surprise(
        self,
        xs: Float[AnyArray, "T ..."],
        valid: Bool[AnyArray, "T"] | None = None,
        dt: Values = 1.0,
        turns: bool = False,
    ) -> Float[Array, ""]:
        """Negative log-likelihood of the observations at the lowest cutoff, per frame and moving channel.

        The innovations of the constant-velocity filter are scored, outliers left out, each channel's noise level chosen
        for the best; what the choice of a cutoff minimises, as a differentiable number.

        Args:
            xs: (T, ...) channels, or (T, 3, 3) rotations where `turns`.
            valid: As for calling.
            dt: As for calling.
            turns: Whether `xs` are rotation matrices.
        """
        xs = jnp.asarray(xs)
        _check(xs, valid, dt, None)
        if turns:
            xs = passes.tangent(xs[neighbours(valid, xs.shape[0])[0]])
        return passes.surprise(self, xs.reshape(xs.shape[0], -1), valid, dt)


def _check(xs: AnyArray, valid: AnyArray | None, dt: Values, cuts: AnyArray | None) -> None:
    check_lengths(np.shape(xs)[0], valid=valid, dt=dt if np.ndim(dt) else None, cuts=cuts)
    check_observed(valid)


@jax.jit
def _smooth_vector(
    settings: AdaptiveSmoother, xs: AnyArray, valid: AnyArray | None, dt: Values, cuts: AnyArray | None
) -> Any:
    xs = jnp.asarray(xs)
    return passes.smooth_vector(settings, xs.reshape(xs.shape[0], -1), valid, dt, cuts).reshape(xs.shape)


@jax.jit
def _smooth_rotations(
    settings: AdaptiveSmoother, xs: AnyArray, valid: AnyArray | None, dt: Values, cuts: AnyArray | None
) -> Any:
    return passes.smooth_rotations(settings, jnp.asarray(xs), valid, dt, cuts)
