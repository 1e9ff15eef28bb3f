"""Memoryless stages as filters."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int

from gagjax.track import Channels
from gagjax.typing import AnyArray


class Held(NamedTuple):
    """Number of frames so far and the last output, which replaces missing frames."""

    frames: Int[Array, ""]
    output: Any


class Memoryless:
    """A filter whose output depends only on the current frame; missing frames repeat the last output."""

    def apply_frame(self, x: Channels, frame: Int[AnyArray, ""]) -> Channels:
        raise NotImplementedError

    def init(self, first: Channels) -> Held:
        """The state before the first frame, see `gagjax.protocols`."""
        frame = jnp.int32(0)
        return Held(frame, self.apply_frame(jax.tree.map(jnp.asarray, first), frame))

    def step(self, state: Held, x: Channels) -> tuple[Held, Channels]:
        """One observed frame, see `gagjax.protocols.Filter`."""
        y = self.apply_frame(x, state.frames)
        return Held(state.frames + 1, y), y

    def predict(self, state: Held) -> tuple[Held, Channels]:
        """One frame without an observation, see `gagjax.protocols.Filter`."""
        return Held(state.frames + 1, state.output), state.output
