"""A GAGAvatar identity on its head model: what a track drives."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import torch
from jaxtyping import Array, Float

from bridge.gagavatar import handover, portraits
from bridge.gagavatar.decoder import Noise
from bridge.gagavatar.identity import Identity
from bridge.gagavatar.model import GAGAvatar
from gagjax import flame, memory
from gagjax.camera import like_gagavatar
from gagjax.conventions.head_pose import with_neck
from gagjax.errors import InputError
from gagjax.track import Track

CHUNK = 32  # frames whose vertices are computed at once


class Avatar:
    """One identity, ready to be driven.

    Args:
        network: The network.
        model: The head model; GAGAvatar is made for FLAME's own mesh of 5023 vertices.
        identity: The encoded portrait.
        noise: The decoder's noise: "fixed" (repeatable, no flicker), "random" (as the original), "zero".
        batch: Frames decoded together: 1 is fastest on a CPU, more may be on a GPU.

    Attributes:
        size: Width and height of its pictures.
        shape: FLAME shape of the identity; zero where the portrait came without one.

    Raises:
        InputError: If the head model has another number of vertices.

    Example:
        >>> avatar = Avatar.open("GAGAvatar.pt", "FLAME_with_eye.pt", "tracked.pt", name="me.jpg")  # doctest: +SKIP
        >>> for frame in avatar.frames(track):  # doctest: +SKIP
        ...     show(frame)
    """

    def __init__(
        self,
        network: GAGAvatar,
        model: flame.FlameModel,
        identity: Identity,
        *,
        noise: Noise = "fixed",
        batch: int | None = None,
    ) -> None:
        if len(model.v_template) != network.config.vertices:
            raise InputError(
                f"has {len(model.v_template)} vertices; GAGAvatar needs {network.config.vertices}",
                field="FLAME model",
                fix="Pass FLAME_with_eye.pt or FLAME's generic_model.pkl",
            )
        on_cpu = network.device.type == "cpu"
        self.network, self.model, self.identity, self.noise = network, model, identity, noise
        self.batch = batch or (1 if on_cpu else 8)
        self.size = network.config.size
        shape = np.zeros(300, np.float32) if identity.shape is None else identity.shape.cpu().numpy()
        self.shape: Float[Array, "300"] = jnp.asarray(shape)
        self._resting = handover.resting(identity)

    @classmethod
    def open(
        cls,
        checkpoint: str | Path,
        model: str | Path | flame.FlameModel,
        portrait: str | Path,
        *,
        name: str | None = None,
        image: str | Path | None = None,
        device: torch.device | str | None = None,
        noise: Noise = "fixed",
    ) -> Avatar:
        """An avatar from files. On a CPU the process is told to keep freed memory, see `memory`.

        Args:
            checkpoint: `GAGAvatar.pt`.
            model: FLAME file, or a loaded model.
            portrait: A tracking result (`tracked.pt`, or the folder or `optim.pkl` of an image's tracking), or an
                identity that `Identity.save` wrote.
            name: Which of its entries; needed where there are several.
            image: The tracker's crop of the portrait, where the tracking result does not hold it.
            device: Where the network runs; a CUDA device by default if there is one.
            noise: As in the class.

        Raises:
            InputError: If a file cannot be used; it says which and why.
        """
        head = model if isinstance(model, flame.FlameModel) else flame.load(model)
        network = GAGAvatar.from_checkpoint(checkpoint, device=device)
        if network.device.type == "cpu":
            memory.keep_freed_pages()
        return cls(network, head, portraits.identity(network, portrait, name=name, image=image), noise=noise)

    def vertices(self, track: Track) -> Float[Array, "T V 3"]:
        """The identity's vertices with a driver's expression, jaw and eyes, metres.

        Global rotation and neck stay zero here: to GAGAvatar head motion is camera motion (`frames` puts both there), or
        else the plane's Gaussians would stay behind.
        """
        pose = jnp.concatenate([jnp.zeros_like(track.jaw), track.jaw], -1)
        return flame.vertices(self.model, self.shape, track.expression, pose, track.eyes)

    def gaussians(self, vertices: Float[Array, "V 3"]) -> Any:
        """The `bridge.Gaussians` of one frame.

        Args:
            vertices: (V, 3), metres.
        """
        return handover.place(self._resting, vertices)

    def decode(self, features: Float[Array, "... H W C"] | torch.Tensor) -> Float[Array, "... H W 3"]:
        """Rasterized features over black to pictures in [0, 1]."""
        return handover.to_jax(self.network.decode(features, self.noise))

    def frames(self, track: Track, *, backend: str = "auto") -> Iterator[Float[Array, "H W 3"]]:
        """The pictures of a driver, one by one; memory does not grow with its length.

        Args:
            track: Expression, jaw, eyes, the head's pose, neck and camera of the driver. The shape is the identity's own;
                what turns the head turns the camera about it, and the lens is always GAGAvatar's.
            backend: As in `bridge.rasterize`.
        """
        track = with_neck(track, self.model, self.shape)
        cameras = like_gagavatar(np.asarray(track.transform), track.intrinsics)
        for start in range(0, len(track), CHUNK):
            part = track[start : start + CHUNK]
            vertices, transforms = self.vertices(part), cameras[start : start + CHUNK]
            for first in range(0, len(part), self.batch):
                few = slice(first, first + self.batch)
                yield from self.decode(
                    handover.rasterize_clip(self._resting, vertices[few], transforms[few], self.size, backend)
                )
