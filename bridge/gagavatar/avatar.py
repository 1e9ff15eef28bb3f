"""A GAGAvatar identity with its head model, driven by a track."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import torch
from jaxtyping import Array, Float

from bridge.gagavatar import handover, portraits
from bridge.gagavatar.decoder import Noise
from bridge.gagavatar.identity import Identity
from bridge.gagavatar.model import GAGAvatar
from gagjax import flame, memory
from gagjax.avatars.parameters import Parameters
from gagjax.camera import like_gagavatar
from gagjax.conventions.head_pose import with_neck
from gagjax.errors import InputError
from gagjax.splatting.gaussians import Gaussians
from gagjax.track import Track
from gagjax.typing import AnyArray

CHUNK = 32  # frames whose vertices are computed at once


class Avatar:
    """One identity, ready to be animated.

    Args:
        network: The network.
        model: The head model; GAGAvatar requires FLAME's mesh of 5023 vertices.
        identity: The encoded portrait.
        noise: The decoder's noise: "fixed" (reproducible, no flicker), "random" (as in the original), "zero".
        batch: Frames decoded together: 1 is fastest on a CPU, more may be on a GPU.

    Attributes:
        size: Width and height of its images.
        shape: FLAME shape of the identity; zero if the portrait has none.

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
        """An avatar from files. On a CPU the process is set to keep freed memory, see `memory`.

        Args:
            checkpoint: `GAGAvatar.pt`.
            model: FLAME file, or a loaded model.
            portrait: A tracking result (`tracked.pt`, or the folder or `optim.pkl` of an image's tracking), or an
                identity written by `Identity.save`.
            name: The entry to use; required if there are several.
            image: The tracker's crop of the portrait, if the tracking result does not include it.
            device: Device of the network; by default a CUDA device if there is one.
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

        Global rotation and neck are zero here: in GAGAvatar head motion is camera motion (`frames` moves both to the
        camera); otherwise the plane's Gaussians would not follow.
        """
        pose = jnp.concatenate([jnp.zeros_like(track.jaw), track.jaw], -1)
        return flame.vertices(self.model, self.shape, track.expression, pose, track.eyes)

    def gaussians(self, parameters: Parameters | Float[AnyArray, "V 3"]) -> Gaussians:
        """The Gaussians of one frame, in GAGAvatar units (metres times 5).

        Args:
            parameters: The frame: expression, jaw and eyes drive the identity, as in `vertices`; shape, neck and global
                rotation are ignored. Or the posed vertices, (V, 3), metres.

        Returns:
            The identity's Gaussians, with the network's feature channels.
        """
        if isinstance(parameters, Parameters):
            pose = jnp.concatenate([jnp.zeros(3), jnp.asarray(parameters.pose)[3:]])
            moved = flame.vertices(self.model, self.shape, parameters.expression, pose, parameters.eyes)
        else:
            moved = jnp.asarray(parameters)
        return handover.place(self._resting, moved)

    def decode(self, features: Float[Array, "... H W C"] | torch.Tensor) -> Float[Array, "... H W 3"]:
        """Decode rasterized features over black to images in [0, 1]."""
        return handover.to_jax(self.network.decode(features, self.noise))

    def frames(self, track: Track, *, backend: str = "auto") -> Iterator[Float[Array, "H W 3"]]:
        """Render a driver's frames one by one; memory does not grow with its length.

        Args:
            track: Expression, jaw, eyes, head pose, neck and camera of the driver. The shape is the identity's own;
                head rotation becomes camera motion about the head, and the intrinsics are always GAGAvatar's.
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
