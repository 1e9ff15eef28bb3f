"""The protocol of starts: what one is given, what it returns, and their names."""

from __future__ import annotations

import dataclasses
import importlib

import numpy as np
from jaxtyping import Float, Int

from gagjax.avatars.personal.canonical import Canonical
from gagjax.avatars.personal.clip import FilmedClip
from gagjax.errors import InputError
from gagjax.flame.model import FlameModel

#: Starts by name; each is the module of this package with that name.
STARTS = ("flame", "portrait", "sdf")


@dataclasses.dataclass(frozen=True)
class Given:
    """What a start may use.

    Attributes:
        model: The person's head model, without shape coefficients; the avatar is bound to it.
        clip: The clip, its head pose folded into the camera.
        frames: Indices of the frames that may be looked at: tracked, and not held out, (K,).
        count: Maximum number of Gaussians.
        seed: Seed of whatever is random.
    """

    model: FlameModel
    clip: FilmedClip
    frames: Int[np.ndarray, "K"]
    count: int
    seed: int = 0


@dataclasses.dataclass(frozen=True)
class Start:
    """Gaussians before a fit.

    Attributes:
        canonical: Where each is attached on the mesh of `Given.model`.
        width: Standard deviation of each, metres, (N,).
        colours: Display-encoded RGB in [0, 1], (N, 3); None for grey.
        offset: From the mesh's surface at rest, metres, (N, 3); None for none.

    Raises:
        InputError: If the arrays differ in length, or a value is not finite.
    """

    canonical: Canonical
    width: Float[np.ndarray, "N"]
    colours: Float[np.ndarray, "N 3"] | None = None
    offset: Float[np.ndarray, "N 3"] | None = None

    def __post_init__(self) -> None:
        count = len(self.canonical)
        for name, shape in (("width", (count,)), ("colours", (count, 3)), ("offset", (count, 3))):
            value = getattr(self, name)
            if value is not None and (np.shape(value) != shape or not np.isfinite(value).all()):
                raise InputError(f"has shape {np.shape(value)} or is not finite, expected {shape}", field=name)

    def logits(self) -> Float[np.ndarray, "N 3"]:
        """Colours before the sigmoid of the models, (N, 3)."""
        if self.colours is None:
            return np.zeros((len(self.canonical), 3), np.float32)
        share = np.clip(np.asarray(self.colours, np.float64), 0.01, 0.99)
        return np.asarray(np.log(share / (1 - share)), np.float32)

    def centimetres(self) -> Float[np.ndarray, "N 3"]:
        """Offsets in the models' unit, (N, 3)."""
        offset = np.zeros((len(self.canonical), 3)) if self.offset is None else self.offset
        return np.asarray(100 * offset, np.float32)


def begin(name: str, given: Given) -> Start:
    """Place and colour Gaussians.

    Args:
        name: One of `STARTS`.
        given: The person's head and the clip.

    Returns:
        The Gaussians from which a fit starts.

    Raises:
        InputError: If there is no such start, or the clip does not allow it.

    Source: no publication; the registry of this package.
    """
    if name not in STARTS:
        raise InputError(f"is {name!r}", field="start", fix=f"Use {' or '.join(STARTS)}")
    start: Start = importlib.import_module(f"gagjax.avatars.personal.starts.{name}").begin(given)
    return start
