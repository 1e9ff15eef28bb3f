"""The frame loop of a driven GAGAvatar, with everything that a frame needs already on the device."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import torch

import bridge
import gagjax as gj
from benchmarks.gpu.settings import Settings
from bridge.gagavatar import Config, GAGAvatar, Identity, checkpoint, handover
from tests.oracles import gagavatar_weights as rule

EYES = ((0.4, 0.45), (0.6, 0.45))
SMALL = Config(
    patches=3,
    embed=16,
    depth=5,
    heads=2,
    projects=(6, 8, 10, 12),
    plane_channels=8,
    hidden=8,
    vertices=60,
    size=32,
    style=16,
    decoder_channels=(8, 8, 6, 4),
)
#: As much as the official network at its end, with a light encoder: made in a second.
WIDE = Config(
    patches=9,
    embed=24,
    depth=5,
    heads=2,
    projects=(6, 8, 10, 12),
    plane_channels=8,
    hidden=8,
    style=64,
    decoder_channels=(32, 32, 32, 32, 32, 16, 16, 16),
)


def network(config: Config, device: str) -> GAGAvatar:
    """A network with weights by the rule of the golden numbers."""
    with torch.device("meta"):
        made = GAGAvatar(config)
    shapes = ((key, tuple(value.shape)) for key, value in made.state_dict().items())
    checkpoint.fill(made, {key: torch.from_numpy(value) for key, value in rule.weights(shapes).items()})
    return made.to(device).eval()


def small_network(settings: Settings) -> GAGAvatar:
    """A network that is made quickly."""
    return network(settings.size(WIDE, SMALL), settings.device)


def portrait(net: GAGAvatar) -> tuple[np.ndarray, np.ndarray]:
    """A picture at the encoder's size and a camera in front of it."""
    picture = np.random.default_rng(0).uniform(size=(net.config.image, net.config.image, 3)).astype(np.float32)
    transform = np.concatenate([np.diag([-1.0, 1.0, -1.0]), [[0.02], [0.01], [9.3]]], 1).astype(np.float32)
    return picture, transform


class FrameLoop:
    """Vertices to finished pictures, `batch` frames decoded together.

    Args:
        settings: Of the suite.
        net: The network.
        enhancements: Frame stages that run on the decoded pictures: any of "detail", "eyes".
        batch: Frames decoded together.
        decode: Instead of the network's decoder: features (B, H, W, C) to pictures (B, H, W, 3), both tensors.
    """

    def __init__(
        self,
        settings: Settings,
        net: GAGAvatar,
        enhancements: Iterable[str] = (),
        batch: int = 1,
        decode: Callable[[torch.Tensor], torch.Tensor] | None = None,
    ) -> None:
        self.settings, self.batch = settings, batch
        self.decode = decode or functools.partial(net.decode, noise="fixed")
        picture, transform = portrait(net)
        self.identity: Identity = net.encode(picture, transform)
        self.resting = handover.resting(self.identity)
        self.size = net.config.size
        rng = np.random.default_rng(1)
        head = 0.1 * rng.normal(size=(net.config.vertices, 3))
        # On the device before the loop begins: a frame is not to bring anything from the host.
        self.vertices = [jnp.asarray(head + 0.001 * i, jnp.float32) for i in range(max(batch, 4))]
        self.transform = jnp.asarray(transform)
        self.camera = handover.camera(self.transform, self.size)
        self.eyes = jnp.asarray(EYES, jnp.float32)
        enhancements = tuple(enhancements)
        self.stack = gj.Stack.default(enable=enhancements) if enhancements else None
        self.state: Any = None
        self._enhance = jax.jit(gj.enhance_frames)

    def features(self, number: int) -> torch.Tensor:
        """Rasterized features of one frame, (H, W, C), by the backend that the device prefers."""
        vertices = self.vertices[number % len(self.vertices)]
        return bridge.to_torch(handover.drawn(self.resting, vertices, self.transform, self.size, "gsplat"))

    def run(self, frames: int) -> Any:
        """So many frames; returns the last batch of pictures, not awaited."""
        pictures: Any = None
        for start in range(0, frames, self.batch):
            each = [self.features(start + k) for k in range(self.batch)]
            batch = each[0][None] if self.batch == 1 else torch.stack(each)
            pictures = self.decode(batch)
            if self.stack is not None:
                pictures, self.state = self._enhance(
                    self.stack, bridge.to_jax(pictures, copy="allow"), self.eyes, self.state
                )
        return pictures
